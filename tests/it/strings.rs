//! Strings and byte strings by index, through the public API.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use outcore::{BytesVec, ErrorKind, ScratchDir, StrVec};

use crate::support::disk;

/// Returns a directory with a quota of this many bytes.
fn quota(bytes: u64) -> ScratchDir {
    let builder = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
    builder.quota_bytes(bytes).build().unwrap()
}

const MANY: usize = if cfg!(miri) { 200 } else { 50_000 };

fn names(dir: &ScratchDir) -> StrVec {
    let mut names = StrVec::new_in(dir);
    names
        .try_extend((0..MANY).map(|n| format!("name {n}")))
        .unwrap();
    names
}

#[test]
fn a_vector_is_made_without_a_file_and_few_strings_take_none() {
    static EMPTY: StrVec = StrVec::new();
    assert_eq!(
        (EMPTY.len(), EMPTY.get(0), EMPTY.iter().next()),
        (0, None, None)
    );
    let dir = disk();
    let mut few = StrVec::new_in(&dir);
    few.push("text").unwrap();
    if !cfg!(any(miri, memory_backend)) {
        assert_eq!((few.disk_bytes(), dir.used_bytes()), (0, 0));
    }
    assert_eq!(few, ["text"]);
    assert_ne!(few, ["text", ""]);
    assert_eq!(format!("{few:?}"), r#"["text"]"#);
    few.clear();
    assert_eq!(few, EMPTY, "one has an offset, the other none");
}

#[test]
fn an_index_past_the_end_panics_with_the_numbers() {
    let names = StrVec::try_from(["a", "b"]).unwrap();
    let indexed = |work: &dyn Fn()| {
        let panicked = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
        panicked.downcast_ref::<String>().unwrap().clone()
    };
    let expected = "index out of bounds: the len is 2 but the index is 2";
    assert_eq!(indexed(&|| drop(names[2].to_owned())), expected);
    assert_eq!(
        indexed(&|| drop(names.as_bytes_vec()[2].to_vec())),
        expected
    );
    assert_eq!(indexed(&|| drop(names.gather(&[0, 2]))), expected);
    assert!(indexed(&|| assert!(names.range(1..3).len() > 9)).contains("the 2 elements"));
    assert!(catch_unwind(|| names.get(usize::MAX)).unwrap().is_none());
}

#[test]
fn threads_read_the_same_vector() {
    let names = names(&disk());
    let lengths = |part: usize| {
        let names = &names;
        let indices = (part..names.len()).step_by(4);
        indices.map(|index| names[index].len()).sum::<usize>()
    };
    let sum: usize = thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|part| scope.spawn(move || lengths(part)));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(sum, names.len_bytes());
}

/// Either of the two parts can be the one for which there is no space.
#[test]
fn a_push_that_is_refused_changes_neither_part() {
    for len in [0, 1, 7, 8, 9, 100, 5_000, 300_000] {
        let dir = quota(if cfg!(any(miri, memory_backend)) {
            256 << 10
        } else {
            2 << 20
        });
        let mut items = BytesVec::new_in(&dir);
        let small = cfg!(any(miri, memory_backend));
        let item = vec![7; if small { len.min(5_000) } else { len }];
        let refused = loop {
            if let Err(refused) = items.push(&item) {
                break refused;
            }
        };
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{len}");
        let (count, bytes) = (items.len(), items.len_bytes());
        assert_eq!(bytes, count * item.len());
        for _ in 0..3 {
            assert!(items.push(&item).is_err(), "{len}");
            assert!(items.extend_from_slice(&[&item, &item]).is_err());
            assert_eq!((items.len(), items.len_bytes()), (count, bytes), "{len}");
        }
        assert!(items.iter().all(|other| other == item));
        items.truncate(count / 2);
        items.push(&item).unwrap();
        assert_eq!(items.len(), count / 2 + 1);
        assert!(items.iter().all(|other| other == item));
    }
}

