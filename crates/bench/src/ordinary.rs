//! A program as others write them, for what a global allocator costs those that never need it:
//! it reads a source text, makes words, trees and tables of it, and drops them. Many small blocks
//! and some that grow, of std's collections only.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Instant;

use crate::random::{Random, mix};

/// Functions of the source text.
const FUNCTIONS: u64 = 6_000;

/// How often all of it is done.
const PASSES: u64 = 12;

/// An expression.
#[derive(Debug)]
enum Tree {
    Word(String),
    Call(String, Vec<Tree>),
    Pair(Box<Tree>, Box<Tree>),
}

/// Runs the program, and prints the seconds that it took and a checksum, with a tab between.
pub fn main() -> ExitCode {
    let text = source(FUNCTIONS);
    let started = Instant::now();
    let checksum = run(&text, PASSES);
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds}\t{checksum:016x}");
    ExitCode::SUCCESS
}

/// Returns the checksum that the program comes to.
pub fn expected() -> u64 {
    run(&source(FUNCTIONS), PASSES)
}

/// Writes a text of functions: a name, and an expression in brackets.
fn source(functions: u64) -> String {
    let mut random = Random::new(7);
    let mut text = String::new();
    for function in 0..functions {
        text.extend(["function_", &function.to_string(), " "]);
        expression(&mut random, 6, &mut text);
        text.push('\n');
    }
    text
}

fn expression(random: &mut Random, depth: u64, text: &mut String) {
    if depth == 0 || random.below(8) == 0 {
        text.extend(["name_", &random.below(5_000).to_string(), " "]);
        return;
    }
    text.push_str(["( ", "[ "][usize::from(random.below(2) == 0)]);
    for _ in 0..=random.below(3) {
        expression(random, depth - 1, text);
    }
    text.push_str("end ");
}

fn run(text: &str, passes: u64) -> u64 {
    (0..passes).fold(0, |sum, pass| mix(sum ^ pass ^ once(text)))
}

/// Reads the text once, and returns a number that depends on all of it.
fn once(text: &str) -> u64 {
    let mut functions: BTreeMap<String, Tree> = BTreeMap::new();
    let mut uses: HashMap<String, Vec<usize>> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut rest = words.iter();
        let Some(name) = rest.next() else { continue };
        let tree = tree(&mut rest);
        count(&tree, number, &mut uses);
        functions.insert(name.clone(), tree);
    }
    let trees = functions.values().map(weight).fold(0, u64::wrapping_add);
    uses.values().fold(trees, |sum, lines| {
        sum.wrapping_add(mix(lines.len() as u64))
    })
}

fn tree<'words>(words: &mut impl Iterator<Item = &'words String>) -> Tree {
    let mut open: Vec<(String, Vec<Tree>)> = vec![(String::new(), Vec::new())];
    for word in words {
        match word.as_str() {
            "(" | "[" => open.push((word.clone(), Vec::new())),
            "end" => {
                let Some((kind, mut parts)) = open.pop() else {
                    continue;
                };
                let tree = match (parts.pop(), parts.pop()) {
                    (Some(right), Some(left)) if kind == "[" && parts.is_empty() => {
                        Tree::Pair(Box::new(left), Box::new(right))
                    }
                    (last, before) => {
                        parts.extend(before);
                        parts.extend(last);
                        Tree::Call(kind, parts)
                    }
                };
                if let Some((_kind, parts)) = open.last_mut() {
                    parts.push(tree);
                }
            }
            _ => {
                if let Some((_kind, parts)) = open.last_mut() {
                    parts.push(Tree::Word(word.clone()));
                }
            }
        }
    }
    let (kind, parts) = open.pop().unwrap_or_default();
    Tree::Call(kind, parts)
}

fn count(tree: &Tree, line: usize, uses: &mut HashMap<String, Vec<usize>>) {
    match tree {
        Tree::Word(word) => uses.entry(word.clone()).or_default().push(line),
        Tree::Call(_kind, parts) => parts.iter().for_each(|part| count(part, line, uses)),
        Tree::Pair(left, right) => {
            count(left, line, uses);
            count(right, line, uses);
        }
    }
}

/// Returns a number that depends on every word.
fn weight(tree: &Tree) -> u64 {
    match tree {
        Tree::Word(word) => word.len() as u64,
        Tree::Call(kind, parts) => {
            let kind = kind.bytes().map(u64::from).sum();
            parts
                .iter()
                .map(weight)
                .fold(kind, |sum, part| mix(sum ^ part))
        }
        Tree::Pair(left, right) => mix(weight(left)).wrapping_add(weight(right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_text_counts() {
        let text = source(20);
        let sum = run(&text, 2);
        assert_eq!(run(&text, 2), sum);
        let other = text.replacen("name_", "another_", 1);
        assert_ne!(run(&other, 2), sum);
        assert_ne!(run(&text.replacen("( ", "[ ", 1), 2), sum);
    }
}
