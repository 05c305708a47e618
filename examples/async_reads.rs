//! Reads many items from an asynchronous program without blocking the threads that run its tasks.
//!
//! `cargo run --example async_reads`: one thread runs all tasks here, so a task that waited for a
//! device would stop the others.
#![expect(clippy::print_stdout, reason = "a program that prints its results")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use outcore::{Arena, Location, Result};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task;

/// The maximum number of unread items. When it is reached, the stream stops reading ahead.
const WAITING_MAX: usize = 16;

/// Returns the items in the order of `locations`, read by a thread that may block.
fn items(arena: Arena, locations: Vec<Location>) -> Receiver<Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    task::spawn_blocking(move || {
        for item in arena.stream(locations) {
            if sender.blocking_send(item).is_err() {
                break; // the receiver is gone
            }
        }
    });
    receiver
}

/// Returns the sum of all items, which are read in whatever order is fastest.
async fn sum(arena: Arena, locations: Vec<Location>) -> Result<u64> {
    let batch = task::spawn_blocking(move || {
        let mut sum = 0;
        arena.get_many(&locations, |_index, item| {
            sum = number(item).wrapping_add(sum);
        })?;
        Ok(sum)
    });
    batch.await.map_err(io::Error::other)?
}

fn number(item: &[u8]) -> u64 {
    item.try_into().map_or(0, u64::from_le_bytes)
}

pub(crate) fn main() -> Result<()> {
    let arena = Arena::new()?;
    let mut writer = arena.writer()?;
    let locations = (0..20_000_u64).map(|number| writer.push(number.to_le_bytes()));
    let mut locations: Vec<_> = locations.collect::<Result<_>>()?;
    writer.finish()?;
    locations.reverse();

    let runtime = Builder::new_current_thread().build()?;
    let (in_order, at_once, turns) = runtime.block_on(async {
        // Another task of the program, which counts how often it runs.
        let (is_over, turns) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let other = task::spawn({
            let (is_over, turns) = (Arc::clone(&is_over), Arc::clone(&turns));
            async move {
                while !is_over.load(Relaxed) {
                    turns.fetch_add(1, Relaxed);
                    task::yield_now().await;
                }
            }
        });
        let mut in_order = 0;
        let mut items = items(arena.clone(), locations.clone());
        while let Some(item) = items.recv().await {
            in_order = number(&item?).wrapping_add(in_order);
        }
        let at_once = sum(arena, locations).await?;
        is_over.store(true, Relaxed);
        other.await.map_err(io::Error::other)?;
        Ok::<_, outcore::Error>((in_order, at_once, turns.load(Relaxed)))
    })?;
    println!(
        "the sum is {in_order} in order and {at_once} at once; {turns} runs of the other task"
    );
    let same = in_order == at_once && in_order == (0..20_000_u64).sum::<u64>() && turns > 0;
    let answer = same.then_some(());
    Ok(answer.ok_or_else(|| io::Error::other("wrong items, or the other task never ran"))?)
}
