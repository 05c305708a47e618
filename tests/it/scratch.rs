//! Scratch directories: which one is chosen, which is refused, what is visible in it, and the
//! budget that all objects in it share.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use outcore::{Arena, DiskVec, ErrorKind, ScratchDir};

use crate::support::items::{BUFFER, assert_item, item};
use crate::support::libc::{is_root, mount_tmpfs, set_umask, unmount};
use crate::support::process::{Again, NOBODY, child, nobody_can_run_this, tell};
use crate::support::tmpfs::{on_tmpfs, with_private_mounts};
use crate::support::{disk, new_dir, skipped, test_name};

/// A file system in memory that most machines have.
const SHM: &str = "/dev/shm";

/// In the child: prints the result of `from_env`. In the parent: a child without the variables.
fn asker(test: &str) -> Option<Again> {
    let asker = child(test);
    if asker.is_none() {
        match ScratchDir::from_env() {
            Ok(dir) => tell(format_args!("chosen: {}", dir.path().display())),
            Err(refused) => tell(format_args!("refused: {:?}: {refused}", refused.kind())),
        }
    }
    let variables = ["OUTCORE_DIR", "TMPDIR", "XDG_CACHE_HOME", "HOME"];
    let strip = |asker: Again| variables.into_iter().fold(asker, Again::env_remove);
    asker.map(strip)
}

/// Runs a child made by [`asker`] and returns its answer.
fn ask(asker: Again) -> String {
    let answer = asker.run();
    let lines = answer.lines();
    let mut answers = lines.filter(|line| line.contains("chosen: ") || line.contains("refused: "));
    answers.next().unwrap().to_owned()
}

fn chosen(path: &Path) -> String {
    format!("chosen: {}", path.display())
}

#[test]
fn outcore_dir_comes_before_tmpdir() {
    let Some(asker) = asker(test_name!()) else {
        return;
    };
    let (first, second) = (new_dir(), new_dir());
    let answer = ask(asker.env("OUTCORE_DIR", &first).env("TMPDIR", &second));
    assert_eq!(answer, chosen(&first));
}

#[test]
fn tmpdir_is_taken_where_outcore_dir_is_empty() {
    let Some(asker) = asker(test_name!()) else {
        return;
    };
    let dir = new_dir();
    let answer = ask(asker.env("OUTCORE_DIR", "").env("TMPDIR", &dir));
    assert_eq!(answer, chosen(&dir));
}

#[test]
fn without_variables_the_directory_is_on_a_disk() {
    let Some(asker) = asker(test_name!()) else {
        let report = ScratchDir::from_env().unwrap().report().unwrap();
        assert!(!report.ram_backed, "{report:?}");
        return;
    };
    // If /var/tmp is in memory or read-only, the current directory is used.
    let answer = ask(asker.env("TMPDIR", "").current_dir(disk().path()));
    assert!(answer.starts_with("chosen: "), "{answer}");
}

#[test]
fn a_variable_that_names_no_directory_is_an_error_that_says_so() {
    let Some(asker) = asker(test_name!()) else {
        return;
    };
    let answer = ask(asker
        .env("OUTCORE_DIR", "no/such/directory")
        .env("TMPDIR", new_dir()));
    assert!(answer.starts_with("refused: Io: "), "{answer}");
    assert!(answer.contains("no/such/directory"), "{answer}");
    assert!(answer.contains("$OUTCORE_DIR"), "{answer}");
}

