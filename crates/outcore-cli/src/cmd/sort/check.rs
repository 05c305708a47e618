//! `-c` and `-C`: whether the input is in order.

use crate::cmd::sort::args::{Check, SortArgs};
use crate::cmd::sort::plan::{Form, Plan};
use crate::cmd::sort::recipe::Made;
use crate::failure::{Failure, Result};
use crate::front::Session;
use crate::progress;
use crate::record::blocks::{Block, Blocks};

/// Bytes that are read at once.
const STEP: usize = 256 << 10;

/// Of the memory, a record may take one part of this many.
const DIVISOR: u64 = 16;

/// Bytes of a line that are shown.
const SHOWN_LEN: usize = 1000;

/// Reads the input until something is out of order.
///
/// # Errors
///
/// [`Failure::Disorder`], or why that cannot be said.
pub(crate) fn run(args: &SortArgs, plan: &Plan, session: &Session, check: Check) -> Result<()> {
    let inputs = &session.inputs;
    if inputs.count() > 1 {
        let reason = "of several files there is no order to be checked; name one";
        return Err(Failure::Usage(reason.to_owned()));
    }
    if inputs.count() == 0 {
        return Ok(());
    }
    let len_max = session.budget.available_bytes() / DIVISOR;
    let len_max = usize::try_from(len_max).unwrap_or(usize::MAX);
    let step = usize::try_from(args.test_chunk.unwrap_or(STEP as u64)).unwrap_or(STEP);
    let mut blocks = Blocks::open(inputs, 0, plan.endings(), step.min(len_max), len_max)?;
    let bar = progress::bar("checking", inputs.len_bytes(), !args.common.quiet);
    let mut block = Block::default();
    let mut recipe = None;
    let mut made = Made::default();
    let mut last: Option<Vec<u8>> = None;
    let mut keys = [Vec::new(), Vec::new()];
    let mut line = 0_u64;
    while blocks.next(inputs, &mut block)? {
        for record in block.records() {
            line += 1;
            if recipe.is_none() {
                recipe = Some(plan.recipe(Some(record))?);
                if matches!(plan.form, Form::Csv(_)) {
                    continue;
                }
            }
            let Some(recipe) = &recipe else { continue };
            let [key, last_key] = &mut keys;
            key.clear();
            if let Err(reason) = recipe.push_key(plan.compared(record), key, &mut made) {
                let name = inputs.name(0);
                return Err(Failure::new(format!("{name}: line {line} {reason}")));
            }
            if let Some(last) = &last {
                let order = recipe.compare((last_key, last), (key, record));
                if order.is_gt() || (args.unique && order.is_eq()) {
                    bar.finish_and_clear();
                    return Err(Failure::Disorder(match check {
                        Check::Quiet => None,
                        Check::First => {
                            let shown = &record[..record.len().min(SHOWN_LEN)];
                            let shown = String::from_utf8_lossy(shown);
                            Some(format!("{}:{line}: disorder: {shown}", inputs.name(0)))
                        }
                    }));
                }
            }
            keys.swap(0, 1);
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(record);
        }
        bar.inc(block.read_bytes);
    }
    bar.finish_and_clear();
    inputs.check_unchanged()
}
