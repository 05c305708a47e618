//! Measures outcore beside the crates and the plain loops that a user would pick instead:
//! `cargo run --release -p bench-compare -- --quick`.
//!
//! This is the only crate of the repository that depends on competitors. What is measured
//! and what is not equal stands in the README beside this crate.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a measuring program: it may die of a mistake"
)]

mod asked;
mod collect_rows;
mod dedup_record;
mod farena_rows;
mod mapped_rows;
mod mmap_vec_rows;
mod nightly_rows;
mod pictures;
mod ranged_rows;
mod std_rows;
mod stores;
mod tables;

use std::path::Path;
use std::process::ExitCode;

use outcore_bench::alloc::Counting;
use outcore_bench::cli::{self, Program};
use outcore_bench::failure::Result;
use outcore_bench::goal::{Asked, Goal};
use outcore_bench::scenario::{
    alloc, get, get_cold, get_zipf, physical, push, ranged, ranged_allocate, store, vec_collect,
    vec_push, vec_read, vec_update,
};
use outcore_bench::settings::Settings;
use outcore_bench::workload::Workload;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    cli::main(&Program {
        workloads,
        lock: include_str!("../../../Cargo.lock"),
        crates: &[
            "outcore",
            "rustix",
            "farena",
            "fjall",
            "heed",
            "memmap2",
            "mmap-vec",
            "ranged-mmap",
            "redb",
            "swapvec",
            "tempfile",
            "tokio",
            "vecdb",
        ],
        build: nightly_rows::build,
        sections: asked::SECTIONS,
        order: asked::ORDER,
        guesses: asked::GUESSES,
        not_quick: asked::NOT_QUICK,
        reasons: asked::REASONS,
        blocks: tables::BLOCKS,
        shown: tables::SHOWN,
        pictures: pictures::of,
    })
}

fn workloads(settings: &Settings, dir: &Path) -> Result<Vec<Workload>> {
    let mut pushers = farena_rows::pushers();
    pushers.extend(std_rows::pushers());
    let mut all = physical::workloads(settings, dir);
    all.extend(push::workloads(settings, dir, &pushers)?);
    all.extend(get::workloads(
        settings,
        dir,
        &[farena_rows::getters, mapped_rows::getters],
    )?);
    all.extend(get_cold::workloads(settings, dir, &[farena_rows::getters]));
    all.extend(get_zipf::workloads(settings, dir, &[farena_rows::getters]));
    let pushers = mmap_vec_rows::pushers();
    all.extend(vec_push::workloads(settings, dir, &pushers)?);
    all.extend(vec_read::workloads(settings, dir, &[mmap_vec_rows::sums]));
    all.push(vec_update::workload(
        settings,
        dir,
        &[mapped_rows::updates, mmap_vec_rows::updates],
    ));
    all.push(vec_collect::workload(settings, dir, &collect_rows::rows()));
    all.extend(store::workloads(settings, dir, &stores::rows()));
    all.extend(ranged::workloads(
        settings,
        dir,
        &ranged_rows::fillers(),
        &[ranged_rows::overwriter],
    ));
    let allocators: &[ranged_allocate::PrepareAllocate] = &[ranged_rows::allocator];
    all.extend(ranged_allocate::workloads(settings, dir, allocators));
    all.extend(alloc::workloads(settings, dir, &nightly_rows::pushers())?);
    for workload in &mut all {
        add_goals(workload);
    }
    Ok(all)
}

/// Adds what is asked of outcore against competitors, and their columns of ratios.
fn add_goals(workload: &mut Workload) {
    let faster = |candidate, baseline, factor| {
        let asked = Asked::Faster { baseline, factor };
        Goal::new(candidate, asked)
    };
    let name = workload.name.as_str();
    let is_limited = name.contains("/limit_");
    if name.starts_with("push_256/") {
        workload.baselines.push(farena_rows::PUSH);
        if !is_limited {
            for (at, candidate) in ["outcore", push::RESERVED].into_iter().enumerate() {
                let goal = faster(candidate, farena_rows::PUSH, 2.0);
                workload.goals.insert(at, goal);
            }
        }
    } else if name.starts_with("get_512/") {
        let goal = faster("outcore_map_get", farena_rows::GET, 4.0);
        workload.goals.push(goal);
        workload.baselines.push(farena_rows::GET);
    } else if name.starts_with("get_many_512/") {
        workload.baselines.push(farena_rows::GET);
        if is_limited {
            let goal = faster(get_cold::MANY, farena_rows::GET, 4.0);
            workload.goals.insert(0, goal);
        }
    } else if name.starts_with("push_u64/") {
        let factor = if is_limited { 1.4 } else { 2.0 };
        let goal = faster(vec_push::OUTCORE, mmap_vec_rows::PUSH, factor);
        workload.goals.push(goal);
        workload.baselines.push(mmap_vec_rows::PUSH);
    } else if name.starts_with("alloc_push_u64/") {
        // The same vector of the same compiler; stable rows have another one.
        let goal = faster(nightly_rows::OUTCORE, nightly_rows::DISKALLOCATOR, 1.0);
        workload.goals.push(goal);
        workload.baselines.push(nightly_rows::DISKALLOCATOR);
    } else if name.starts_with("fill_") {
        let (piece, factor) = if name.starts_with("fill_4KiB/") {
            (ranged::BLOCK, 1.0)
        } else {
            (64 << 10, 1.2)
        };
        let goal = faster(ranged::way_for(piece), ranged_rows::RANGED_MMAP, factor);
        workload.goals.push(goal);
        workload.baselines.push(ranged_rows::RANGED_MMAP);
    } else if name.starts_with("overwrite_4KiB/") {
        let goal = faster(ranged::OUTCORE, ranged_rows::RANGED_MMAP, 1.0);
        workload.goals.push(goal);
        workload.baselines.push(ranged_rows::RANGED_MMAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outcore_bench::workload::Kind;

    /// Every goal names candidates that exist: a renamed row would go unjudged for ever.
    #[test]
    fn goals_and_baselines_name_candidates() {
        let settings = Settings::default();
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        for workload in workloads(&settings, dir).unwrap() {
            let Kind::Isolated(candidates) = &workload.kind else {
                continue;
            };
            let is_known = |name: &str| candidates.iter().any(|one| one.name == name);
            for goal in &workload.goals {
                assert!(is_known(goal.candidate), "{}", goal.candidate);
            }
            for baseline in &workload.baselines {
                assert!(is_known(baseline), "{}: {baseline}", workload.name);
            }
        }
    }
}
