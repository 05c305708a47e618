//! Shell completions and man pages, from the definition that `--help` comes from.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cmd::Args;
use crate::failure::{Failure, Result, shown};

/// Write the completions for a shell to standard output
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Write the man pages
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// A directory for one page a command [default: the page of dedup to standard output]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// Writes the completions for a shell.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut bytes = Vec::new();
    let mut command = without_hidden(&Args::command());
    clap_complete::generate(args.shell, &mut command, "outcore", &mut bytes);
    to_stdout(&bytes)
}

/// Returns what `--help` shows of a command: completions would offer the rest, too.
fn without_hidden(command: &Command) -> Command {
    let arguments = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set());
    let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut shown = Command::new(command.get_name().to_owned())
        .args(arguments)
        .subcommands(subs.map(without_hidden))
        .disable_help_flag(command.is_disable_help_flag_set());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}

/// Writes the man pages.
///
/// # Errors
///
/// They cannot be written.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    // A page on help would be the only one that is not there.
    let mut command = Args::command().disable_help_subcommand(true);
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
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write(&format!("outcore-{}", sub.get_name()), &page(sub)?)?;
    }
    Ok(())
}

/// Makes the page of a command.
fn page(command: &Command) -> Result<Vec<u8>> {
    // Clap's own synopsis lists all options, without their values, and says FILE where it may be
    // many.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let man = Man::new(command.clone().override_usage(usage));
    let man = man.source(concat!("outcore ", env!("CARGO_PKG_VERSION")));
    let mut bytes = Vec::new();
    // Without a date, the words behind it would move to its place.
    let rendered = man.manual("User Commands").date(" ").render(&mut bytes);
    rendered.map_err(|answer| Failure::write("a man page", &answer))?;
    Ok(bytes)
}

fn to_stdout(bytes: &[u8]) -> Result<()> {
    let written = io::stdout().write_all(bytes);
    written.map_err(|answer| Failure::write("standard output", &answer))
}
