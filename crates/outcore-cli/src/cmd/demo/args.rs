//! The arguments of `outcore demo`.

use std::path::PathBuf;

use clap::ValueHint;

use crate::scratch;
use crate::size::parse_bytes;

/// Fill std's Vec and outcore's containers under a memory limit, run commands, and draw a picture
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The process gives itself a limit on its data (RLIMIT_DATA). In it, a Vec of std is filled until it \
fails; then DiskVec, Arena, DiskAlloc and RangeFile take several times the limit each, and `outcore \
sort`, `count` and `shuf` read as much with the limit as their --memory. A table and a picture (SVG) \
show the resident memory and the bytes stored, or read, over time.

RLIMIT_DATA does not count the page cache. A memory group does, and the demo shows its limit if it \
runs in one that has a limit:
  systemd-run --scope -p MemoryMax=320M -p MemorySwapMax=0 outcore demo")]
pub(crate) struct DemoArgs {
    /// The limit
    #[arg(short, long, value_name = "SIZE", value_parser = parse_bytes, default_value = "256MiB")]
    pub(crate) memory: u64,

    /// How many times the limit each container stores, and each command reads
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) times: u64,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "outcore-demo.svg")]
    pub(crate) picture: PathBuf,

    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help = scratch::HELP)]
    pub(crate) tmp: Option<PathBuf>,
}
