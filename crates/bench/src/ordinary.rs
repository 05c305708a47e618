//! A program as others write them, for what a global allocator costs those that never need it: it
//! reads a JSON text, makes trees and tables of it, and drops them. Many small blocks and some that
//! grow, of std's collections only.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::Value;

use crate::random::{Random, mix};

/// Expressions in the text, and how often all of them are read.
const EXPRESSIONS: u64 = 6_000;
const PASSES: u64 = 12;

/// Runs the program, and prints the seconds that it took and a checksum, with a tab between.
pub fn main() -> ExitCode {
    let text = source();
    let started = Instant::now();
    let checksum = run(&text);
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds}\t{checksum:016x}");
    ExitCode::SUCCESS
}

/// Returns the checksum of the program.
pub fn expected() -> u64 {
    run(&source())
}

fn source() -> String {
    let mut random = Random::new(7);
    let mut text = String::from("[");
    for _ in 0..EXPRESSIONS {
        expression(&mut random, 6, &mut text);
        text.push(',');
    }
    text + "null]"
}

fn expression(random: &mut Random, depth: u32, text: &mut String) {
    if depth == 0 || random.once_in(8) {
        text.extend(["\"name_", &random.below(5_000).to_string(), "\""]);
        return;
    }
    text.extend([
        "{\"kind\":\"call_",
        &random.below(50).to_string(),
        "\",\"parts\":[",
    ]);
    for _ in 0..=random.below(3) {
        expression(random, depth - 1, text);
        text.push(',');
    }
    text.push_str("null]}");
}

fn run(text: &str) -> u64 {
    (0..PASSES).fold(0, |sum, pass| {
        let mut uses: HashMap<String, Vec<usize>> = HashMap::new();
        let tree: Value = serde_json::from_str(text).unwrap_or_default();
        let mut weight = 0;
        visit(&tree, 0, &mut |name, depth| {
            weight = mix(weight ^ name.len() as u64);
            uses.entry(name.to_owned()).or_default().push(depth);
        });
        let lens = uses.values().map(|all| mix(all.len() as u64));
        mix(sum ^ pass ^ lens.fold(weight, u64::wrapping_add))
    })
}

fn visit(tree: &Value, depth: usize, see: &mut dyn FnMut(&str, usize)) {
    match tree {
        Value::String(name) => see(name, depth),
        Value::Array(parts) => parts.iter().for_each(|part| visit(part, depth + 1, see)),
        Value::Object(fields) => fields.values().for_each(|part| visit(part, depth + 1, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
