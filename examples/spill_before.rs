//! An ordinary program that needs more memory than it may have: it counts the visits of each
//! visitor in a log, and lists the most frequent ones. It does not use outcore.
//!
//! Under a limit it dies; `spill_after.rs`, which is this program and two lines, does not:
//!
//! ```sh
//! cargo build --examples
//! (ulimit -d 65536; target/debug/examples/spill_before)
//! (ulimit -d 65536; target/debug/examples/spill_after)
//! ```
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "an ordinary program"
)]

use std::collections::HashMap;

/// Lines of the log.
const VISITS: u32 = 3_000_000;

/// Counts, ranks and prints.
pub(crate) fn main() {
    let mut visits = HashMap::new();
    let mut log = Log { state: 1 };
    for _ in 0..VISITS {
        *visits.entry(log.next_visitor()).or_insert(0_u32) += 1;
    }
    let mut ranking: Vec<(u32, u64)> = visits.iter().map(|(visitor, n)| (*n, *visitor)).collect();
    ranking.sort_unstable_by(|a, b| b.cmp(a));
    println!("{} visitors", ranking.len());
    for (n, visitor) in ranking.iter().take(3) {
        println!("{visitor:016x} came {n} times");
    }
}

/// Replaces a file with a visitor in each line: many visitors come once, and some come often.
struct Log {
    state: u64,
}

impl Log {
    fn next_visitor(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005);
        self.state = self.state.wrapping_add(1_442_695_040_888_963_407);
        let drawn = self.state >> 16;
        if drawn % 10 == 0 { drawn % 1000 } else { drawn }
    }
}
