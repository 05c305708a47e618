//! A directory, its file system, files without a name in it, and names.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::path::Path;

use rustix::fs::{self, AtFlags, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::sys::contract::DirCalls;
use crate::sys::linux::file::{File, is_same};
use crate::sys::posix::dir::{Directory, NEW, PRIVATE, temporary_name};
use crate::sys::{Access, Facts, FileSystem};

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(Directory);

impl DirCalls for Dir {
    type File = File;

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Directory::open(path)?))
    }

    fn open_c(path: &CStr) -> io::Result<Self> {
        Ok(Self(Directory::open(path)?))
    }

    fn is_ram_backed(&self) -> io::Result<bool> {
        let facts = fs::fstatfs(&self.0)?;
        let magic = u32::try_from(facts.f_type & 0xFFFF_FFFF).unwrap_or(0);
        let (_name, ram_backed, _network) = describe(magic);
        Ok(ram_backed)
    }

    fn is_removed(&self) -> io::Result<bool> {
        self.0.is_removed()
    }

    fn device(&self) -> io::Result<u64> {
        Ok(fs::fstat(&self.0)?.st_dev)
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        let facts = fs::fstatfs(&self.0)?;
        // The type of the field differs between architectures; the magic numbers have 32 bits.
        let magic = u32::try_from(facts.f_type & 0xFFFF_FFFF).unwrap_or(0);
        let (name, ram_backed, network) = describe(magic);
        let block_bytes = u64::try_from(facts.f_frsize).unwrap_or(0);
        Ok(FileSystem {
            name: name.map_or_else(|| format!("file system {magic:#x}").into(), Cow::Borrowed),
            ram_backed,
            network,
            free_bytes: facts.f_bavail.saturating_mul(block_bytes),
            total_bytes: facts.f_blocks.saturating_mul(block_bytes),
        })
    }

    /// If the file system has no `O_TMPFILE`, the file has a random name between two calls.
    fn create_unnamed(&self) -> io::Result<File> {
        // With O_EXCL, not even `linkat` can give the file a name later.
        let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        match fs::openat(&self.0, c".", flags, PRIVATE) {
            Ok(fd) => Ok(File::from_fd(fd)),
            // EISDIR: a kernel before 3.11, which takes the request for an ordinary open.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => self.create_and_unlink(),
            Err(refused) => Err(refused.into()),
        }
    }

    fn create_linkable(&self) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(File::from_fd(fs::openat(&self.0, c".", flags, NEW)?))
    }

    fn create_named(&self, name: &OsStr) -> io::Result<File> {
        self.0.create(name, NEW).map(File::from_fd)
    }

    fn create_private(&self, name: &OsStr) -> io::Result<File> {
        self.0.create(name, PRIVATE).map(File::from_fd)
    }

    fn facts(&self, name: &OsStr) -> io::Result<Facts> {
        self.0.facts(name)
    }

    fn check_writable(&self, name: &OsStr) -> io::Result<()> {
        self.0.check_writable(name)
    }

    fn open_named(&self, name: &OsStr, access: Access) -> io::Result<File> {
        self.0.open_named(name, access).map(File::from_fd)
    }

    /// The way through `/proc`: the other way may need a privilege.
    fn is_linkable(&self, file: &File) -> io::Result<bool> {
        let ours = fs::fstat(file.as_fd())?;
        Ok(fs::stat(file.own_path()).is_ok_and(|shown| is_same(&ours, &shown)))
    }

    /// The first way passes the descriptor itself, so nothing can come between. Before Linux 6.10
    /// it needs a privilege, and without it the kernel returns `ENOENT`. The second way goes
    /// through `/proc`, which may be missing, or may show something else.
    fn link(&self, file: &File, name: &OsStr) -> io::Result<bool> {
        match fs::linkat(file.as_fd(), c"", &self.0, name, AtFlags::EMPTY_PATH) {
            Err(Errno::NOENT) => self.link_by(&file.own_path(), file, name),
            answer => Ok(answer.map(|()| true)?),
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        self.0.unlink(name)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.0)?)
    }

    fn try_lock(&self) -> io::Result<()> {
        self.0.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

impl Dir {
    /// The way without `O_TMPFILE`.
    fn create_and_unlink(&self) -> io::Result<File> {
        let made = self.0.create_and_unlink(random_bits()?);
        made.map(File::from_fd)
    }

    /// Gives a file a name by a path that should lead to it. Compares the file of the path before,
    /// and the file of the name afterwards.
    fn link_by(&self, path: &str, file: &File, name: &OsStr) -> io::Result<bool> {
        let ours = fs::fstat(file.as_fd())?;
        if !is_same(&ours, &fs::stat(path)?) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        fs::linkat(fs::CWD, path, &self.0, name, AtFlags::SYMLINK_FOLLOW)?;
        let named = fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        Ok(named.is_ok_and(|named| is_same(&ours, &named)))
    }
}

/// Returns a name for a file that no other process can guess.
pub(super) fn unguessable_name() -> io::Result<OsString> {
    Ok(temporary_name(random_bits()?))
}

fn random_bits() -> io::Result<[u8; 16]> {
    let mut bits = [0; 16];
    let filled = retry_on_intr(|| {
        rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty())
    })?;
    if filled < bits.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bits)
}

