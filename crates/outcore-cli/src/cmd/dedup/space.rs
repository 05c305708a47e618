//! The disk space that a run may need.

use crate::cmd::dedup::args::DedupArgs;
use crate::cmd::dedup::shape::Shape;
use crate::cmd::dedup::writer::Outputs;
use crate::failure::Result;
use crate::front::space;
use crate::front::space::Need;
use crate::input::list::{Inputs, Kind};
use crate::input::reader::Reader;
use crate::scratch::Scratch;

/// Bytes at the begin of the input from which the length of records is guessed.
const LOOK_BYTES: usize = 1 << 20;

/// What a record takes that does not fit into memory: key and place, and a little for
/// how they are kept.
const ENTRY_BYTES: u64 = 25;
const RICH_ENTRY_BYTES: u64 = 41;

/// Refuses to start what the disk has no room for, if all records are distinct; and says
/// what it may take where that is much.
///
/// # Errors
///
/// There is too little space.
pub(crate) fn check(
    args: &DedupArgs,
    inputs: &Inputs,
    outputs: &Outputs,
    shape: &Shape,
    scratch: &Scratch,
) -> Result<()> {
    let Some(total) = inputs.len_bytes() else {
        return Ok(());
    };
    let mut needs = Vec::new();
    // What is not kept is a duplicate: together they are the input.
    let sequences = [Some(&outputs.kept), outputs.duplicates.as_ref()];
    let dir = sequences
        .into_iter()
        .flatten()
        .find_map(|to| to.output().directory());
    if let Some(dir) = dir {
        needs.push(Need {
            what: "the output",
            dir: dir.to_owned(),
            bytes: total,
        });
    }
    let record_len = guess_record_len(args, inputs, total)?;
    let spilled = (total / record_len).saturating_sub(shape.capacity());
    if spilled > 0 {
        let entry = if args.count || args.verify {
            RICH_ENTRY_BYTES
        } else {
            ENTRY_BYTES
        };
        needs.push(Need {
            what: "scratch files",
            dir: scratch.dir()?.path().to_owned(),
            bytes: spilled * entry,
        });
    }
    space::check(&needs, !args.no_space_check, spilled > 0 && !args.quiet)
}

/// Returns how long records are at the begin of the first file.
fn guess_record_len(args: &DedupArgs, inputs: &Inputs, total: u64) -> Result<u64> {
    if args.unit == crate::cmd::dedup::args::Unit::File {
        return Ok((total / inputs.count().max(1) as u64).max(1));
    }
    let mut files = (0..inputs.count()).filter_map(|number| match inputs.kind(number) {
        Kind::File(facts) => Some((number, facts)),
        _ => None,
    });
    let Some((first, facts)) = files.next() else {
        return Ok(1);
    };
    let len = usize::try_from(facts.len()).map_or(LOOK_BYTES, |len| len.min(LOOK_BYTES));
    let separator = if args.null { 0 } else { b'\n' };
    let mut reader = Reader::new(inputs, len);
    let records = reader.count(first, separator, len as u64)?;
    Ok((len as u64 / (records + 1)).max(1))
}
