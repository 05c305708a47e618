//! Sealed files that someone has changed: by accident, so that checksums are wrong, or on purpose, so
//! that they are right.

use std::cell::OnceCell;
use std::fs;

use outcore::sealed::{MemoryRanges, SealedFile, Strings};
use outcore::{
    Arena, DiskVec, ErrorKind, Location, Result, ScratchDir, SealedStrVec, SealedVec, StrVec,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::bytes::{Bytes, item};
use crate::named_files;

const PAGE: usize = 4096;
const DESCRIPTION: usize = 512;
/// The numbers of a description: where they are, and how many bytes they have.
const FIELDS: [(usize, usize); 15] = [
    (8, 4),
    (12, 4),
    (16, 8),
    (32, 8),
    (40, 8),
    (48, 4),
    (52, 4),
    (56, 8),
    (64, 8),
    (72, 8),
    (80, 8),
    (96, 8),
    (120, 2),
    (122, 8),
    (377, 8),
];

/// The elements of the vector: they fill two blocks and a part of a third.
const ELEMENTS: u64 = 5000;

/// The lengths of the items of the arena.
const LENS: [usize; 8] = [3, 0, 4096, 1, 9000, 7, 20_000, 2];

/// The strings: they and their places fill two blocks and a part of a third.
const STRINGS: usize = 2500;

/// Three files, and what is in them.
struct Known {
    vector: Vec<u8>,
    strings: Vec<u8>,
    arena: Vec<u8>,
    /// The arena as it was sealed.
    whole: Arena,
    genuine: Vec<Location>,
}

thread_local! {
    static KNOWN: OnceCell<Known> = const { OnceCell::new() };
}

pub(crate) fn run(data: &[u8], planted: bool) {
    KNOWN.with(|known| {
        let known = known.get_or_init(Known::new);
        let mut bytes = Bytes::new(data);
        match bytes.byte() % 3 {
            0 => known.vector(&mut bytes, planted),
            1 => known.strings(&mut bytes, planted),
            _ => known.arena(&mut bytes, planted),
        }
    });
}

/// Changes a file; returns whether it is another one now, and whether its checksums are right.
fn change(file: &mut Vec<u8>, bytes: &mut Bytes<'_>, planted: bool) -> (bool, bool) {
    let before = file.clone();
    for _ in 0..=bytes.below(4) {
        let covered_end = file.len().saturating_sub(PAGE);
        match bytes.byte() % 8 {
            0 => {
                let len = bytes.below(file.len() + 1);
                file.truncate(len);
            }
            1 => file.extend(item(7, bytes.len(10_000))),
            // A number of the description at the end.
            2 | 3 => {
                let (at, len) = bytes.pick(&FIELDS);
                let number: u64 = match bytes.byte() % 4 {
                    0 => u64::from(bytes.byte()),
                    1 => 1 << bytes.below(64),
                    2 => u64::MAX - u64::from(bytes.byte()),
                    _ => u64::from_le_bytes(bytes.array()),
                };
                if let Some(field) = file.get_mut(covered_end + at..covered_end + at + len) {
                    field.copy_from_slice(&number.to_le_bytes()[..len]);
                }
            }
            // The last bytes before the table: the runs of an arena, the places of strings.
            4 | 5 => {
                let at = covered_end.saturating_sub(24 + bytes.below(400));
                let word = u64::from_le_bytes(bytes.array()) >> bytes.below(64);
                if let Some(target) = file.get_mut(at..at + 8) {
                    target.copy_from_slice(&word.to_le_bytes());
                }
            }
            6 if file.len() > 1 => {
                let (from, to) = (bytes.below(file.len()), bytes.below(file.len()));
                let len = bytes.below(PAGE).min(file.len() - from.max(to));
                file.copy_within(from..from + len, to);
            }
            _ if !file.is_empty() => {
                let at = bytes.below(file.len());
                file[at] ^= bytes.byte();
            }
            _ => {}
        }
    }
    let is_forged = planted || bytes.flag();
    if is_forged {
        forge(file);
    }
    (*file != before, is_forged && !planted)
}

/// Makes the checksums of a file right, as far as its description fits to its length.
fn forge(file: &mut [u8]) {
    let Some(end) = file.len().checked_sub(PAGE).filter(|end| *end >= PAGE) else {
        return;
    };
    let word = |at: usize| u64::from_le_bytes(file[end + at..end + at + 8].try_into().unwrap());
    let id: [u8; 16] = file[end + 16..end + 32].try_into().unwrap();
    let block = usize::try_from(word(48) >> 32).unwrap();
    let covered = usize::try_from(word(56)).ok().filter(|len| *len < end);
    let layout = covered.filter(|_len| block >= PAGE).and_then(|len| {
        let covered = len.next_multiple_of(64);
        let blocks = covered.div_ceil(block);
        let table = PAGE + covered;
        let index = table + 8 * blocks;
        (index + 8 * blocks.div_ceil(512) == end).then_some((table, index))
    });
    let mut sums = Vec::new();
    if let Some((table, index)) = layout {
        for (number, part) in file[PAGE..table].chunks(block).enumerate() {
            sums.extend(sum(&id, 1, number, part).to_le_bytes());
        }
        file[table..index].copy_from_slice(&sums);
        sums.clear();
        for (number, part) in file[table..index].chunks(PAGE).enumerate() {
            sums.extend(sum(&id, 2, number, part).to_le_bytes());
        }
        file[index..end].copy_from_slice(&sums);
        sums.clear();
        sums.extend(sum(&id, 3, 0, &file[index..end]).to_le_bytes());
        sums.extend(sum(&id, 5, 0, &file[..PAGE - DESCRIPTION]).to_le_bytes());
        sums.extend(sum(&id, 6, 0, &file[end + DESCRIPTION..]).to_le_bytes());
        file[end + 96..end + 120].copy_from_slice(&sums);
    }
    let own = sum(&id, 4, 0, &file[end..end + DESCRIPTION - 8]).to_le_bytes();
    file[end + DESCRIPTION - 8..end + DESCRIPTION].copy_from_slice(&own);
    file.copy_within(end..end + DESCRIPTION, PAGE - DESCRIPTION);
}

/// Returns a checksum as docs/format.md describes it.
fn sum(id: &[u8; 16], part: u64, number: usize, bytes: &[u8]) -> u64 {
    let place = [
        id.as_slice(),
        &part.to_le_bytes(),
        &(number as u64).to_le_bytes(),
    ]
    .concat();
    xxh3_64_with_seed(bytes, xxh3_64(&place))
}

/// Returns a string with letters of one to four bytes.
fn string(n: usize) -> String {
    format!("{n}{}", ["", "\u{e9}", "\u{20ac}", "\u{1f980}"][n % 4])
}

/// Returns copies of strings one by one.
fn owned(strings: Result<Strings>) -> Result<Vec<String>> {
    Ok(strings?.iter().map(str::to_owned).collect())
}

/// Checks the kind of an error of a file that is no longer what it was.
fn expect(refused: &outcore::Error, is_forged: bool) {
    let kind = refused.kind();
    let is_right = match kind {
        ErrorKind::Corrupt | ErrorKind::UnknownVersion => true,
        ErrorKind::WrongType | ErrorKind::InvalidUtf8 => is_forged,
        _ => false,
    };
    assert!(is_right, "{kind:?}: {refused}");
}

/// Verifies a file: what changed and has wrong checksums must not pass.
fn verify(source: &MemoryRanges, is_other: bool, is_forged: bool) {
    let verified = SealedFile::open_from(source.clone()).and_then(|file| {
        let mut last = 0;
        file.verify(|done| {
            assert!(last <= done && done <= file.file_bytes());
            last = done;
        })
    });
    match verified {
        Ok(()) => assert!(!is_other || is_forged, "the change was not noticed"),
        Err(refused) => {
            assert!(is_other, "{refused}");
            expect(&refused, is_forged);
        }
    }
}

impl Known {
    fn new() -> Self {
        let scratch = ScratchDir::from_env().unwrap();
        let dir = named_files();
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("sealed-{:?}", std::thread::current().id()));
        let mut numbers = DiskVec::<u64>::new_in(&scratch);
        numbers.try_extend((0..ELEMENTS).map(|n| n * 3)).unwrap();
        numbers.seal_replacing(&path).unwrap();
        let vector = fs::read(&path).unwrap();
        let mut strings = StrVec::new_in(&scratch);
        strings.try_extend((0..STRINGS).map(string)).unwrap();
        strings.seal_replacing(&path).unwrap();
        let strings = fs::read(&path).unwrap();
        let arena = Arena::new_in(&scratch).unwrap();
        let mut genuine = Vec::new();
        // Two writers at a time, so that there are several runs.
        let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
        for (id, len) in (0..).zip(LENS) {
            for writer in &mut writers {
                genuine.push(writer.push(item(id, len)).unwrap());
            }
        }
        drop(writers);
        arena.seal_replacing(&path).unwrap();
        let arena = fs::read(&path).unwrap();
        drop(fs::remove_file(&path));
        drop(fs::remove_dir(&dir));
        Self {
            vector,
            strings,
            whole: Arena::open_from(MemoryRanges::new(arena.clone())).unwrap(),
            arena,
            genuine,
        }
    }

    fn vector(&self, bytes: &mut Bytes<'_>, planted: bool) {
        let mut file = self.vector.clone();
        let (is_other, is_forged) = change(&mut file, bytes, planted);
        let source = MemoryRanges::new(file);
        verify(&source, is_other, is_forged);
        let found = match SealedVec::<u64>::open_from(source) {
            Ok(found) => found,
            Err(refused) => return expect(&refused, is_forged),
        };
        let len = found.len();
        assert!(is_forged || len as u64 == ELEMENTS);
        while !bytes.is_empty() {
            let start = bytes.below(len + 2);
            let end = start + bytes.below(3000);
            let read = found.read(start..end);
            let indices = [start, end, start / 2];
            let gathered = found.gather(&indices);
            if end > len {
                let kind = read.unwrap_err().kind();
                assert_eq!(kind, ErrorKind::OutOfBounds);
                continue;
            }
            let right = |(found, n): (&u64, u64)| is_forged || *found == n * 3;
            match read {
                Ok(read) => assert!(
                    read.len() == end - start && read.iter().zip(start as u64..).all(right),
                    "wrong elements"
                ),
                Err(refused) => expect(&refused, is_forged),
            }
            match gathered {
                Ok(gathered) => {
                    let wanted = indices.map(|index| index as u64);
                    assert!(gathered.iter().zip(wanted).all(right), "wrong elements");
                }
                Err(refused) if end == len => assert_eq!(refused.kind(), ErrorKind::OutOfBounds),
                Err(refused) => expect(&refused, is_forged),
            }
        }
    }

    fn strings(&self, bytes: &mut Bytes<'_>, planted: bool) {
        let mut file = self.strings.clone();
        let (is_other, is_forged) = change(&mut file, bytes, planted);
        let source = MemoryRanges::new(file);
        verify(&source, is_other, is_forged);
        let found = match SealedStrVec::open_from(source) {
            Ok(found) => found,
            Err(refused) => return expect(&refused, is_forged),
        };
        let len = found.len();
        assert!(is_forged || len == STRINGS);
        while !bytes.is_empty() {
            let start = bytes.below(len + 2);
            let end = start + bytes.below(300);
            let answers = [
                found.get(start).map(|string| vec![string]),
                owned(found.read(start..end)),
                owned(found.gather(&[end, start])),
            ];
            let wanted = [vec![start], (start..end).collect(), vec![end, start]];
            for (answer, wanted) in answers.into_iter().zip(wanted) {
                let is_within = start <= len && wanted.iter().all(|index| *index < len);
                match answer {
                    Ok(_) if !is_within => panic!("{wanted:?} of {len} strings"),
                    Ok(strings) if is_forged => assert_eq!(strings.len(), wanted.len()),
                    Ok(strings) => {
                        let right = strings.into_iter().eq(wanted.into_iter().map(string));
                        assert!(right, "wrong strings");
                    }
                    Err(refused) if !is_within => {
                        assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
                    }
                    Err(refused) => expect(&refused, is_forged),
                }
            }
        }
        match found.scan().collect::<Result<Vec<_>>>() {
            Ok(chunks) => assert_eq!(chunks.iter().map(Strings::len).sum::<usize>(), len),
            Err(refused) => expect(&refused, is_forged),
        }
    }

    fn arena(&self, bytes: &mut Bytes<'_>, planted: bool) {
        let mut file = self.arena.clone();
        let (is_other, is_forged) = change(&mut file, bytes, planted);
        let source = MemoryRanges::new(file);
        verify(&source, is_other, is_forged);
        let found = match Arena::open_from(source) {
            Ok(found) => found,
            Err(refused) => return expect(&refused, is_forged),
        };
        let mut locations = self.genuine.clone();
        while !bytes.is_empty() && locations.len() < 60 {
            let mut raw = bytes.pick(&self.genuine).to_bytes();
            match bytes.byte() % 3 {
                0 => raw = bytes.array(),
                1 => raw[bytes.below(12)] ^= 1 << bytes.below(8),
                _ => raw[8..10].copy_from_slice(&bytes.array::<2>()),
            }
            locations.push(Location::from_bytes(raw));
        }
        let answers: Vec<Result<Vec<u8>>> = locations.iter().map(|at| found.get(*at)).collect();
        for (location, answer) in locations.iter().zip(&answers) {
            let known = self.whole.get(*location);
            match (answer, known) {
                (Ok(bytes), _) if is_forged => assert_eq!(bytes.len(), location.len() as usize),
                (Ok(bytes), known) => assert!(*bytes == known.unwrap(), "wrong bytes"),
                (Err(refused), Err(known)) if !is_forged => {
                    assert_eq!(refused.kind(), known.kind());
                }
                (Err(refused), _) => match refused.kind() {
                    ErrorKind::OutOfBounds | ErrorKind::ForeignLocation => assert!(is_forged),
                    _ => expect(refused, is_forged),
                },
            }
        }
        let streamed = found.stream(locations.iter().copied());
        for (answer, streamed) in answers.iter().zip(streamed) {
            assert_eq!(answer.as_ref().ok(), streamed.as_ref().ok());
        }
        let all = found.get_many(&locations, |index, bytes| {
            assert!(answers[index].as_ref().unwrap() == bytes);
        });
        assert_eq!(all.is_ok(), answers.iter().all(Result::is_ok), "{all:?}");
    }
}
