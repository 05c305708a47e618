//! Makes tables and the picture of the README from a record that `record/measure.sh` or
//! `record/measure-text.sh` wrote.
//!
//! ```sh
//! cargo run -p outcore-cli --example record -- crates/outcore-cli/record/DATE-dedup.csv
//! ```
//!
//! Without an argument it is each record that the README names.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::format_push_string,
    reason = "places in a picture and short texts"
)]

mod picture;
mod rows;
#[path = "../../src/cmd/demo/svg.rs"]
mod svg;
mod tables;
mod text;

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use crate::rows::Record;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme)?;
    let paths = if let Some(path) = std::env::args_os().nth(1) {
        vec![PathBuf::from(path)]
    } else {
        let names = tables::named_records(&text).into_iter();
        names.map(|name| root.join(name)).collect()
    };
    let mut text = text;
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| wrong("the record has no name"))?;
        let record = Record::parse(&fs::read_to_string(&path)?).map_err(|line| wrong(&line))?;
        let made = tables::put(&text, &format!("record/{name}"), &record);
        text = made.ok_or_else(|| wrong("the README has no marks for such a record"))?;
        if name.ends_with(picture::OF) {
            fs::write(root.join(picture::PATH), picture::draw(&record))?;
        }
    }
    fs::write(readme, text)
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
