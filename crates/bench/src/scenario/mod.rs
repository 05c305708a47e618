//! What a user does with outcore, beside the same work in plain system calls.
//!
//! Programs that compare with others give their candidates to [`workloads`], so that all do the
//! same work in the same loops.

pub mod alloc;
pub mod external;
pub mod get;
pub mod get_job;
pub mod past;
pub mod physical;
pub mod ranged;
pub mod sealed;
pub mod store;
pub mod strings;
pub mod vec_push;
pub mod vec_read;
pub mod vec_update;

use std::os::unix::process::parent_id;

use clap::Parser;
use outcore::ScratchDir;

use crate::machine;
use crate::prelude::*;
use crate::sample::Outcome;

/// Returns a place for files that may be in memory: a small disk is.
fn scratch(dir: &Path) -> Result<ScratchDir> {
    Ok(ScratchDir::builder(dir).allow_ram(true).build()?)
}

/// The candidates of others, by the work that they do.
#[derive(Default)]
pub struct Peers {
    pub get: Vec<Prepare<get_job::GetJob>>,
    pub vec_push: Vec<Row<vec_push::VecJob>>,
    pub vec_collect: Vec<Row<vec_push::VecJob>>,
    pub vec_sum: Vec<Prepare<vec_push::VecJob>>,
    pub vec_update: Vec<Prepare<vec_update::UpdateJob>>,
    pub store: Vec<Row<store::Job>>,
    pub fill: Vec<Row<ranged::FillJob>>,
    pub overwrite: Vec<Prepare<ranged::OverwriteJob>>,
    pub allocate: Vec<Prepare<ranged::AllocateJob>>,
    pub alloc_push: Vec<Row<vec_push::VecJob>>,
    pub past: Vec<Row<past::PastJob>>,
    pub external: external::Others,
    pub strings: strings::Others,
}

/// Returns all workloads, the most important first: what the machine can do, and what outcore does.
pub fn workloads(options: &'static Options, peers: &Peers) -> Result<Vec<Workload>> {
    let len = options.bytes(4 << 20, 4 << 20);
    ensure!(
        len > 0 && len % (2 << 20) == 0,
        "--size: a multiple of 2MiB"
    );
    let mut all = physical::workloads(options);
    all.extend(vec_push::workloads(options, &peers.vec_push));
    all.extend(store::push_workloads(options, &peers.store));
    all.extend(get::workloads(options, &peers.get));
    all.extend(vec_read::workloads(options, &peers.vec_sum));
    all.push(vec_update::workload(options, &peers.vec_update));
    all.extend(alloc::workloads(options, &peers.alloc_push));
    let ranged = (&peers.fill[..], &peers.overwrite[..], &peers.allocate[..]);
    all.extend(ranged::workloads(options, ranged));
    all.extend(store::workloads(options, &peers.store));
    all.extend(get::zipf_workloads(options, &peers.get));
    all.push(vec_push::collecting(options, &peers.vec_collect));
    all.extend(past::workloads(options, &peers.past));
    all.extend(external::workloads(options, &peers.external));
    all.extend(strings::workloads(options, &peers.strings));
    all.extend(sealed::workloads(options));
    all.push(vec_push::pushing_each(options, &peers.vec_push));
    Ok(all)
}

/// Runs every candidate of the quick workloads once, with little data, and compares its checksum;
/// for the tests of both programs. Returns the name of each one that was measured.
///
/// # Panics
///
/// A candidate fails.
pub fn check_all(peers: &Peers, is_left_out: impl Fn(&str) -> bool) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let mut options = Options::parse_from(["bench", "--size", "2MiB"]);
    options.dir = Some(dir.clone());
    let all = workloads(options.kept(), peers);
    // Others use the device meanwhile.
    machine::limit_settling(Duration::from_millis(100));
    let mut measured = Vec::new();
    for workload in all.unwrap_or_else(|error| panic!("{error:#}")) {
        // A full disk changes the whole process; slow ones differ from others in their sizes only.
        if workload.name.starts_with("disk_full_") || workload.is_slow {
            continue;
        }
        let name = &workload.name;
        let (candidates, expected) = ((workload.candidates)(), (workload.expected)());
        for mut one in candidates.unwrap_or_else(|error| panic!("{name}: {error:#}")) {
            if is_left_out(&one.name) {
                continue;
            }
            match (one.run)() {
                Outcome::Measured(sample) => {
                    assert_eq!(sample.checksum, expected, "{name} {}", one.name);
                    let headline = sample.get(workload.headline.metric);
                    assert!(headline.is_some(), "{name} {}: no headline", one.name);
                    measured.push(one.name);
                }
                Outcome::Skipped(why) => eprintln!("skipped: {name} {}: {why}", one.name),
                other => panic!("{name} {}: {other:?}", one.name),
            }
        }
    }
    let left = process::named_folder(&dir, parent_id());
    drop(std::fs::remove_dir_all(left));
    measured
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::timed;

    #[test]
    fn every_candidate_returns_the_expected_checksum() {
        assert!(check_all(&Peers::default(), |_name| false).len() > 100);
    }

    #[test]
    fn names_of_workloads_are_unique_and_the_readme_says_what_is_timed() {
        for call in ["--quick", "--full"] {
            let options = Options::parse_from(["bench", call]).kept();
            let all = workloads(options, &Peers::default()).unwrap();
            let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
            for name in names {
                assert!(timed(name).is_some(), "{name}");
            }
        }
    }
}
