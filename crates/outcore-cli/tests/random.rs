//! Random inputs, sizes and options against the obvious way, and a canary.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::collections::HashMap;

use crate::support::{TestDir, feed, outcore};

/// Numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self) -> Vec<u8> {
        match self.below(4) {
            // Few different bytes, so that most lines repeat.
            0 => {
                let kinds = 2 + self.below(4);
                let len = self.below(300);
                (0..len)
                    .map(|_| b"\na\r\0\xff"[self.below(kinds)])
                    .collect()
            }
            1 => {
                let (count, distinct) = (self.below(9000), 1 + self.below(20_000));
                let lines = (0..count).map(|_| format!("{}\n", self.below(distinct)));
                lines.collect::<String>().into_bytes()
            }
            2 => {
                let lines = (0..self.below(12_000)).map(|n| format!("{n}\n"));
                lines.collect::<String>().into_bytes()
            }
            _ => {
                let mut text = Vec::new();
                for _ in 0..self.below(30) {
                    let len = [0, 1, 7, 300, 9000][self.below(5)];
                    text.resize(text.len() + len, b'x');
                    text.push(b'\n');
                }
                text.truncate(text.len().saturating_sub(self.below(2)));
                text
            }
        }
    }
}

/// Kept lines, kept lines with counts, and the others.
fn model(files: &[Vec<u8>]) -> [Vec<u8>; 3] {
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut kept: Vec<(Vec<u8>, u64)> = Vec::new();
    let mut duplicates = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for line in file.split_inclusive(|&byte| byte == b'\n') {
            let bytes = line.strip_suffix(b"\n").unwrap_or(line);
            let mut written = line.to_vec();
            if line.len() == bytes.len() && number + 1 < files.len() {
                written.push(b'\n');
            }
            if let Some(&at) = seen.get(bytes) {
                kept[at].1 += 1;
                duplicates.extend(written);
            } else {
                seen.insert(bytes.to_vec(), kept.len());
                kept.push((written, 1));
            }
        }
    }
    let counted = kept.iter().flat_map(|(line, count)| {
        let mut bytes = format!("{count:>7} ").into_bytes();
        bytes.extend(line);
        bytes
    });
    let counted = counted.collect();
    let kept = kept.into_iter().flat_map(|(line, _)| line).collect();
    [kept, counted, duplicates]
}

/// Runs the program on what a seed makes, and compares.
fn run(seed: u64, planted: &[&str]) {
    let dir = TestDir::new(&format!("random-{seed}-{}", planted.len()));
    if dir.is_in_memory() {
        assert!(planted.is_empty(), "seed {seed}: cannot be told here");
        return;
    }
    let random = &mut Random(seed);
    let mut files: Vec<_> = (0..=random.below(3)).map(|_| random.text()).collect();
    if !planted.is_empty() {
        files.push(b"canary\nCANARY\n".to_vec());
    }
    let paths: Vec<_> = (0..)
        .zip(&files)
        .map(|(number, file): (u32, _)| dir.write(&number.to_string(), file))
        .collect();
    let [kept, counted, duplicates] = model(&files);
    let chunk = random.pick(&["500", "4096", "64K"]);
    let index = random.pick(&["1", "90000", "10M"]);
    let threads = random.pick(&["1", "2", "3"]);
    let mut command = outcore(&["dedup", "-q", "--test-chunk", chunk, "--test-index", index]);
    command.args(["--threads", threads, "--memory", "64M", "--tmp"]);
    command.arg(&dir.0).args(planted);
    let mut expected = kept;
    let out = dir.path("duplicates");
    let asks_duplicates = random.below(3) == 0;
    if asks_duplicates {
        command.arg("--duplicates").arg(&out);
    }
    if random.below(3) == 0 {
        command.arg("--count");
        expected = counted;
    }
    let from_pipe = random.below(3) == 0;
    let (first, others) = paths.split_first().unwrap();
    if from_pipe {
        command.arg("-");
    } else {
        command.arg(first);
    }
    command.args(others);
    let output = feed(command, if from_pipe { &files[0] } else { b"" });
    let context = format!("seed {seed}: chunk {chunk}, index {index}, threads {threads}");
    assert!(output.status.success(), "{context}: {output:?}");
    assert!(output.stdout == expected, "{context}: the output differs");
    if asks_duplicates {
        let written = std::fs::read(out).unwrap();
        assert!(written == duplicates, "{context}: the duplicates differ");
    }
}

#[test]
fn the_output_is_that_of_the_model_whatever_the_sizes() {
    let first = std::env::var("OUTCORE_SEED").map_or(0, |seed| seed.parse().unwrap());
    for seed in first..first + 25 {
        run(seed, &[]);
    }
}

/// The fault: a program that takes small letters and large ones for equal.
#[test]
#[should_panic(expected = "seed 1")]
fn a_program_that_compares_in_another_way_is_found() {
    run(1, &["--ignore-case"]);
}