#[test]
fn a_variable_that_names_memory_is_an_error_that_says_so() {
    if !Path::new(SHM).exists() {
        return skipped(test_name!(), "there is no /dev/shm");
    }
    let Some(asker) = asker(test_name!()) else {
        return;
    };
    let answer = ask(asker.env("TMPDIR", SHM));
    assert!(answer.starts_with("refused: RamBacked: "), "{answer}");
    for part in [SHM, "$TMPDIR", "tmpfs"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
}

/// If `/var/tmp` is in memory, too: the cache directory, then the current directory.
#[test]
fn the_cache_and_the_current_directory_come_last() {
    let test = test_name!();
    if asker(test).is_none() {
        return;
    }
    let var_tmp = Path::new("/var/tmp");
    if !var_tmp.exists() {
        return skipped(test, "there is no /var/tmp to hide");
    }
    if std::env::current_exe().unwrap().starts_with(var_tmp) {
        return skipped(test, "the test itself is in /var/tmp, which it would hide");
    }
    with_private_mounts(test, || {
        mount_tmpfs(var_tmp, 1 << 20).unwrap();
        let (cache, home, current) = (new_dir(), new_dir(), new_dir());
        fs::create_dir(home.join(".cache")).unwrap();
        let again = || asker(test).unwrap().current_dir(&current);
        let answer = ask(again().env("XDG_CACHE_HOME", &cache).env("HOME", &home));
        assert_eq!(answer, chosen(&cache));
        assert_eq!(
            ask(again().env("HOME", &home)),
            chosen(&home.join(".cache"))
        );
        assert_eq!(ask(again()), chosen(&current));
        // If no directory is left, the error names the rejected ones.
        let answer = ask(again().current_dir("/proc"));
        assert!(answer.starts_with("refused: Io: "), "{answer}");
        for part in ["$OUTCORE_DIR", "/var/tmp", "tmpfs", "/proc"] {
            assert!(answer.contains(part), "{part}: {answer}");
        }
        unmount(var_tmp);
    });
}

/// A cleaner of temporary files took the directory away, and a service made it again. The process kept
/// the one that was gone: from then on every growth in it failed, with a message that named the new
/// one, in which nothing was wrong.
#[test]
fn a_directory_that_was_removed_and_made_again_is_found_again() {
    let Some(child) = child(test_name!()) else {
        let path = PathBuf::from(std::env::var_os("OUTCORE_DIR").unwrap());
        let arena = Arena::new().unwrap();
        fs::remove_dir(&path).unwrap();
        let refused = ScratchDir::from_env().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io);
        assert_eq!(refused.path(), Some(path.as_path()));
        fs::create_dir(&path).unwrap();

        let dir = ScratchDir::from_env().unwrap();
        let mut vec = DiskVec::new();
        vec.resize(1 << 20, 7_u8).unwrap();
        assert!(dir.used_bytes() >= 1 << 20, "another budget");
        let mut writer = Arena::new().unwrap().writer().unwrap();
        writer.push(vec![1; 1 << 20]).unwrap();
        // What was made in the old one stays there, and says what is wrong.
        let refused = arena.writer().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io);
        let message = refused.to_string();
        assert!(message.contains("was removed"), "{message}");
        assert!(message.contains("ScratchDir"), "no remedy: {message}");
        return;
    };
    let path = new_dir();
    child.env("OUTCORE_DIR", &path).run();
    fs::remove_dir(&path).unwrap();
}

/// As long as nothing changes, all objects without an explicit directory share one budget.
#[test]
fn from_env_returns_one_directory_with_one_budget() {
    let dir = ScratchDir::from_env();
    let Ok(dir) = dir else {
        return skipped(test_name!(), format_args!("no default directory: {dir:?}"));
    };
    let arena = Arena::new().unwrap();
    arena.writer().unwrap().push("counted").unwrap();
    assert_eq!(arena.dir().unwrap().path(), dir.path());
    assert!(dir.used_bytes() >= arena.disk_bytes());
}

#[test]
fn memory_posing_as_a_disk_is_refused_unless_it_is_allowed() {
    if !Path::new(SHM).exists() {
        return skipped(test_name!(), "there is no /dev/shm");
    }
    let refused = ScratchDir::new(SHM).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RamBacked);
    assert_eq!(refused.path(), Some(SHM.as_ref()));
    let text = refused.to_string();
    assert!(text.contains(SHM) && text.contains("tmpfs"), "{text}");
    let as_io = std::io::Error::from(refused);
    assert_eq!(as_io.kind(), std::io::ErrorKind::Unsupported);
    let dir = ScratchDir::builder(SHM).allow_ram(true).build().unwrap();
    assert!(dir.report().unwrap().ram_backed);
}

#[test]
fn a_report_says_where_and_how_much() {
    let path = new_dir();
    let dir = ScratchDir::builder(&path)
        .quota_bytes(1 << 30)
        .build()
        .unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    arena.writer().unwrap().push("one byte or more").unwrap();
    let report = dir.report().unwrap();
    assert_eq!((&report.path, report.quota_bytes), (&path, 1 << 30));
    assert!(!report.ram_backed && !report.file_system.is_empty());
    assert!(report.total_bytes > report.free_bytes && report.free_bytes > 0);
    assert_eq!(report.used_bytes, arena.disk_bytes());
    assert_eq!(
        ScratchDir::new(&path)
            .unwrap()
            .report()
            .unwrap()
            .quota_bytes,
        u64::MAX
    );
    on_tmpfs(test_name!(), 1 << 20, |path| {
        let dir = ScratchDir::builder(path).allow_ram(true).build().unwrap();
        let report = dir.report().unwrap();
        assert_eq!((report.total_bytes, report.free_bytes), (1 << 20, 1 << 20));
        assert_eq!(
            (report.file_system.as_str(), report.ram_backed),
            ("tmpfs", true)
        );
        assert!(!report.network);
    });
}

