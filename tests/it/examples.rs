//! The examples run.

#[path = "../../examples/download.rs"]
mod download;

#[test]
fn a_download_goes_on_where_it_stopped() {
    download::main().unwrap();
}
