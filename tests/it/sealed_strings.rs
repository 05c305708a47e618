//! Strings and byte strings that are sealed into files, and read by other objects.

use std::fs;
use std::io::ErrorKind::AlreadyExists;
use std::os::unix::fs::FileExt;

use outcore::sealed::{Kind, MemoryRanges, SealedFile, SealedStrMap};
use outcore::{BytesVec, ErrorKind, MemoryBudget, SealedBytesVec, SealedStrVec, StrVec};

use crate::support::random::Random;
use crate::support::{disk, new_dir};

/// Returns a string that follows from a number: short, with letters of one to four bytes, and sorted
/// as the numbers are.
fn string(n: usize) -> String {
    let letters = ["", "\u{e9}", "\u{20ac}\u{1f980}"];
    format!("{n:07}{}", letters[n % 3].repeat(n % 5))
}

fn strings(count: usize) -> StrVec {
    let mut strings = StrVec::new_in(&disk());
    strings.try_extend((0..count).map(string)).unwrap();
    strings
}

/// Compares strings at random places, in all ways to read some of them.
fn compare_parts(sealed: &SealedStrVec, map: &SealedStrMap, model: &StrVec, random: &mut Random) {
    let len = sealed.len();
    for round in 0..60 {
        let start = random.below(len + 1);
        let end = start + random.len((len - start).min(5000));
        let found = sealed.read(start..end).unwrap();
        assert!(found.iter().eq(model.range(start..end)), "{start}..{end}");
        if len == 0 {
            continue;
        }
        let index = random.below(len);
        assert_eq!(sealed.get(index).unwrap(), model[index]);
        assert_eq!(map.get(index).unwrap(), &model[index]);
        let mut indices: Vec<_> = (0..random.len(100)).map(|_| random.below(len)).collect();
        indices.extend([index, index]);
        if round % 10 == 0 {
            indices.extend([len - 1, 0, len - 1]);
        }
        let found = sealed.gather(&indices).unwrap();
        assert!(found.iter().eq(indices.iter().map(|index| &model[*index])));
        let wanted = string(random.below(len + 10));
        assert_eq!(
            sealed.binary_search(&wanted).unwrap(),
            model.binary_search(&wanted)
        );
        assert_eq!(
            sealed.binary_search_by(|found| found.cmp(&wanted)).unwrap(),
            model.binary_search(&wanted)
        );
    }
}

