//! `outcore sort` beside `LC_ALL=C sort`: the same bytes for every option that both have, on inputs that
//! are hard to get right. Without a GNU sort these tests say so.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{TestDir, outcore};

/// Pieces that lines are made of. The byte 80 is not among them: GNU sort 9.1 takes it for a separator of
/// thousands, which the C locale does not have.
const WORDS: &[&[u8]] = &[
    b"a",
    b"B",
    b"b",
    b"A",
    b"",
    b" ",
    b"  ",
    b"\t",
    b"1",
    b"01",
    b"-1",
    b"1.5",
    b"-0",
    b".5",
    b"1e3",
    b"1K",
    b"2M",
    b"1k",
    b"0x10",
    b"inf",
    b"-inf",
    // No NaN: GNU sort 9.1 compares those by bytes of memory that it has not set, so that equal ones may
    // differ. What they are here is tested beside the order of numbers.
    b"JAN",
    b"feb",
    b"Dec ",
    b"\0",
    b"\xff",
    b"\xc3\xa4",
    b"a1",
    b"a10",
    b"a2",
    b"a~",
    b"a.b",
    b".a",
    b"..",
    b".",
    b"v1.2.tar.gz",
    b"v1.10.tar.gz",
    b"\r",
    b"a\0b",
    b":",
    b",",
    b"1,000",
    b"+5",
    b"-",
    b"--1",
    b"1.",
    b"1.K",
    b"00",
    b"a00",
    b"a0b",
    b"\x01",
    b"\x7f",
    b"~",
    b"#",
    b"a-b",
    b"(1)",
    b"123456789012345678901234567890",
    b"0.1",
    b"0.10000000000000000000001",
    b"1e-4950",
    b"2e5000",
    b"1G",
    b"999M",
];

/// Options, of which each goes with each.
const OPTIONS: &[&[&str]] = &[
    &["-b"],
    &["-d"],
    &["-f"],
    &["-g"],
    &["-h"],
    &["-i"],
    &["-M"],
    &["-n"],
    &["-r"],
    &["-V"],
    &["-u"],
    &["-s"],
    &["-z"],
    &["-m"],
    &["-t", ":"],
    &["-k2"],
    &["-k", "1.2,2.3b"],
    &["-k2,2nr"],
    &["-k1,1f", "-k", "3b"],
    &["-t", " "],
    &["-t", "\\0"],
    &["-k2b,2.1b"],
    &["--sort=version"],
    &["-k", "2g,2", "-k1,1V"],
    &["-k1.2,1.1"],
    &["-k3Mr"],
    &["-k2hf"],
];

/// Numbers that a seed decides.
struct Random(u64);

impl Random {
    fn seeded(default: u64) -> Self {
        let asked = std::env::var("OUTCORE_SEED").ok();
        Self(asked.map_or(default, |seed| seed.parse().unwrap()))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn line(&mut self, separator: u8) -> Vec<u8> {
        let mut line = Vec::new();
        for _ in 0..self.pick(&[0, 1, 1, 2, 2, 3, 5]) {
            line.extend_from_slice(self.pick(WORDS));
            line.extend_from_slice(self.pick(&[&b""[..], b"", b" ", b":", b"\t", b"\n"]));
        }
        if self.one_in(80) {
            line.resize(line.len() + self.pick(&[500, 5000, 70_000]), b'x');
        }
        line.retain(|&byte| byte != separator);
        line
    }

    fn text(&mut self, separator: u8) -> Vec<u8> {
        let mut text = Vec::new();
        let carriage_return = self.one_in(5);
        for _ in 0..self.pick(&[0, 1, 2, 5, 20, 60]) {
            text.extend(self.line(separator));
            if carriage_return {
                text.push(b'\r');
            }
            text.push(separator);
        }
        if self.one_in(3) {
            text.pop();
        }
        text
    }

    fn key(&mut self) -> String {
        let mut key = String::new();
        let ends = self.below(2);
        for end in 0..=ends {
            if end == 1 {
                key.push(',');
            }
            key += &(1 + self.below(4)).to_string();
            if self.one_in(3) {
                key.push('.');
                key += &(self.below(3) + 1 - end).to_string();
            }
            for _ in 0..self.pick(&[0, 0, 1, 1, 2]) {
                key += self.pick(&["b", "d", "f", "g", "h", "i", "M", "n", "r", "V"]);
            }
        }
        key
    }
}

/// Runs GNU sort, if there is one.
fn gnu(options: &[String], files: &[PathBuf]) -> Option<Output> {
    let mut command = Command::new("sort");
    command.env("LC_ALL", "C").args(options).args(files);
    command.output().ok()
}

fn is_gnu_here() -> bool {
    let version = Command::new("sort").arg("--version").output();
    let is_here = version.is_ok_and(|output| output.stdout.starts_with(b"sort (GNU"));
    if !is_here {
        eprintln!("skipped: there is no GNU sort to compare with");
    }
    is_here
}

fn ours(options: &[String], files: &[PathBuf], more: &[String]) -> Output {
    let mut command = outcore(&["sort", "-q", "--no-unpack"]);
    command.args(more).args(options).args(files);
    command.output().unwrap()
}

/// Returns what is different, if anything is.
fn difference(options: &[String], files: &[PathBuf], more: &[String]) -> Option<String> {
    let expected = gnu(options, files).unwrap();
    let found = ours(options, files, more);
    let refused = expected.status.code() == Some(2);
    let same_code = expected.status.code() == found.status.code();
    let same = if refused {
        !found.status.success()
    } else {
        same_code && expected.stdout == found.stdout && same_line(&expected, &found)
    };
    (!same).then(|| format!("{options:?} {more:?}:\n{expected:?}\n{found:?}"))
}

/// Whether both name the same line as the first out of order: `sort: FILE:LINE: disorder: TEXT`.
fn same_line(expected: &Output, found: &Output) -> bool {
    let number = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.split(':').nth(2).map(str::to_owned)
    };
    !expected.stderr.starts_with(b"sort: ") || number(expected) == number(found)
}

