//! Groups rows by a key, and shows the largest groups: more groups than fit into memory.
//!
//! `cargo run --release --example group_by -- 10000000`

use std::cmp::Reverse;

use outcore::external::Aggregator;
use outcore::{DiskVec, MemoryBudget};

/// The sums over the purchases of a customer.
#[derive(Clone, Copy, Debug)]
struct Purchases {
    count: u32,
    cents: u64,
}

/// Runs the example.
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
pub(crate) fn main() -> outcore::Result<()> {
    let rows = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let budget = MemoryBudget::new(16 << 20);
    let mut customers = Aggregator::new(&budget, |all: &mut Purchases, more: Purchases| {
        all.count = all.count.saturating_add(more.count);
        all.cents = all.cents.saturating_add(more.cents);
    });
    for row in 0..rows.unwrap_or(200_000_u64) {
        // A real program would read a table here.
        let customer = row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let one = Purchases {
            count: 1,
            cents: row % 10_000,
        };
        customers.add(customer, one)?;
    }

    // Groups come in no particular order; the same budget is used to sort a vector on disk.
    let mut ranking = DiskVec::new();
    for group in customers.finish()? {
        let (customer, purchases) = group?;
        ranking.push((purchases.cents, customer, purchases.count))?;
    }
    ranking.sort_external_by_key(&budget, |(cents, customer, _)| (Reverse(*cents), *customer))?;
    for (cents, customer, count) in ranking.iter().take(3) {
        println!("customer {customer}: {count} purchases, {cents} cents");
    }
    println!(
        "{} customers, {} bytes of memory",
        ranking.len(),
        budget.peak_bytes()
    );
    Ok(())
}
