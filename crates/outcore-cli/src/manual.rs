//! Shell completions and man pages, from the definition that `--help` comes from.

use std::fs;
use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{Args, CompletionsArgs, ManArgs};
use crate::failure::{Failure, Result, shown};

/// Writes the completions for a shell.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "outcore", &mut bytes);
    to_stdout(&bytes)
}

/// Writes the man pages.
///
/// # Errors
///
/// They cannot be written.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let mut command = Args::command();
    command.build();
    let Some(dir) = &args.dir else {
        let dedup = command.find_subcommand("dedup").unwrap_or(&command);
        return to_stdout(&page(dedup)?);
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, bytes).map_err(|answer| Failure::write(&shown(&path), &answer))
    };
    write("outcore", &page(&command)?)?;
    for sub in command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        write(&format!("outcore-{}", sub.get_name()), &page(sub)?)?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let man = Man::new(command.clone()).source(concat!("outcore ", env!("CARGO_PKG_VERSION")));
    let rendered = man.manual("outcore").render(&mut bytes);
    rendered.map_err(|answer| Failure::write("a man page", &answer))?;
    Ok(bytes)
}

fn to_stdout(bytes: &[u8]) -> Result<()> {
    let written = io::stdout().write_all(bytes);
    written.map_err(|answer| Failure::write("standard output", &answer))
}
