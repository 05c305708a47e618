//! Between the passes: what was spilled is looked at again, part by part, and the
//! repeats among it are noted.
//!
//! The entries of a shard come in the order of the input, so the first of equal ones is
//! the first that is met. A shard that has more distinct keys than memory holds is
//! divided by further bits of the keys: those that the index holds are decided on the
//! way, the others are written to disk again.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use outcore::Arena;

use crate::cmd::dedup::index::{Full, Index};
use crate::cmd::dedup::job::Job;
use crate::cmd::dedup::known::{Known, Place};
use crate::cmd::dedup::notes::{NoteWriter, Parts};
use crate::cmd::dedup::shape::Shape;
use crate::cmd::dedup::shard::{Entry, Pair, Spill, Spilled};
use crate::cmd::dedup::verify::Verifier;
use crate::failure::{Failure, Result};
use crate::record::key::Key;
use crate::scratch::APPENDER_BYTES;
use crate::threads;

/// Parts that a shard is divided into, as bits.
const FAN_BITS: u32 = 3;
const FAN: usize = 1 << FAN_BITS;

/// Bits that the shards of the first pass are told apart by, and some to spare.
const USED_BITS: u32 = 8;

/// What dividing takes of memory.
const DIVIDING_BYTES: usize = FAN * APPENDER_BYTES;

/// Pairs that are compared together.
const PAIRS_MAX: usize = 4096;

/// Resolves what was spilled; writes the notes to `arena`.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn resolve<V: Known>(
    job: &Job<'_>,
    shape: &Shape,
    spilled: &[Spilled],
    parts: &mut Parts,
    writer: NoteWriter,
    arena: &Arena,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let pieces = Mutex::new(vec![writer.finish()?]);
    let used = (parts.writer_bytes() + DIVIDING_BYTES) as u64;
    let bytes = job.budget.available_bytes() / job.threads as u64;
    let bytes = bytes.saturating_sub(used).min(shape.resolve_bytes);
    threads::run(job.threads, || {
        let index = Index::new(bytes, job.budget).map_err(|Full| too_little())?;
        let mut resolver: Resolver<'_, V> = Resolver {
            job,
            index,
            notes: parts.writer(arena)?,
            verifier: job.verify.then(|| Verifier::new(job)),
            pairs: Vec::new(),
        };
        while let Some(spilled) = spilled.get(next.fetch_add(1, Relaxed)) {
            resolver.resolve(spilled, 0)?;
        }
        resolver.verify()?;
        resolver.index.dissolve(job.budget);
        let written = resolver.notes.finish()?;
        let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.push(written);
        Ok(())
    })?;
    for pieces in pieces.into_inner().unwrap_or_else(PoisonError::into_inner) {
        parts.add(pieces);
    }
    Ok(())
}

fn too_little() -> Failure {
    Failure::new("no memory is left to compare what did not fit; give more --memory")
}

struct Resolver<'a, V> {
    job: &'a Job<'a>,
    index: Index<V>,
    notes: NoteWriter,
    verifier: Option<Verifier<'a>>,
    pairs: Vec<Pair>,
}

impl<V: Known> Resolver<'_, V> {
    fn resolve(&mut self, spilled: &Spilled, depth: u32) -> Result<()> {
        self.index.clear();
        let mut fan: Vec<Spill> = Vec::new();
        let mut fan_arena = None;
        spilled.for_each(|entry: Entry<V>| {
            let found = if fan.is_empty() {
                self.index.insert(entry.key, entry.known, self.job.budget)
            } else {
                self.index.get_mut(entry.key).map(Some).ok_or(Full)
            };
            match found {
                Ok(None) => Ok(()),
                Ok(Some(first)) => {
                    if V::RICH {
                        first.add(entry.known);
                    }
                    if entry.place == Place::NONE {
                        return Ok(());
                    }
                    if self.verifier.is_some() {
                        self.pairs.push(Pair {
                            first: first.offset(),
                            later: entry.known.offset(),
                        });
                        if self.pairs.len() >= PAIRS_MAX {
                            self.verify()?;
                        }
                    }
                    self.notes.repeat(entry.place)
                }
                Err(Full) => {
                    if fan.is_empty() {
                        let arena = self.job.scratch.arena()?;
                        for _ in 0..FAN {
                            fan.push(Spill::new(&arena)?);
                        }
                        fan_arena = Some(arena);
                    }
                    fan[branch(entry.key, depth)].push(&entry)
                }
            }
        })?;
        if V::RICH {
            for known in self.index.values().filter(|known| known.count() > 1) {
                self.notes.count(known.place(), known.count())?;
            }
        }
        let branches = fan.into_iter().map(Spill::finish);
        let branches = branches.collect::<Result<Vec<_>>>()?;
        for spilled in branches.into_iter().flatten() {
            self.resolve(&spilled, depth + 1)?;
        }
        drop(fan_arena);
        Ok(())
    }

    fn verify(&mut self) -> Result<()> {
        match &mut self.verifier {
            Some(verifier) => verifier.check(&mut self.pairs),
            None => Ok(()),
        }
    }
}

/// Returns to which part of a shard a key goes.
#[expect(clippy::cast_possible_truncation, reason = "a few bits are wanted")]
fn branch(key: Key, depth: u32) -> usize {
    // After eighteen divisions bits come again, but then there are no keys left.
    let shift = (USED_BITS + depth * FAN_BITS) % (u64::BITS - FAN_BITS);
    (key.low >> shift) as usize % FAN
}