fn owned(options: &[&str]) -> Vec<String> {
    options.iter().map(|&option| option.to_owned()).collect()
}

/// Files of which `-m` may be asked: sorted by GNU sort in the same way.
fn put_in_order(options: &[String], files: &[PathBuf]) {
    let rest: Vec<_> = options
        .iter()
        .filter(|option| !["-m", "-c", "-C"].contains(&option.as_str()))
        .cloned()
        .collect();
    for file in files {
        let mut options = rest.clone();
        options.extend(["-o".to_owned(), file.to_str().unwrap().to_owned()]);
        // What is refused is refused again.
        gnu(&options, std::slice::from_ref(file)).unwrap();
    }
}

/// How small things are made, so that few lines take all paths.
fn small(random: &mut Random) -> Vec<String> {
    let mut more = Vec::new();
    if !random.one_in(3) {
        let chunk = random.pick(&["2", "16", "100"]);
        let threads = random.pick(&["1", "2", "3"]);
        more.extend(owned(&["--test-chunk", chunk, "-j", threads]));
    }
    if random.one_in(2) {
        let part = random.pick(&["1", "30", "200"]);
        more.extend(owned(&["--test-part", part, "-j", "3"]));
    }
    if random.one_in(3) {
        more.extend(owned(&["--test-record", random.pick(&["1", "20", "100"])]));
    }
    more
}

#[test]
fn each_option_with_each_other_gives_what_gnu_sort_gives() {
    if !is_gnu_here() {
        return;
    }
    let dir = TestDir::new("sort-pairs");
    let mut random = Random::seeded(1);
    for (number, first) in OPTIONS.iter().enumerate() {
        for second in &OPTIONS[number..] {
            let options = owned(&[*first, *second].concat());
            if first != second && first.contains(&"-t") && second.contains(&"-t") {
                // GNU sort refuses two separators; here the last one counts.
                continue;
            }
            let separator = if options.contains(&"-z".to_owned()) {
                0
            } else {
                b'\n'
            };
            let files: Vec<_> = ["a", "b"]
                .iter()
                .map(|name| {
                    let mut text = random.text(separator);
                    // Few of them are so empty.
                    text.extend(random.text(separator));
                    dir.write(name, text)
                })
                .collect();
            if options.contains(&"-m".to_owned()) {
                put_in_order(&options, &files);
            }
            let more = small(&mut random);
            if let Some(difference) = difference(&options, &files, &more) {
                panic!("{difference}");
            }
        }
    }
}

fn any_options(random: &mut Random) -> Vec<String> {
    let mut options = Vec::new();
    for option in ["-b", "-d", "-f", "-g", "-h", "-i", "-M", "-n", "-r", "-V"] {
        if random.one_in(8) {
            options.push(option.to_owned());
        }
    }
    for _ in 0..random.pick(&[0, 0, 1, 1, 2, 3]) {
        options.extend(["-k".to_owned(), random.key()]);
    }
    if random.one_in(3) {
        options.extend(owned(&[
            "-t",
            random.pick(&[":", " ", "1", "\\0", "a", ","]),
        ]));
    }
    for option in ["-u", "-s", "-z"] {
        if random.one_in(4) {
            options.push(option.to_owned());
        }
    }
    options
}