#[test]
fn a_quota_is_shared_and_counted_back() {
    let dir = ScratchDir::builder(new_dir())
        .quota_bytes(4 << 20)
        .build()
        .unwrap();
    let [first, second] = [(); 2].map(|()| Arena::new_in(&dir.clone()).unwrap());
    let mut writer = first.writer().unwrap();
    let kept = writer.push(item(0, 2 << 20)).unwrap();
    let mut other = second.writer().unwrap();
    let refused = other.push(item(1, 3 << 20)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert!(
        refused.to_string().contains("quota of 4194304"),
        "{refused}"
    );
    assert_eq!(refused.path(), Some(dir.path()));
    assert_eq!(dir.used_bytes(), first.disk_bytes() + second.disk_bytes());
    let small = other.push(item(2, 1 << 20)).unwrap();
    assert!(dir.used_bytes() <= 4 << 20);
    writer.finish().unwrap();
    assert_item(&first.get(kept).unwrap(), 0, 2 << 20, "within the quota");
    drop(first);
    // The space of the first arena is available to the second.
    let large = other.push(item(1, 2 << 20)).unwrap();
    other.finish().unwrap();
    assert_item(&second.get(small).unwrap(), 2, 1 << 20, "before");
    assert_item(&second.get(large).unwrap(), 1, 2 << 20, "after");
    drop(second);
    assert_eq!(dir.used_bytes(), 0);
}

/// Growth by a quarter is optional: if the quota does not allow it, growth is smaller.
#[test]
fn a_quota_can_be_used_to_the_last_block() {
    let quota = 10 * BUFFER as u64;
    let dir = ScratchDir::builder(new_dir())
        .quota_bytes(quota)
        .build()
        .unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let mut writer = arena.writer().unwrap();
    while writer.push([7; 1000]).is_ok() {}
    writer.finish().unwrap();
    assert_eq!(dir.used_bytes(), quota);
    assert!(arena.len_bytes() > quota - 1000, "{arena:?}");
}

#[test]
fn a_quota_of_many_writers_is_not_eaten_by_the_first() {
    let blocks = 150 * BUFFER as u64;
    let dir = ScratchDir::builder(new_dir())
        .quota_bytes(blocks)
        .build()
        .unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let mut writers: Vec<_> = (0..100).map(|_| arena.writer().unwrap()).collect();
    for (n, writer) in writers.iter_mut().enumerate() {
        let pushed = writer.push("a few bytes");
        assert!(pushed.is_ok(), "writer {n}: {pushed:?}");
    }
}

#[test]
fn a_free_floor_that_cannot_be_kept_refuses_everything() {
    let dir = ScratchDir::builder(new_dir())
        .min_free_bytes(u64::MAX)
        .build()
        .unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let mut writer = arena.writer().unwrap();
    let refused = writer.push("anything").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert_eq!((dir.used_bytes(), arena.disk_bytes()), (0, 0));
}

#[test]
fn nothing_is_seen_in_the_directory() {
    let path = new_dir();
    let arena = Arena::new_in(&ScratchDir::new(&path).unwrap()).unwrap();
    let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
    for writer in &mut writers {
        writer.push(item(1, 1 << 20)).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }
    let _map = arena.map().unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    drop((arena, writers));
    fs::remove_dir(&path).unwrap();
}

#[test]
fn a_file_is_no_directory() {
    let path = new_dir().join("file");
    fs::write(&path, "not empty").unwrap();
    let refused = ScratchDir::new(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert_eq!(refused.path(), Some(path.as_path()));
    assert_eq!(fs::read(&path).unwrap(), b"not empty");
}

#[test]
fn a_link_to_a_directory_is_a_directory_and_one_to_nothing_is_not() {
    let base = new_dir();
    let (target, link, dangling) = (new_dir(), base.join("link"), base.join("dangling"));
    symlink(&target, &link).unwrap();
    symlink(base.join("nothing"), &dangling).unwrap();
    let arena = Arena::new_in(&ScratchDir::new(&link).unwrap()).unwrap();
    let location = arena.writer().unwrap().push("through a link").unwrap();
    // The directory was opened once: later changes of its path have no effect.
    fs::remove_file(&link).unwrap();
    symlink(SHM, &link).unwrap();
    let late = arena.writer().unwrap().push("still there").unwrap();
    assert_eq!(arena.get(location).unwrap(), b"through a link");
    assert_eq!(arena.get(late).unwrap(), b"still there");
    assert_eq!(
        ScratchDir::new(&dangling).unwrap_err().kind(),
        ErrorKind::Io
    );
}

#[test]
fn a_directory_that_is_removed_is_an_error_for_what_comes_later() {
    let path = new_dir();
    let dir = ScratchDir::new(&path).unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let mut writer = arena.writer().unwrap();
    let before = writer.push("before").unwrap();
    fs::remove_dir(&path).unwrap();
    let after = writer.push(item(1, 1 << 20)).unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.get(before).unwrap(), b"before");
    assert_item(&arena.get(after).unwrap(), 1, 1 << 20, "the file lives on");
    let refused = Arena::new_in(&dir).unwrap().writer().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert_eq!(refused.path(), Some(path.as_path()));
    assert_eq!(ScratchDir::new(&path).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_directory_that_may_not_be_written_is_refused() {
    let Some(mut again) = child(test_name!()) else {
        assert!(!is_root());
        let path = std::env::var_os("LOCKED").map(PathBuf::from).unwrap();
        let refused = ScratchDir::new(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io);
        assert_eq!(refused.path(), Some(path.as_path()));
        let answer = std::io::Error::from(refused).kind();
        assert_eq!(answer, std::io::ErrorKind::PermissionDenied);
        return;
    };
    let path = new_dir();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    if is_root() {
        if !nobody_can_run_this() {
            return skipped(test_name!(), "no other user can run this binary");
        }
        again = again.user(NOBODY);
    }
    again.env("LOCKED", &path).run();
}

#[test]
fn a_file_is_for_its_owner_alone_whatever_the_umask() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let path = new_dir();
    for mask in [0, 0o077, 0o777] {
        set_umask(mask);
        let arena = Arena::new_in(&ScratchDir::new(&path).unwrap()).unwrap();
        let mut writer = arena.writer().unwrap();
        writer.push("for the owner").unwrap();
        writer.flush().unwrap();
        let files = scratch_files(&path);
        assert_eq!(files.len(), 1, "{files:?}");
        for (file, metadata) in files {
            let mode = metadata.mode() & 0o777;
            assert_eq!(mode, 0o600 & !mask, "{file}");
            assert_eq!(metadata.nlink(), 0, "{file}");
        }
    }
    set_umask(0o022);
}

/// In a separate process, since the counters are those of the process.
#[test]
fn the_counters_follow_what_is_open() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let before = outcore::stats();
    assert_eq!(before, outcore::Stats::default());
    let dir = ScratchDir::builder(new_dir())
        .quota_bytes(2 << 20)
        .build()
        .unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let mut writer = arena.writer().unwrap();
    writer.push(item(0, 1 << 20)).unwrap();
    writer.push(item(0, 4 << 20)).unwrap_err();
    writer.flush().unwrap();
    let map = arena.map().unwrap();
    let now = outcore::stats();
    assert_eq!((now.open_files, now.disk_bytes), (1, dir.used_bytes()));
    assert_eq!(now.disk_bytes, arena.disk_bytes());
    assert!(now.mapped_bytes >= 1 << 20 && now.growths >= 1 && now.failures >= 1);
    drop((arena, writer, map));
    let after = outcore::stats();
    let held = (after.open_files, after.disk_bytes, after.mapped_bytes);
    assert_eq!(held, (0, 0, 0));
}

/// Returns the open files of this process that are in a directory.
fn scratch_files(path: &Path) -> Vec<(String, fs::Metadata)> {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|entry| {
        let entry = entry.unwrap().path();
        let target = fs::read_link(&entry).ok()?.to_str()?.to_owned();
        let inside = target
            .strip_prefix(path.to_str().unwrap())?
            .starts_with('/');
        inside.then(|| (target, fs::metadata(&entry).unwrap()))
    });
    open.collect()
}
