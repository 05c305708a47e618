//! Sealed files in which bytes changed, were cut off, or came from another file: it is noticed, and
//! whatever can still be read is right.
//!
//! The same for the vector, byte by byte, is in `src/format/tests.rs`. Files of strings whose checksums
//! are right, and what they say is not, are in `src/composites/strings/sealed/tests.rs`.

use std::fs;
use std::path::Path;

use outcore::sealed::{MemoryRanges, SealedFile};
use outcore::{
    Arena, BytesVec, DiskVec, ErrorKind, Location, Result, SealedBytesVec, SealedStrVec, SealedVec,
    StrVec,
};

use crate::support::{arena, disk, new_dir};

/// A file, the same sealed once more, and a reader that panics if it reads anything wrong.
struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
    twin: Vec<u8>,
    read: Box<dyn Fn(MemoryRanges) -> Result<()>>,
}

impl Sample {
    fn of(
        name: &'static str,
        seal: impl Fn(&Path) -> Result<()>,
        read: impl Fn(MemoryRanges) -> Result<()> + 'static,
    ) -> Self {
        let dir = new_dir();
        let sealed = |name: &str| {
            seal(&dir.join(name)).unwrap();
            fs::read(dir.join(name)).unwrap()
        };
        let sample = Self {
            name,
            bytes: sealed("one"),
            twin: sealed("two"),
            read: Box::new(read),
        };
        fs::remove_dir_all(dir).unwrap();
        let all = (sample.read)(MemoryRanges::new(sample.bytes.clone()));
        all.unwrap();
        sample
    }

    /// Checks that other bytes than those of this file are noticed.
    fn check(&self, bytes: &[u8], what: &str) {
        let source = MemoryRanges::new(bytes.to_vec());
        // It panics if it reads something wrong.
        if let Err(refused) = (self.read)(source.clone()) {
            assert_eq!(
                refused.kind(),
                ErrorKind::Corrupt,
                "{}: {what}: {refused}",
                self.name
            );
        }
        let verified = SealedFile::open_from(source).and_then(|file| file.verify(|_done| {}));
        let Err(refused) = verified else {
            panic!("{}: {what}: it was not found", self.name);
        };
        assert_eq!(
            refused.kind(),
            ErrorKind::Corrupt,
            "{}: {what}: {refused}",
            self.name
        );
    }
}

/// Two blocks of numbers, the second one short.
fn numbers() -> Sample {
    let mut numbers = DiskVec::<u32>::new_in(&disk());
    numbers.try_extend((0..4200).map(|n| n * 7)).unwrap();
    let right = numbers.to_vec();
    let seal = move |path: &Path| numbers.seal(path);
    Sample::of("vector", seal, move |source| {
        let found = SealedVec::<u32>::open_from(source)?;
        let mut refused = None;
        for start in (0..4200).step_by(600) {
            match found.read(start..start + 600) {
                Ok(part) => assert!(part == right[start..start + 600]),
                Err(why) => refused = Some(why),
            }
        }
        refused.map_or(Ok(()), Err)
    })
}

fn item(n: u8) -> Vec<u8> {
    (0..170)
        .map(|at| n.wrapping_mul(3).wrapping_add(at))
        .collect()
}

/// Two blocks of items, with a gap between two runs.
fn items() -> Sample {
    let arena = arena();
    let mut locations: Vec<Location> = Vec::new();
    let mut others = Vec::new();
    for part in [0..60, 60..100] {
        let mut writer = arena.writer().unwrap();
        locations.extend(part.map(|n| writer.push(item(n)).unwrap()));
        writer.finish().unwrap();
        // The next writer begins elsewhere.
        let mut other = arena.writer().unwrap();
        other.push("not flushed").unwrap();
        others.push(other);
    }
    let seal = move |path: &Path| {
        assert_eq!(others.len(), 2);
        arena.seal(path)
    };
    Sample::of("arena", seal, move |source| {
        let found = Arena::open_from(source)?;
        let mut refused = None;
        for (n, location) in (0..).zip(&locations) {
            match found.get(*location) {
                Ok(bytes) => assert!(bytes == item(n)),
                Err(why) => refused = Some(why),
            }
        }
        refused.map_or(Ok(()), Err)
    })
}

