//! What commands on records have in common beside the work itself: arguments, inputs and an output,
//! and the closing words.

pub(crate) mod space;
pub(crate) mod summary;
pub(crate) mod work;

use std::path::PathBuf;

use clap::ValueHint;

use crate::failure::{Failure, Result};
use crate::front::summary::Report;
use crate::input::list::{Inputs, Manner};
use crate::memory::budget::Budget;
use crate::output::Output;
use crate::output::sequence::Sequence;
use crate::output::target::Target;
use crate::scratch;
use crate::scratch::Scratch;
use crate::size::parse_bytes;

/// The arguments that commands have in common.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
pub(crate) struct Common {
    /// Files to read as one sequence; patterns are resolved; - is standard input, as is no FILE
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Write to FILE, which may be an input; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Limit resident memory to SIZE [default: half of what the machine or the memory cgroup has]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,

    #[arg(short = 'T', long, visible_alias = "temporary-directory", value_name = "DIR",
          value_hint = ValueHint::DirPath, help = scratch::HELP)]
    pub(crate) tmp: Option<PathBuf>,

    /// Read the files in directories and below them
    #[arg(long)]
    pub(crate) recursive: bool,

    /// Read compressed files (.gz, .zst) as they are
    #[arg(long)]
    pub(crate) no_unpack: bool,

    /// Use N threads [default: the number of cores]
    #[arg(short = 'j', long, visible_alias = "threads", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: Option<u16>,

    /// Write the summary in this format, also with --quiet
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) report: Option<Report>,

    /// Start even if the disk looks too small for the worst case
    #[arg(long)]
    pub(crate) no_space_check: bool,

    /// Write nothing but failures to standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What is read and where it goes, opened.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) inputs: Inputs,
    pub(crate) output: Sequence,
    pub(crate) scratch: Scratch,
    /// What is left of the limit, beside the program and decoders.
    pub(crate) budget: Budget,
}

impl Common {
    /// Returns the number of threads: what was asked for, or else one a core.
    pub(crate) fn threads(&self) -> u64 {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        self.parallel.map_or(cores, u64::from)
    }

    /// Opens inputs and the output, with `needed_bytes` of memory at least for the work.
    ///
    /// # Errors
    ///
    /// One cannot be opened, or there is too little memory.
    pub(crate) fn open(&self, limit_bytes: u64, needed_bytes: u64) -> Result<Session> {
        let scratch = Scratch::new(self.tmp.clone());
        if self.tmp.is_some() {
            // Also where it turns out not to be needed: hours may pass until that is known.
            scratch.dir()?;
        }
        let target = match &self.output {
            Some(path) => Target::of(path)?,
            None => Target::stdout()?,
        };
        target.check_stderr()?;
        let budget = Budget::new(limit_bytes, needed_bytes)?;
        let manner = Manner {
            recursive: self.recursive,
            unpack: !self.no_unpack,
        };
        let inputs = Inputs::from_arguments(&self.files, manner, &budget)?;
        check_inputs(&target, &inputs)?;
        let output = Sequence::new(Output::open(&target)?);
        let budget = Budget::new(limit_bytes, inputs.decoder_bytes() + needed_bytes)?;
        inputs.charge_decoder(&budget)?;
        Ok(Session {
            inputs,
            output,
            scratch,
            budget,
        })
    }
}

/// Refuses an input that is also written to: it would be read while it grows. A file that takes its
/// place at the end may be an input.
///
/// # Errors
///
/// There is one.
pub(crate) fn check_inputs(target: &Target, inputs: &Inputs) -> Result<()> {
    if target.is_replaced() {
        return Ok(());
    }
    let Some(number) = target.file_id().and_then(|id| inputs.number_of(id)) else {
        return Ok(());
    };
    let (input, output) = (inputs.name(number), target.name());
    Err(Failure::new(if target.path().is_none() {
        format!("{input} is also {output}; name it with --output to replace it")
    } else {
        format!("{output} is also an input, {input}; name another file")
    }))
}
