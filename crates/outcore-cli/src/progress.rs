//! The progress bar, on terminals.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Makes a bar on standard error that counts bytes, up to `total_bytes` if that is
/// known; one that draws nothing if not `wanted` or if that is no terminal. `done` is the label
/// before it.
///
/// It draws when it is moved, from no thread of its own, and leaves nothing behind.
pub(crate) fn bar(done: &'static str, total_bytes: Option<u64>, wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template(total_bytes.is_some(), columns()));
    let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(done)
}

/// Columns from which on there is room for all.
const WIDE: u16 = 64;

/// Returns how many columns the terminal has; one that does not know is taken to be wide.
fn columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| size.ws_col);
    if columns == 0 { WIDE } else { columns }
}

/// Returns what is drawn in a terminal of that many columns.
fn template(is_total_known: bool, columns: u16) -> &'static str {
    match (is_total_known, columns) {
        (true, WIDE..) => {
            "{msg:9} {wide_bar} {percent:>3} % of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
        }
        (true, _) => "{msg:9} {percent:>3} % {binary_bytes_per_sec} {eta} left",
        (false, WIDE..) => "{msg:9} {spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
        (false, _) => "{msg:9} {binary_bytes} {binary_bytes_per_sec}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwanted_bar_is_hidden() {
        assert!(bar("reading", Some(10), false).is_hidden());
    }

    #[test]
    fn a_bar_fits_its_terminal() {
        // In 40 columns it was two lines, one of them of spaces.
        for is_total_known in [false, true] {
            for columns in [40, WIDE] {
                let mut longest = template(is_total_known, columns).to_owned();
                for (part, text) in [
                    ("{msg:9}", "comparing"),
                    ("{spinner}", "-"),
                    ("{percent:>3}", "100"),
                    ("{binary_total_bytes}", "1023.99 GiB"),
                    ("{binary_bytes}", "1023.99 GiB"),
                    ("{binary_bytes_per_sec}", "1023.99 MiB/s"),
                    ("{eta}", "23h"),
                    ("{elapsed}", "59m"),
                    ("{wide_bar}", "--"),
                ] {
                    longest = longest.replace(part, text);
                }
                assert!(!longest.contains('{'), "{longest}");
                assert!(longest.len() <= usize::from(columns), "{longest}");
            }
        }
    }
}
