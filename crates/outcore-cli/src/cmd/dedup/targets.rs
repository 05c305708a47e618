//! Where the lines go, and that no two of these places, nor one of them and an input, are one file.

use std::io::{self, IsTerminal};

use crate::cmd::dedup::args::DedupArgs;
use crate::cmd::dedup::writer::Outputs;
use crate::failure::{Failure, Result};
use crate::front;
use crate::input::list::Inputs;
use crate::output::Output;
use crate::output::sequence::Sequence;
use crate::output::target::Target;

/// The places that the arguments name.
#[derive(Debug)]
pub(crate) struct Targets {
    kept: Target,
    duplicates: Option<Target>,
    /// Whether kept lines are counted and dropped.
    pub(crate) is_dropped: bool,
}

impl Targets {
    /// Looks at the places, without opening them.
    ///
    /// # Errors
    ///
    /// No file can be there, or two of them are one file.
    pub(crate) fn of(args: &DedupArgs) -> Result<Self> {
        let kept = match &args.output {
            Some(path) => Target::of(path)?,
            None => Target::stdout()?,
        };
        let duplicates = args.duplicates.as_deref().map(Target::of).transpose()?;
        if duplicates.as_ref().is_some_and(|other| kept.is_same(other)) {
            return Err(same_file(kept.name()));
        }
        for target in [Some(&kept), duplicates.as_ref()].into_iter().flatten() {
            target.check_stderr()?;
        }
        // Half a gigabyte of made-up lines is nothing for a terminal.
        let is_sample = args.files.is_empty();
        Ok(Self {
            is_dropped: is_sample && args.output.is_none() && io::stdout().is_terminal(),
            kept,
            duplicates,
        })
    }

    /// Refuses an input that is also written to: it would be read while it grows, or be replaced by
    /// its repeats. The kept lines may take the place of an input.
    ///
    /// # Errors
    ///
    /// There is one.
    pub(crate) fn check_inputs(&self, inputs: &Inputs) -> Result<()> {
        front::check_inputs(&self.kept, inputs)?;
        let Some(duplicates) = &self.duplicates else {
            return Ok(());
        };
        let Some(number) = duplicates.file_id().and_then(|id| inputs.number_of(id)) else {
            return Ok(());
        };
        let (input, output) = (inputs.name(number), duplicates.name());
        Err(Failure::new(format!(
            "{output} is also an input, {input}; name another file"
        )))
    }

    /// Opens all of them.
    ///
    /// # Errors
    ///
    /// One cannot be written.
    pub(crate) fn open(&self, counts: bool) -> Result<Outputs> {
        let kept = if self.is_dropped {
            Output::nowhere()
        } else {
            Output::open(&self.kept)?
        };
        let duplicates = self.duplicates.as_ref().map(Output::open).transpose()?;
        Ok(Outputs {
            kept: Sequence::new(kept),
            duplicates: duplicates.map(Sequence::new),
            counts,
        })
    }
}

/// Describes two outputs that are one file.
pub(crate) fn same_file(name: &str) -> Failure {
    Failure::new(format!(
        "--output and --duplicates are the same file, {name}; name another one"
    ))
}