#[test]
fn sealed_strings_answer_as_those_in_memory() {
    let dir = new_dir();
    let mut random = Random::new(22);
    for count in [0, 1, 2, 2047, 2048, 2049, 100_000] {
        let path = dir.join(format!("strings-{count}"));
        let mut model = strings(count);
        if count > 2 {
            // An equal one, and one that is longer than one read, in order.
            let last = string(count - 1);
            model.push(&last).unwrap();
            model.push(last + &"\u{1f980}".repeat(300_000)).unwrap();
        }
        model.seal(&path).unwrap();
        let sealed = SealedStrVec::open(&path).unwrap();
        assert_eq!(
            (sealed.len(), sealed.is_empty()),
            (model.len(), model.is_empty())
        );
        assert_eq!(sealed.len_bytes(), model.len_bytes());
        // SAFETY: no other process knows the file.
        #[expect(unsafe_code, reason = "only this test has the file")]
        let map = unsafe { sealed.map().unwrap() };
        compare_parts(&sealed, &map, &model, &mut random);
        assert!(sealed.read(..).unwrap().iter().eq(&model));
        let mut expected = model.iter();
        for chunk in sealed.scan() {
            assert!(
                chunk
                    .unwrap()
                    .iter()
                    .all(|found| Some(found) == expected.next())
            );
        }
        assert!(expected.next().is_none(), "the scan has all strings");
        assert!(sealed.to_str_vec().unwrap().iter().eq(&model));
        assert!(
            sealed
                .as_bytes()
                .to_bytes_vec()
                .unwrap()
                .iter()
                .eq(model.as_bytes_vec())
        );
        map.check().unwrap();
        assert!(map.iter().map(Result::unwrap).eq(&model));
        sealed.verify().unwrap();
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn sealed_byte_strings_answer_as_those_in_memory() {
    let dir = new_dir();
    let mut random = Random::new(23);
    let mut model = BytesVec::new_in(&disk());
    for n in 0..30_000_usize {
        model
            .push(vec![n.to_le_bytes()[0]; random.len(40)])
            .unwrap();
    }
    model.sort_external(&MemoryBudget::new(16 << 20)).unwrap();
    // Longer than several reads, and the last in order.
    model.push(vec![0xFF; 3 << 20]).unwrap();
    model.seal(dir.join("bytes")).unwrap();
    let sealed = SealedBytesVec::open(dir.join("bytes")).unwrap();
    // SAFETY: no other process knows the file.
    #[expect(unsafe_code, reason = "only this test has the file")]
    let map = unsafe { sealed.map().unwrap() };
    assert!(map.iter().map(Result::unwrap).eq(&model));
    assert_eq!(map.as_bytes().len(), model.len_bytes());
    assert!(
        sealed
            .scan()
            .flat_map(|chunk| {
                let chunk = chunk.unwrap();
                (0..chunk.len())
                    .map(move |index| chunk[index].to_vec())
                    .collect::<Vec<_>>()
            })
            .eq(model.iter().map(<[u8]>::to_vec))
    );
    let found = sealed.gather(&[30_000, 5, 30_000]).unwrap();
    assert!(found == [&model[30_000], &model[5], &model[30_000]]);
    for _ in 0..100 {
        let indices: Vec<_> = (0..random.len(300))
            .map(|_| random.below(model.len()))
            .collect();
        let found = sealed.gather(&indices).unwrap();
        assert!(found.iter().eq(indices.iter().map(|index| &model[*index])));
        let wanted = vec![random.len(255).to_le_bytes()[0]; random.len(5)];
        assert_eq!(
            sealed.binary_search(&wanted).unwrap(),
            model.binary_search(&wanted)
        );
        let found = sealed.binary_search_by(|item| item.cmp(&wanted));
        assert_eq!(found.unwrap(), model.binary_search(&wanted));
    }
    assert!(sealed.to_bytes_vec().unwrap().iter().eq(&model));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn indices_past_the_end_of_strings_are_errors() {
    let dir = new_dir();
    let path = dir.join("strings");
    strings(10).seal(&path).unwrap();
    let sealed = SealedStrVec::open(&path).unwrap();
    // SAFETY: no other process knows the file.
    #[expect(unsafe_code, reason = "only this test has the file")]
    let map = unsafe { sealed.map().unwrap() };
    let refusals = [
        sealed.get(10).unwrap_err(),
        sealed.get(usize::MAX).unwrap_err(),
        sealed.gather(&[3, 10]).unwrap_err(),
        sealed.read(5..11).unwrap_err(),
        sealed.read(..=usize::MAX).unwrap_err(),
        #[expect(clippy::reversed_empty_ranges, reason = "it is refused")]
        sealed.read(6..5).unwrap_err(),
        sealed.as_bytes().get(10).unwrap_err(),
        map.get(10).unwrap_err(),
        map.get(usize::MAX).unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{refused}");
        assert_eq!(refused.path(), Some(path.as_path()));
    }
    assert!(sealed.read(10..).unwrap().is_empty());
    assert!(sealed.gather(&[]).unwrap().is_empty());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_of_strings_says_so_and_is_opened_as_nothing_else() {
    let dir = new_dir();
    let (text, bytes) = (dir.join("text"), dir.join("bytes"));
    strings(1000).seal(&text).unwrap();
    strings(1000).into_bytes_vec().seal(&bytes).unwrap();
    for (path, kind, name) in [(&text, Kind::Strings, "str"), (&bytes, Kind::Bytes, "[u8]")] {
        let file = SealedFile::open(path).unwrap();
        assert_eq!((file.kind(), file.type_name()), (kind, name));
        assert_eq!(
            (file.elements(), file.element_bytes(), file.element_align()),
            (1000, 0, 1)
        );
        file.verify(|_done| {}).unwrap();
        // Text is bytes too.
        SealedBytesVec::open(path).unwrap();
    }
    let refused = SealedStrVec::open(&bytes).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongType);
    assert!(refused.to_string().contains("SealedBytesVec"), "{refused}");
    #[cfg(feature = "bytemuck")]
    {
        let refused = outcore::SealedVec::<u8>::open(&text).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WrongType);
        let mut numbers = outcore::DiskVec::new_in(&disk());
        numbers.try_extend(0..10_u64).unwrap();
        numbers.seal(dir.join("numbers")).unwrap();
        let refused = SealedBytesVec::open(dir.join("numbers")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WrongType);
        assert!(refused.to_string().contains("`u64`"), "{refused}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_of_strings_is_replaced_only_when_that_is_asked_for() {
    let dir = new_dir();
    let path = dir.join("strings");
    strings(10).seal(&path).unwrap();
    let refused = strings(20).seal(&path).unwrap_err();
    let answer = refused.io_error().map(std::io::Error::kind);
    assert_eq!(answer, Some(AlreadyExists), "{refused}");
    let old = SealedStrVec::open(&path).unwrap();
    strings(20).seal_replacing(&path).unwrap();
    assert_eq!(SealedStrVec::open(&path).unwrap().len(), 20);
    assert_eq!(old.get(9).unwrap(), string(9), "an open file stays");
    strings(30).into_bytes_vec().seal_replacing(&path).unwrap();
    assert_eq!(SealedBytesVec::open(&path).unwrap().len(), 30);
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "nothing else is left"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_damaged_block_of_strings_is_named_and_the_others_are_read() {
    let dir = new_dir();
    let path = dir.join("strings");
    let model = strings(100_000);
    model.seal(&path).unwrap();
    // One byte of the text, and one of the places.
    let text_end = 4096 + model.len_bytes().next_multiple_of(64) as u64;
    for (at, number) in [
        (600_000, (600_000 - 4096) / 16_384),
        (text_end + 400_000, 0),
    ] {
        let file = fs::File::options().write(true).open(&path).unwrap();
        let byte = [fs::read(&path).unwrap()[usize::try_from(at).unwrap()]];
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let sealed = SealedStrVec::open(&path).unwrap();
        let refused = sealed.verify().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        if number > 0 {
            assert!(
                refused.to_string().contains(&format!("block {number} ")),
                "{refused}"
            );
        }
        let bad: Vec<_> = (0..sealed.len())
            .filter(|index| sealed.get(*index).is_err())
            .collect();
        assert!((100..4000).contains(&bad.len()), "{}", bad.len());
        assert_eq!(
            bad.len() - 1,
            bad[bad.len() - 1] - bad[0],
            "all in one block"
        );
        let kind = sealed.gather(&[0, bad[0]]).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::Corrupt);
        assert_eq!(sealed.get(0).unwrap(), string(0));
        assert_eq!(sealed.get(99_999).unwrap(), string(99_999));
        assert!(sealed.scan().any(|chunk| chunk.is_err()));
        assert_eq!(sealed.to_str_vec().unwrap_err().kind(), ErrorKind::Corrupt);
        file.write_all_at(&byte, at).unwrap();
    }
    SealedStrVec::open(&path).unwrap().verify().unwrap();
    fs::remove_dir_all(dir).unwrap();
}

/// The same file, read as an object store gives it: few requests, and the same strings.
#[test]
fn an_object_store_is_asked_seldom_for_strings() {
    let dir = new_dir();
    let path = dir.join("strings");
    strings(500_000).seal(&path).unwrap();
    let source = MemoryRanges::new(fs::read(&path).unwrap());
    let sealed = SealedStrVec::open_from(source.clone()).unwrap();
    assert_eq!(source.requests(), 1);
    assert_eq!(sealed.get(250_000).unwrap(), string(250_000));
    assert!(source.requests() <= 5, "{}", source.requests());
    let before = source.requests();
    assert_eq!(sealed.get(250_001).unwrap(), string(250_001));
    assert_eq!(source.requests() - before, 2);
    let near: Vec<usize> = (0..1000).map(|n| 10_000 + n * 7).collect();
    let found = sealed.gather(&near).unwrap();
    assert!(found.iter().eq(near.iter().map(|n| string(*n))));
    let before = source.requests();
    let found = sealed.gather(&near).unwrap();
    assert!(found.iter().eq(near.iter().map(|n| string(*n))));
    assert_eq!(source.requests() - before, 2, "neighbours are one request");
    // SAFETY: it is refused.
    #[expect(unsafe_code, reason = "it is refused")]
    let refused = unsafe { sealed.map().unwrap_err() };
    assert_eq!(refused.kind(), ErrorKind::Io);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn threads_share_a_file_of_strings() {
    let dir = new_dir();
    let path = dir.join("strings");
    strings(50_000).seal(&path).unwrap();
    let sealed = SealedStrVec::open(&path).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let sealed = &sealed;
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..500 {
                    let n = random.below(50_000);
                    assert_eq!(sealed.get(n).unwrap(), string(n));
                    let near = [n, random.below(50_000), n];
                    assert_eq!(sealed.gather(&near).unwrap(), near.map(string));
                }
            });
        }
    });
    fs::remove_dir_all(dir).unwrap();
}
