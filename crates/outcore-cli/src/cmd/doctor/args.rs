//! The arguments of `outcore doctor`.

use std::path::PathBuf;

use clap::ValueHint;

/// Show the scratch directory and the limits that matter, and what to change
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The directory to look at [default: the one that scratch files would go to]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
