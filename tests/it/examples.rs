//! The examples run.

#[cfg(not(miri))]
#[path = "../../examples/async_reads.rs"]
mod async_reads;
#[path = "../../examples/download.rs"]
mod download;

#[test]
fn a_download_goes_on_where_it_stopped() {
    download::main().unwrap();
}

#[test]
#[cfg(not(miri))]
fn tasks_go_on_while_items_are_read() {
    async_reads::main().unwrap();
}
