//! Sorts, shuffles and groups on small disks that are full at any moment, on three file systems, and
//! killed at any moment: no signal, no loss, no name and no space left.

use crate::campaigns::{full, kill};
use crate::random::{Random, size};
use crate::runner::{Campaign, Case, Verdict};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "external",
    about: "sorts and groups on small full disks, tmpfs, ext4 and XFS, and killed at any moment",
    short: 12,
    long: 600,
    alone: false,
    canaries: &[("believe", 24), ("left", 4), ("named", 24)],
    case,
};

const MIB: u64 = 1 << 20;

/// The disks, in the order of the seeds. An XFS is no smaller.
const DISKS: [(&str, u64); 4] = [
    ("tmpfs", 8 * MIB),
    ("ext4", 32 * MIB),
    ("tmpfs", 32 * MIB),
    ("xfs", 304 * MIB),
];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    if case.bug == Some("named") || (case.bug.is_none() && number % 6 == 5) {
        let mut random = Random::new(case.seed);
        return kill::scratch_of(case, "external", &mut random).unwrap_or_else(Verdict::Failed);
    }
    let (kind, bytes) = DISKS[number % DISKS.len()];
    let disk = match kind {
        "tmpfs" => case.room.tmpfs(bytes),
        "ext4" => case.room.ext4(bytes),
        _ => case.room.xfs(bytes),
    };
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return Verdict::Skipped(why),
    };
    let what = format!("{kind} of {bytes} bytes");
    full::on_disk(case, "external", bytes, disk.path())
        .map_err(|why| format!("{what}: {why}"))
        .into()
}