/// Compares `count` runs with random options and inputs; `change` may change what outcore is asked.
fn campaign(
    name: &str,
    random: &mut Random,
    count: usize,
    change: impl Fn(&mut Vec<String>),
) -> Option<String> {
    let dir = TestDir::new(name);
    for _ in 0..count {
        let seed = random.0;
        let mut options = any_options(random);
        let separator = if options.contains(&"-z".to_owned()) {
            0
        } else {
            b'\n'
        };
        let mode = random.below(10);
        let count = if mode < 2 { 1 } else { 1 + random.below(3) };
        let files = (0..count).map(|n| dir.write(&format!("f{n}"), random.text(separator)));
        let files: Vec<_> = files.collect();
        match mode {
            0 => options.push("-c".to_owned()),
            1 => options.push("-C".to_owned()),
            2 => options.push("-m".to_owned()),
            _ => {}
        }
        if mode == 2 || (mode < 2 && random.one_in(2)) {
            put_in_order(&options, &files);
        }
        let mut asked = small(random);
        change(&mut asked);
        if let Some(difference) = difference(&options, &files, &asked) {
            return Some(format!("OUTCORE_SEED={seed}: {difference}"));
        }
    }
    None
}

#[test]
fn random_options_on_random_lines_give_what_gnu_sort_gives() {
    if is_gnu_here() {
        let found = campaign("sort-random", &mut Random::seeded(2), 400, |_options| {});
        assert_eq!(found, None);
    }
}

#[test]
fn the_campaign_finds_an_option_too_many() {
    if is_gnu_here() {
        for planted in ["-r", "-u", "-f"] {
            let change = |options: &mut Vec<String>| options.push(planted.to_owned());
            let found = campaign("sort-canary", &mut Random(3), 100, change);
            assert!(found.is_some(), "{planted} was not noticed");
        }
    }
}

/// Lines longer than a chunk, and than what the sorter takes, are compared where they are.
#[test]
fn long_lines_come_where_gnu_sort_has_them() {
    if !is_gnu_here() {
        return;
    }
    let dir = TestDir::new("sort-long");
    if dir.is_in_memory() {
        return;
    }
    let mut text = Vec::new();
    for (len, last) in [
        (3 << 20, "b"),
        (3 << 20, "a"),
        (9 << 20, ""),
        (3 << 20, "b"),
        (700_000, ""),
    ] {
        text.extend(std::iter::repeat_n(b'x', len));
        text.extend_from_slice(last.as_bytes());
        text.extend_from_slice(b"\nx\nxxxy\n\n");
    }
    text.extend(std::iter::repeat_n(b'x', 1 << 20));
    let file = dir.write("file", text);
    let small = owned(&["--memory", "24M", "--tmp", dir.0.to_str().unwrap()]);
    for options in [&[][..], &["-r"], &["-u"], &["-s", "-r"], &["-ru"]] {
        let found = difference(&owned(options), std::slice::from_ref(&file), &small);
        assert!(found.is_none(), "{options:?}: lines of megabytes differ");
    }
    // With keys, a line has to be in memory.
    let more = owned(&["--memory", "700M"]);
    for options in [
        &["-f"][..],
        &["-k1.2"],
        &["-u", "-k1.2,1.9"],
        &["-s", "-k1.5,1.9r"],
    ] {
        let found = difference(&owned(options), std::slice::from_ref(&file), &more);
        assert!(found.is_none(), "{options:?}: lines of megabytes differ");
    }
    let refused = ours(&owned(&["-f"]), std::slice::from_ref(&file), &small);
    let text = support::failure(&refused);
    assert!(
        text.contains("line 1 has 3 MiB; with keys, a line may have"),
        "{text}"
    );
}

/// What does not fit into memory is the same as what does.
#[test]
fn what_goes_to_disk_comes_out_as_from_gnu_sort() {
    if !is_gnu_here() {
        return;
    }
    let dir = TestDir::new("sort-spilled");
    if dir.is_in_memory() {
        return;
    }
    let mut random = Random::seeded(4);
    let mut text = Vec::new();
    while text.len() < 12 << 20 {
        let number = random.below(300_000);
        text.extend(format!("{number}:{} ", random.below(1000)).into_bytes());
        text.extend(random.line(b'\n'));
        text.push(b'\n');
    }
    let file = dir.write("file", text);
    let more = owned(&["--test-sorter", "4M", "--tmp", dir.0.to_str().unwrap()]);
    for options in [
        &[][..],
        &["-r"],
        &["-n"],
        &["-u", "-n"],
        &["-s", "-t:", "-k2,2n"],
        &["-t:", "-k2,2nr", "-k1,1"],
        &["-u"],
        &["-V"],
    ] {
        let found = difference(&owned(options), std::slice::from_ref(&file), &more);
        assert!(found.is_none(), "{options:?}: what went to disk differs");
    }
}
