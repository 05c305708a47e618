//! Vectors that are sealed into files, and read by other objects, other readers, other languages.

use std::fs;
use std::io::ErrorKind::AlreadyExists;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use outcore::sealed::{Kind, MemoryRanges, SealedFile};
use outcore::{Arena, DiskVec, ErrorKind, Location, SealedVec};

use crate::support::python::{output, python};
use crate::support::random::Random;
use crate::support::{disk, new_dir, skipped, test_name};

/// A struct without padding, whose size is no divisor of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
struct Point {
    x: i32,
    y: i32,
    z: i32,
}

fn point(n: i32) -> Point {
    Point {
        x: n,
        y: -n,
        z: 3 * n,
    }
}

fn points(count: i32) -> DiskVec<Point> {
    let mut points = DiskVec::new_in(&disk());
    points.try_extend((0..count).map(point)).unwrap();
    points
}

#[test]
fn a_sealed_vector_answers_as_the_one_in_memory() {
    let dir = new_dir();
    let mut random = Random::new(7);
    for count in [0, 1, 100, 1365, 1366, 60_000, 300_000] {
        let path = dir.join(format!("points-{count}"));
        let model = points(count);
        model.seal(&path).unwrap();
        let sealed = SealedVec::<Point>::open(&path).unwrap();
        assert_eq!(sealed.len(), model.len());
        assert_eq!(sealed.is_empty(), model.is_empty());
        for _ in 0..200 {
            let len = sealed.len();
            let start = random.below(len + 1);
            let end = start + random.len(len - start);
            assert!(
                sealed.read(start..end).unwrap() == model[start..end],
                "{start}..{end}"
            );
            if len > 0 {
                let index = random.below(len);
                assert_eq!(sealed.get(index).unwrap(), model[index]);
                let indices: Vec<_> = (0..random.len(100)).map(|_| random.below(len)).collect();
                assert_eq!(
                    sealed.gather(&indices).unwrap(),
                    model.gather(&indices).unwrap()
                );
                let wanted = point(i32::try_from(random.below(len + 10)).unwrap());
                assert_eq!(
                    sealed.binary_search(&wanted).unwrap(),
                    model.binary_search(&wanted)
                );
            }
        }
        assert!(sealed.read(..).unwrap() == model[..]);
        let scanned: Vec<Point> = sealed.scan().flat_map(Result::unwrap).collect();
        assert!(scanned == model[..]);
        assert!(sealed.to_disk_vec().unwrap()[..] == model[..]);
        sealed.verify().unwrap();
        // SAFETY: no other process knows the file.
        #[expect(unsafe_code, reason = "only this test has the file")]
        let map = unsafe { sealed.map().unwrap() };
        assert!(map[..] == model[..]);
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn indices_past_the_end_are_errors() {
    let dir = new_dir();
    points(10).seal(dir.join("points")).unwrap();
    let sealed = SealedVec::<Point>::open(dir.join("points")).unwrap();
    let refusals = [
        sealed.get(10).unwrap_err(),
        sealed.get(usize::MAX).unwrap_err(),
        sealed.gather(&[3, 10]).unwrap_err(),
        sealed.read(5..11).unwrap_err(),
        sealed.read(..=usize::MAX).unwrap_err(),
        #[expect(clippy::reversed_empty_ranges, reason = "it is refused")]
        sealed.read(6..5).unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{refused}");
        assert_eq!(refused.path(), Some(dir.join("points").as_path()));
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn only_the_type_that_was_written_is_read() {
    mod elsewhere {
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        pub(super) struct Point([i32; 3]);
    }
    #[derive(Clone, Copy, Debug, Pod, Zeroable)]
    #[repr(C)]
    struct Point3([i32; 3]);
    let dir = new_dir();
    let path = dir.join("points");
    points(10).seal(&path).unwrap();
    for refused in [
        SealedVec::<u32>::open(&path).unwrap_err(),
        SealedVec::<[i32; 3]>::open(&path).unwrap_err(),
        SealedVec::<Point3>::open(&path).unwrap_err(),
        SealedVec::<[u8; 11]>::open(&path).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::WrongType, "{refused}");
        assert!(refused.to_string().contains("`Point`"), "{refused}");
    }
    // A type may move between modules, and its bytes are bytes.
    SealedVec::<elsewhere::Point>::open(&path).unwrap();
    let bytes = SealedVec::<[u8; 12]>::open(&path).unwrap();
    assert_eq!(bytemuck::cast::<_, Point>(bytes.get(7).unwrap()), point(7));

    let numbers = dir.join("numbers");
    let mut vec = DiskVec::new_in(&disk());
    vec.try_extend(0..10_u64).unwrap();
    vec.seal(&numbers).unwrap();
    for refused in [
        SealedVec::<i64>::open(&numbers).unwrap_err(),
        SealedVec::<f64>::open(&numbers).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::WrongType, "{refused}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_is_replaced_only_when_that_is_asked_for() {
    let dir = new_dir();
    let path = dir.join("points");
    points(10).seal(&path).unwrap();
    let refused = points(20).seal(&path).unwrap_err();
    assert_eq!(
        refused.io_error().map(std::io::Error::kind),
        Some(AlreadyExists),
        "{refused}"
    );
    let old = SealedVec::<Point>::open(&path).unwrap();
    points(20).seal_replacing(&path).unwrap();
    assert_eq!(SealedVec::<Point>::open(&path).unwrap().len(), 20);
    assert_eq!(old.get(9).unwrap(), point(9), "an open file stays");
    points(30).seal_replacing(dir.join("new")).unwrap();
    let names = fs::read_dir(&dir).unwrap().count();
    assert_eq!(names, 2, "nothing else is left");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_is_no_sealed_file_is_an_error() {
    let dir = new_dir();
    for (name, bytes) in [("empty", 0), ("short", 100), ("long", 100_000)] {
        fs::write(dir.join(name), vec![b'x'; bytes]).unwrap();
        let refused = SealedFile::open(dir.join(name)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    }
    let refused = SealedFile::open(dir.join("none")).unwrap_err();
    assert_eq!(
        std::io::Error::from(refused).kind(),
        std::io::ErrorKind::NotFound
    );
    assert_eq!(SealedFile::open(&dir).unwrap_err().kind(), ErrorKind::Io);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_damaged_block_is_named_and_the_others_are_read() {
    let dir = new_dir();
    let path = dir.join("points");
    points(100_000).seal(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0x11], 600_000).unwrap();
    let sealed = SealedVec::<Point>::open(&path).unwrap();
    let damaged = (600_000 - 4096) / 12;
    let refused = sealed.get(damaged).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    let block = SealedFile::open(&path).unwrap().block_bytes() as usize;
    let name = format!("block {}", (600_000 - 4096) / block);
    assert!(refused.to_string().contains(&name), "{refused}");
    assert_eq!(
        sealed.verify().unwrap_err().to_string(),
        refused.to_string()
    );
    assert_eq!(
        sealed.gather(&[0, damaged]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert_eq!(sealed.get(0).unwrap(), point(0));
    assert_eq!(sealed.get(99_999).unwrap(), point(99_999));
    assert!(sealed.scan().any(|chunk| chunk.is_err()));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_says_what_it_holds() {
    let dir = new_dir();
    points(1000).seal(dir.join("points")).unwrap();
    let file = SealedFile::open(dir.join("points")).unwrap();
    assert_eq!((file.kind(), file.version()), (Kind::Vector, 1));
    assert_eq!((file.elements(), file.data_bytes()), (1000, 12_000));
    assert_eq!((file.element_bytes(), file.element_align()), (12, 4));
    assert_eq!(file.type_name(), "Point");
    assert_eq!(
        file.file_bytes(),
        fs::metadata(dir.join("points")).unwrap().len()
    );
    let mut last = 0;
    file.verify(|done| {
        assert!(done >= last);
        last = done;
    })
    .unwrap();
    assert_eq!(last, file.file_bytes());
    points(1000).seal(dir.join("others")).unwrap();
    assert_ne!(
        SealedFile::open(dir.join("others")).unwrap().id(),
        file.id()
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn locations_lead_to_their_items_after_they_were_sealed() {
    let dir = new_dir();
    let arena = Arena::new_in(&disk()).unwrap();
    let mut writer = arena.writer().unwrap();
    let mut places = DiskVec::<Location>::new_in(&disk());
    for n in 0..1000 {
        places
            .push(writer.push(format!("item {n}")).unwrap())
            .unwrap();
    }
    writer.finish().unwrap();
    places.seal(dir.join("places")).unwrap();
    let places = SealedVec::<Location>::open(dir.join("places")).unwrap();
    assert_eq!(arena.get(places.get(471).unwrap()).unwrap(), b"item 471");
    fs::remove_dir_all(dir).unwrap();
}

/// The same file, read as an object store gives it: few requests, and the same elements.
#[test]
fn an_object_store_is_asked_seldom() {
    let dir = new_dir();
    let path = dir.join("points");
    points(300_000).seal(&path).unwrap();
    let source = MemoryRanges::new(fs::read(&path).unwrap());
    let sealed = SealedVec::<Point>::open_from(source.clone()).unwrap();
    assert_eq!(
        source.requests(),
        1,
        "the end of the file has all that opening needs"
    );
    assert_eq!(sealed.get(150_000).unwrap(), point(150_000));
    assert_eq!(source.requests(), 3, "a part of the table, and a block");
    assert_eq!(sealed.get(150_001).unwrap(), point(150_001));
    assert_eq!(source.requests(), 4);
    let before = source.requests();
    let near: Vec<usize> = (0..1000).map(|n| 10_000 + n * 7).collect();
    let found = sealed.gather(&near).unwrap();
    assert!(
        found
            .iter()
            .zip(&near)
            .all(|(found, n)| *found == point(i32::try_from(*n).unwrap()))
    );
    assert_eq!(source.requests() - before, 1, "neighbours are one request");
    assert_eq!(sealed.read(..).unwrap().len(), 300_000);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn threads_and_readers_share_a_file() {
    let dir = new_dir();
    let path = dir.join("points");
    points(200_000).seal(&path).unwrap();
    let sealed = SealedVec::<Point>::open(&path).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (sealed, path) = (&sealed, &path);
            scope.spawn(move || {
                let own = SealedVec::<Point>::open(path).unwrap();
                let mut random = Random::new(seed);
                for _ in 0..2000 {
                    let n = random.below(200_000);
                    assert_eq!(sealed.get(n).unwrap(), point(i32::try_from(n).unwrap()));
                    assert_eq!(own.get(n).unwrap(), point(i32::try_from(n).unwrap()));
                }
            });
        }
    });
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn elements_without_bytes_are_counted() {
    let dir = new_dir();
    let mut nothing = DiskVec::<()>::new();
    nothing.try_extend([(); 5]).unwrap();
    nothing.seal(dir.join("nothing")).unwrap();
    let sealed = SealedVec::<()>::open(dir.join("nothing")).unwrap();
    assert_eq!(sealed.read(..).unwrap(), [(); 5]);
    assert_eq!(sealed.gather(&[4]).unwrap(), [()]);
    assert_eq!(sealed.get(5).unwrap_err().kind(), ErrorKind::OutOfBounds);
    sealed.verify().unwrap();
    fs::remove_dir_all(dir).unwrap();
}

/// Seals one vector of each type of number, and of structs.
fn seal_types(dir: &Path) {
    macro_rules! seal {
        ($($number:ty),*) => {$(
            let mut vec = DiskVec::<$number>::new_in(&disk());
            vec.try_extend((0..100_000).map(|n| (n % 100).to_string().parse::<$number>().unwrap())).unwrap();
            vec.seal(dir.join(stringify!($number))).unwrap();
        )*};
    }
    seal!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);
    points(100_000).seal(dir.join("point")).unwrap();
    points(0).seal(dir.join("empty")).unwrap();
}

#[test]
fn arrow_reads_sealed_vectors_without_a_copy() {
    let Some(mut python) = python("pyarrow") else {
        return skipped(test_name!(), "no python with pyarrow");
    };
    let dir = new_dir();
    seal_types(&dir);
    let script = r#"
import sys, os, struct
import pyarrow as pa
for name in sorted(os.listdir(sys.argv[1])):
    before = pa.total_allocated_bytes()
    source = pa.memory_map(os.path.join(sys.argv[1], name))
    reader = pa.ipc.open_file(source)
    table = reader.read_all()
    table.validate(full=True)
    assert reader.num_record_batches == 1
    column = table.column("values").chunk(0)
    assert pa.total_allocated_bytes() == before, "zero copies"
    if name == "point":
        assert column.type == pa.binary(12), column.type
        assert struct.unpack("<iii", column[4711].as_py()) == (4711, -4711, 3 * 4711)
    elif name == "empty":
        assert len(column) == 0
    else:
        kind = {"f32": "float", "f64": "double"}.get(name)
        kind = kind or name.replace("u", "uint").replace("i", "int", 1) if name[0] == "i" else kind or name.replace("u", "uint")
        assert str(column.type) == kind, (name, column.type)
        assert column.to_pylist() == [n % 100 for n in range(100000)], name
    print(name, end=" ")
"#;
    let read = output(python.args(["-c", script]).arg(&dir));
    assert_eq!(read, "empty f32 f64 i16 i32 i64 i8 point u16 u32 u64 u8 ");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn polars_reads_sealed_vectors() {
    let Some(mut python) = python("polars") else {
        return skipped(test_name!(), "no python with polars");
    };
    let dir = new_dir();
    seal_types(&dir);
    let script = r#"
import sys, os
import polars as pl
for name in ["u32", "f64", "i8"]:
    path = os.path.join(sys.argv[1], name)
    for frame in [pl.read_ipc(path), pl.scan_ipc(path).collect()]:
        assert frame["values"].to_list() == [n % 100 for n in range(100000)], name
print("read")
"#;
    assert_eq!(output(python.args(["-c", script]).arg(&dir)), "read\n");
    fs::remove_dir_all(dir).unwrap();
}

/// The reader in examples/ uses nothing of this library: docs/format.md is enough to write one.
#[test]
fn a_reader_in_another_language_verifies_and_reads() {
    let Some(mut python) = python("xxhash") else {
        return skipped(test_name!(), "no python with xxhash");
    };
    let dir = new_dir();
    let path = dir.join("numbers");
    let mut numbers = DiskVec::<u64>::new_in(&disk());
    numbers
        .try_extend((0..1_000_000_u64).map(|n| n * n))
        .unwrap();
    numbers.seal(&path).unwrap();
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/read_sealed.py");
    let read = output(python.arg(&reader).arg(&path).args(["0", "999999"]));
    assert_eq!(read, "1000000 u64, verified\n0: 0\n999999: 999998000001\n");

    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xEE], 600_000).unwrap();
    let ran = python.output().unwrap();
    assert!(!ran.status.success(), "a damaged block is read");
    assert!(
        String::from_utf8_lossy(&ran.stderr).contains("block"),
        "{ran:?}"
    );
    fs::remove_dir_all(dir).unwrap();
}