/// Two blocks of strings and of their places.
fn strings() -> Sample {
    let mut strings = StrVec::new_in(&disk());
    let right: Vec<_> = (0..1500).map(|n| format!("{}\u{e9}{n}", n % 7)).collect();
    strings.try_extend(&right).unwrap();
    let seal = move |path: &Path| strings.seal(path);
    Sample::of("strings", seal, move |source| {
        let found = SealedStrVec::open_from(source)?;
        let mut refused = None;
        for start in (0..1500).step_by(250) {
            match found.read(start..start + 250) {
                Ok(part) => assert!(part == right[start..start + 250]),
                Err(why) => refused = Some(why),
            }
            match found.gather(&[1499, start, start]) {
                Ok(part) => assert!(part == [&right[1499], &right[start], &right[start]]),
                Err(why) => refused = Some(why),
            }
        }
        refused.map_or(Ok(()), Err)
    })
}

/// The same of byte strings, read in order.
fn byte_strings() -> Sample {
    let mut blobs = BytesVec::new_in(&disk());
    let right: Vec<_> = (0..600_usize).map(|n| vec![0xFF; n % 60]).collect();
    blobs.try_extend(&right).unwrap();
    let seal = move |path: &Path| blobs.seal(path);
    Sample::of("byte strings", seal, move |source| {
        let found = SealedBytesVec::open_from(source)?;
        let mut refused = None;
        for chunk in found.scan() {
            match chunk {
                Ok(all) => assert!(all == right[..]),
                Err(why) => refused = Some(why),
            }
        }
        match found.get(599) {
            Ok(last) => assert!(last == right[599]),
            Err(why) => refused = Some(why),
        }
        refused.map_or(Ok(()), Err)
    })
}

fn samples() -> [Sample; 4] {
    [numbers(), items(), strings(), byte_strings()]
}

#[test]
fn every_byte_that_changes_is_noticed_in_files_of_any_kind() {
    for sample in samples() {
        let mut bytes = sample.bytes.clone();
        for at in 0..bytes.len() {
            let mask = if at % 2 == 0 { 1 << (at / 2 % 8) } else { 0xFF };
            bytes[at] ^= mask;
            sample.check(&bytes, &format!("byte {at} changed by {mask:02x}"));
            bytes[at] ^= mask;
        }
    }
}

#[test]
fn files_of_any_kind_are_refused_at_any_other_length() {
    for sample in samples() {
        for len in 0..sample.bytes.len() {
            let source = MemoryRanges::new(sample.bytes[..len].to_vec());
            let refused = (sample.read)(source).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt, "{}: {len}", sample.name);
        }
        for more in [1, 8, 16, 64, 4096] {
            let longer = [&sample.bytes[..], &vec![0; more]].concat();
            sample.check(&longer, &format!("{more} bytes more"));
        }
    }
}

/// The twin has the same data, and other checksums: its id is another.
#[test]
fn parts_of_another_file_are_noticed_in_files_of_any_kind() {
    const SECTOR: usize = 512;
    for sample in samples() {
        let (bytes, twin) = (&sample.bytes, &sample.twin);
        assert_eq!(bytes.len(), twin.len());
        let mut mixed = 0;
        for at in (0..bytes.len()).step_by(SECTOR) {
            let end = (at + SECTOR).min(bytes.len());
            let one = [&bytes[..at], &twin[at..end], &bytes[end..]].concat();
            let cut = [&bytes[..at], &twin[at..]].concat();
            for other in [one, cut] {
                if other != *bytes && other != *twin {
                    sample.check(&other, &format!("mixed at {at}"));
                    mixed += 1;
                }
            }
        }
        assert!(mixed > 20, "{mixed}");
    }
}

/// The campaign is only worth something if it notices a reader that believes what it reads.
#[test]
fn a_reader_that_does_not_verify_is_found_out() {
    let mut sample = numbers();
    let right = sample.bytes.clone();
    sample.read = Box::new(move |source| {
        use outcore::sealed::ReadRanges;
        let wanted = 4096..8192;
        source.read_ranges(std::slice::from_ref(&wanted), &mut |_number, bytes| {
            assert!(bytes == &right[4096..8192], "wrong elements");
        })?;
        Ok(())
    });
    let mut bytes = sample.bytes.clone();
    bytes[5000] ^= 1;
    let check = std::panic::AssertUnwindSafe(|| sample.check(&bytes, "planted"));
    let panicked = std::panic::catch_unwind(check).unwrap_err();
    let why = panicked.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(why.contains("wrong elements"), "{why}");
}