/// A slice is appended whole or not at all, also where it is a panic that ends it.
#[test]
fn an_as_ref_that_panics_changes_nothing() {
    struct Panics<'a>(&'a Cell<u32>);
    impl AsRef<str> for Panics<'_> {
        fn as_ref(&self) -> &'static str {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() != 8, "as planned");
            "some text"
        }
    }
    let mut names = names(&disk());
    let before = names.try_clone().unwrap();
    for first in 0..8 {
        let calls = Cell::new(first);
        let items = [(); 5].map(|()| Panics(&calls));
        let extended = catch_unwind(AssertUnwindSafe(|| names.extend_from_slice(&items)));
        assert!(extended.is_err() && names == before, "call {}", 8 - first);
    }
    let calls = Cell::new(7);
    let pushed = catch_unwind(AssertUnwindSafe(|| names.push(Panics(&calls))));
    assert!(pushed.is_err() && names == before);
}

/// The second call may say something else than the first, by which space was reserved.
#[test]
fn an_as_ref_that_changes_its_mind_is_taken_at_its_second_word() {
    struct Fickle<'a>(&'a Cell<usize>, &'a [u8]);
    impl AsRef<[u8]> for Fickle<'_> {
        fn as_ref(&self) -> &[u8] {
            self.0.set(self.0.get() + 1);
            &self.1[..self.0.get() * 1_000]
        }
    }
    let calls = Cell::new(0);
    let bytes = vec![1; 20_000];
    let mut items = BytesVec::new_in(&disk());
    let fickle = [(); 10].map(|()| Fickle(&calls, &bytes));
    items.extend_from_slice(&fickle).unwrap();
    let lengths: Vec<usize> = items.iter().map(<[u8]>::len).collect();
    assert_eq!(lengths, (11..=20).map(|n| n * 1_000).collect::<Vec<_>>());
}

#[test]
fn an_iterator_that_panics_keeps_what_it_gave() {
    let mut names = StrVec::new_in(&disk());
    let given = (0..100).map(|n| {
        if n < 60 {
            n.to_string()
        } else {
            panic!("as planned")
        }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| names.try_extend(given))).is_err());
    assert!(
        names
            .iter()
            .eq((0..60).map(|n| n.to_string()).collect::<Vec<_>>().iter())
    );
    names.push("and on").unwrap();
    assert_eq!((names.len(), names.last()), (61, Some("and on")));
}

#[test]
fn bytes_become_text_if_all_of_them_are() {
    let bytes = BytesVec::try_from(["one", "", "two"]).unwrap();
    let names = StrVec::from_utf8(bytes).unwrap();
    assert_eq!(names, ["one", "", "two"]);
    let mut bytes = names.into_bytes_vec();
    bytes.push([b'a', 0xFF]).unwrap();
    let refused = StrVec::from_utf8(bytes).unwrap_err();
    assert_eq!(
        (refused.index(), refused.utf8_error().valid_up_to()),
        (3, 1)
    );
    assert!(
        refused
            .to_string()
            .starts_with("cannot use item 3 as text: ")
    );
    let bytes = refused.into_bytes_vec();
    assert_eq!(bytes.len(), 4);
    // Two halves of a letter are not text, although all bytes together are.
    let halves = BytesVec::try_from([&[0xC3][..], &[0xA9]]).unwrap();
    let error = outcore::Error::from(StrVec::from_utf8(halves).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidUtf8);
}

#[test]
fn a_refused_append_keeps_both_vectors() {
    let mut target = BytesVec::new_in(&quota(if cfg!(miri) { 64 << 10 } else { 512 << 10 }));
    target.push("first").unwrap();
    let mut other = names(&disk()).into_bytes_vec();
    let copy = other.try_clone().unwrap();
    if !cfg!(miri) {
        let refused = target.append(&mut other).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        assert_eq!(target, ["first"]);
        assert_eq!(other, copy);
    }
    let mut second = BytesVec::new_in(&disk());
    second.append(&mut other).unwrap();
    assert!(second == copy && other.is_empty());
}

