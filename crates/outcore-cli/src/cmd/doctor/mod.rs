//! `outcore doctor`: the scratch directory and the limits that matter, each with what it
//! means and what to change.

pub(crate) mod args;
mod checks;
mod facts;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use outcore::{Arena, ErrorKind, ScratchDir, Stats};

use self::checks::{Check, Verdict};
use self::facts::Facts;
use crate::cmd::doctor::args::DoctorArgs;
use crate::failure::{Failure, Result, shown};

/// Runs the command.
///
/// # Errors
///
/// The directory cannot be used for scratch files; the report is printed all the same.
pub(crate) fn run(args: &DoctorArgs) -> Result<()> {
    let opened = match &args.dir {
        Some(path) => ScratchDir::new(path),
        None => ScratchDir::from_env(),
    };
    let refusal = opened.as_ref().err().map(ToString::to_string);
    let examined = opened.or_else(|error| match (error.kind(), error.path()) {
        // Only to tell what is there.
        (ErrorKind::RamBacked, Some(path)) => ScratchDir::builder(path).allow_ram(true).build(),
        _ => Err(error),
    });
    let mut checks = Vec::new();
    let mut text = String::new();
    match &examined {
        Ok(dir) => {
            heading(&mut text, dir.path());
            checks.extend(checks::directory(&dir.report()?));
            checks.push(checks::page_cache(&stats_of_a_write(dir)?));
        }
        Err(error) => {
            if let Some(path) = error.path() {
                heading(&mut text, path);
            }
            checks.push(checks::no_directory(&error.to_string()));
        }
    }
    let path = examined.as_ref().ok().map(ScratchDir::path);
    checks.extend(checks::limits(&Facts::gather(path)));
    print(&mut text, &checks);
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written
        .and_then(|()| stdout.flush())
        .map_err(|answer| Failure::write("standard output", &answer))?;
    refusal.map_or(Ok(()), |refusal| Err(Failure::new(refusal)))
}

/// Writes one item, with which the library finds out how much may be cached.
fn stats_of_a_write(dir: &ScratchDir) -> Result<Stats> {
    let mut writer = Arena::new_in(dir)?.writer()?;
    writer.push([0])?;
    writer.flush()?;
    Ok(outcore::stats())
}

fn heading(text: &mut String, path: &Path) {
    text.push_str("scratch directory: ");
    text.push_str(&shown(path));
    text.push_str("\n\n");
}

/// Writes the checks, each with its meaning and, where it is needed, its remedy.
fn print(text: &mut String, checks: &[Check]) {
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Look => "look",
            Verdict::Bad => "BAD",
        };
        // Formatting into a string cannot fail.
        writeln!(text, "{verdict:<5} {:<15} {}", check.name, check.value).ok();
        wrap(text, &check.meaning);
        if let Some(change) = &check.change {
            wrap(text, &format!("To change: {change}"));
        }
    }
    let count = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Ok)
        .count();
    match count {
        0 => text.push_str("\nNothing to change.\n"),
        1 => text.push_str("\n1 thing to look at.\n"),
        _ => {
            writeln!(text, "\n{count} things to look at.").ok();
        }
    }
}

/// Writes words below the value, as many lines as they take.
fn wrap(text: &mut String, words: &str) {
    const INDENT: usize = 22;
    const WIDTH: usize = 96;
    let mut column = 0;
    for word in words.split(' ') {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            column = 0;
        }
        if column == 0 {
            text.push_str(&" ".repeat(INDENT));
            column = INDENT + word.len();
        } else {
            text.push(' ');
            column += 1 + word.len();
        }
        text.push_str(word);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_wrapped_below_the_value() {
        let mut text = String::new();
        wrap(&mut text, &"word ".repeat(40));
        assert!(text.lines().count() > 2);
        assert!(
            text.lines()
                .all(|line| line.len() <= 96 && line.starts_with(&" ".repeat(22)))
        );
    }

    #[test]
    fn a_remedy_stands_below_its_meaning() {
        let check = Check {
            name: "open files",
            value: "64".to_owned(),
            verdict: Verdict::Look,
            meaning: "Files.".into(),
            change: Some("ulimit -n 4096".to_owned()),
        };
        let mut text = String::new();
        print(&mut text, &[check]);
        let expected = "\
look  open files      64
                      Files.
                      To change: ulimit -n 4096

1 thing to look at.
";
        assert_eq!(text, expected);
    }
}
