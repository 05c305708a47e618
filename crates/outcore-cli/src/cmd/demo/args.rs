//! The arguments of `outcore demo`.

use std::path::PathBuf;

use clap::ValueHint;

use crate::scratch;
use crate::size::parse_bytes;

/// Fill std's Vec and outcore's containers under a memory limit, and draw a picture of it
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The process gives itself a limit on its data (RLIMIT_DATA). In it, a Vec of std is filled until it \
fails; then DiskVec, Arena, DiskAlloc and RangeFile take several times the limit each. A table and \
a picture (SVG) show the resident memory and the bytes stored over time.")]
pub(crate) struct DemoArgs {
    /// The limit
    #[arg(short, long, value_name = "SIZE", value_parser = parse_bytes, default_value = "256MiB")]
    pub(crate) memory: u64,

    /// How many times the limit each container stores
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) times: u64,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "outcore-demo.svg")]
    pub(crate) picture: PathBuf,

    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help = scratch::HELP)]
    pub(crate) tmp: Option<PathBuf>,
}
