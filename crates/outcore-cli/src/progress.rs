//! The progress bar, for people who watch.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Makes a bar on standard error that counts bytes, up to `total_bytes` if that is
/// known; one that draws nothing if not `wanted` or where nobody watches. Before it stands what is
/// `done` meanwhile.
///
/// It draws when it is moved, from no thread of its own, and leaves nothing behind.
pub(crate) fn bar(done: &'static str, total_bytes: Option<u64>, wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = match total_bytes {
        Some(_) => {
            "{msg:9} {wide_bar} {percent:>3} % of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
        }
        None => "{msg:9} {spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
    };
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwanted_bar_is_hidden() {
        assert!(bar("reading", Some(10), false).is_hidden());
    }
}