#[test]
fn a_search_finds_what_a_vec_finds() {
    let mut sorted: Vec<String> = (0..500).map(|n| (n * 7).to_string()).collect();
    sorted.sort();
    let names = StrVec::try_from(sorted.as_slice()).unwrap();
    for n in 0..3_600 {
        let name = n.to_string();
        assert_eq!(names.binary_search(&name), sorted.binary_search(&name));
        let point = sorted.partition_point(|other| *other < name);
        assert_eq!(names.partition_point(|other| other < name.as_str()), point);
    }
}

#[cfg(feature = "serde")]
mod formats {
    use super::*;

    #[test]
    fn both_vectors_go_through_a_format_and_come_back() {
        let names = names(&disk());
        let text = serde_json::to_string(&names).unwrap();
        assert_eq!(serde_json::from_str::<StrVec>(&text).unwrap(), names);
        let list: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(names, list);
        let bytes = BytesVec::try_from([&b"\xFFa"[..], b"", b"b"]).unwrap();
        let text = serde_json::to_string(&bytes).unwrap();
        assert_eq!(text, "[[255,97],[],[98]]");
        assert_eq!(serde_json::from_str::<BytesVec>(&text).unwrap(), bytes);
        assert_eq!(serde_json::from_str::<BytesVec>(r#"["a"]"#).unwrap(), ["a"]);
    }

    #[test]
    fn what_is_no_list_of_strings_is_refused() {
        for text in ["7", "[1]", r#"["a", null]"#, r#"["a""#, "{}"] {
            assert!(serde_json::from_str::<StrVec>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<BytesVec>("[[256]]").is_err());
    }
}

#[cfg(not(any(miri, memory_backend)))]
mod real {
    use super::*;
    use crate::support::libc::in_forked_child;
    use crate::support::process::child;
    use crate::support::test_name;
    use crate::support::tmpfs::{on_tmpfs, ram};

    /// On a full disk both parts stay as they are, and go on when there is space again.
    #[test]
    fn a_full_disk_is_an_error_and_no_loss() {
        on_tmpfs(test_name!(), 8 << 20, |path| {
            let dir = ram(path);
            let mut names = StrVec::new_in(&dir);
            let mut count = 0_u64;
            let name = |n: u64| format!("{n:>width$}", width = usize::try_from(n % 300).unwrap());
            let refused = loop {
                match names.push(name(count)) {
                    Ok(()) => count += 1,
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused.kind(), ErrorKind::StorageFull);
            assert_eq!(refused.path(), Some(path));
            assert!(count > 30_000, "{count}");
            assert!(names.iter().zip(0..).all(|(found, n)| found == name(n)));
            assert_eq!(names.len() as u64, count);
            names.truncate(1000);
            names.shrink_to_fit().unwrap();
            let more = (1000..count / 2).map(name);
            names.try_extend(more).unwrap();
            assert!(names.iter().zip(0..).all(|(found, n)| found == name(n)));
        });
    }

    /// A child cannot change its parent's files, and can drop and clear what it inherits.
    #[test]
    fn a_child_is_refused_and_the_parent_is_untouched() {
        if let Some(child) = child(test_name!()) {
            child.run();
            return;
        }
        let mut names = names(&disk());
        let more = vec!["text"; 1 << 20];
        let ended = in_forked_child(|| {
            let refused = names.extend_from_slice(&more).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forked);
            assert_eq!(names.gather(&[0]).unwrap_err().kind(), ErrorKind::Forked);
            assert_eq!(names.len(), MANY);
            names.clear();
        });
        assert!(ended.success(), "{ended}");
        assert!(
            names
                .iter()
                .zip(0..)
                .all(|(found, n)| found == format!("name {n}"))
        );
    }
}
