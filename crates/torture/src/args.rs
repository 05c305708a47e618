//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Campaigns that try to break outcore from outside
#[derive(Clone, Debug, Parser)]
#[command(
    name = "torture",
    after_help = "Each campaign ends with one line: cases, seed, failures, and counts of events. A \
                  failed case prints the command that runs it again. Exit status: 0 all cases \
                  passed (with --canary: all planted bugs were found); 1 not; 2 wrong usage."
)]
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
pub(crate) struct Args {
    /// The campaign, or `all`
    #[arg(required_unless_present = "list")]
    pub(crate) campaign: Option<String>,

    /// List the campaigns
    #[arg(long)]
    pub(crate) list: bool,

    /// Run as many cases as every change has to pass, and the canaries
    #[arg(long)]
    pub(crate) short: bool,

    /// Run as many cases as a release has to pass
    #[arg(long, conflicts_with = "short")]
    pub(crate) long: bool,

    /// Run cases for this long: 60s, 30min, 2h
    #[arg(long, value_parser = parse_time, conflicts_with = "cases")]
    pub(crate) time: Option<Duration>,

    /// Run this many cases
    #[arg(long)]
    pub(crate) cases: Option<u64>,

    /// The seed of the first case; later cases count up from it
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Plant each bug that the campaign must detect, and fail unless it is found
    #[arg(long, hide = true)]
    pub(crate) canary: bool,

    /// Number of parallel cases [default: number of cores]
    #[arg(long)]
    pub(crate) jobs: Option<usize>,

    /// A directory on a disk [default: as for scratch files]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,

    /// Count cases that this machine cannot run as failures
    #[arg(long)]
    pub(crate) no_skips: bool,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "min" | "m" => 60,
        "h" => 3600,
        unit => return Err(format!("{unit}: s, min or h")),
    };
    let count: u64 = digits
        .parse()
        .map_err(|_no_number| format!("{text}: not a time"))?;
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_time("30min"), Ok(Duration::from_secs(1800)));
        assert!(parse_time("3 days").is_err());
        assert!(parse_time("s").is_err());
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