/// Returns the name of a file system type, whether it lives in memory, and whether it is remote.
///
/// The numbers are those of `statfs(2)` and of the kernel's `magic.h`.
fn describe(magic: u32) -> (Option<&'static str>, bool, bool) {
    let (name, ram_backed, network) = match magic {
        0x0102_1994 => ("tmpfs", true, false),
        0x8584_58f6 => ("ramfs", true, false),
        0x9584_58f6 => ("hugetlbfs", true, false),
        0x0000_ef53 => ("ext4", false, false),
        0x5846_5342 => ("xfs", false, false),
        0x9123_683e => ("btrfs", false, false),
        0x2fc1_2fc1 => ("zfs", false, false),
        0xf2f5_2010 => ("f2fs", false, false),
        0xca45_1a4e => ("bcachefs", false, false),
        0x794c_7630 => ("overlayfs", false, false),
        0x0000_4d44 => ("vfat", false, false),
        0x2011_bab0 => ("exfat", false, false),
        0x7366_746e | 0x5346_544e => ("ntfs", false, false),
        0x0000_6969 => ("nfs", false, true),
        0xff53_4d42 => ("cifs", false, true),
        0xfe53_4d42 => ("smb2", false, true),
        0x0102_1997 => ("9p", false, true),
        0x00c3_6400 => ("ceph", false, true),
        0x5346_414f => ("afs", false, true),
        0x0bd0_0bd0 => ("lustre", false, true),
        0x6573_5546 => ("fuse", false, false),
        _ => return (None, false, false),
    };
    (Some(name), ram_backed, network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::FileCalls;

    #[test]
    fn memory_file_systems_are_told_from_disks() {
        assert_eq!(describe(0x0102_1994), (Some("tmpfs"), true, false));
        assert_eq!(describe(0xef53), (Some("ext4"), false, false));
        assert_eq!(describe(0x6969), (Some("nfs"), false, true));
        assert_eq!(describe(1), (None, false, false));
    }

    /// File systems without `O_TMPFILE` are rare on test machines, so the alternative is called
    /// directly.
    #[test]
    fn a_file_made_the_long_way_has_no_name_either() {
        let name = format!("target/outcore-unlinked-{}", std::process::id());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        let file = Dir::open(&path).unwrap().create_and_unlink().unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        assert_eq!(file.write_at(b"kept", 0).unwrap(), 4);
        std::fs::remove_dir(&path).unwrap();
    }

    /// A file was named by its path in `/proc` without checking what that led to: in a thread with
    /// its own descriptors, and wherever something else is mounted there, the name could lead to a
    /// file of another program.
    #[test]
    fn a_file_is_not_named_by_a_path_that_leads_elsewhere() {
        let name = format!("target/outcore-linked-{}", std::process::id());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        let dir = Dir::open(&path).unwrap();
        let [ours, theirs] = [(); 2].map(|()| dir.create_linkable().unwrap());
        let name = OsStr::new("name");
        let refused = dir.link_by(&theirs.own_path(), &ours, name).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        ours.write_at(b"ours", 0).unwrap();
        assert!(dir.link_by(&ours.own_path(), &ours, name).unwrap());
        assert_eq!(std::fs::read(path.join(name)).unwrap(), b"ours");
        let taken = dir.link_by(&theirs.own_path(), &theirs, name).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn random_names_differ() {
        let name = unguessable_name().unwrap();
        assert_ne!(name, unguessable_name().unwrap());
        assert_eq!(name.len(), 41);
    }
}
