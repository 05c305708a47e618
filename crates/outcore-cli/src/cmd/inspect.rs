//! `outcore inspect`: what a sealed file says of itself.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use outcore::sealed::{Kind, SealedFile};

use crate::failure::{Failure, Result};

/// Show what a sealed file holds, without reading its data
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// The file cannot be opened, or is no sealed file; standard output cannot be written.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let file = SealedFile::open(&args.file)?;
    let kind = match file.kind() {
        Kind::Vector => "vector".to_owned(),
        Kind::Arena => "arena".to_owned(),
        Kind::Bytes => "byte strings".to_owned(),
        Kind::Strings => "strings".to_owned(),
        Kind::Other(number) => format!("unknown ({number})"),
        other => format!("{other:?}"),
    };
    let id: String = file.id().iter().fold(String::new(), |mut id, byte| {
        // Formatting into a string cannot fail.
        write!(id, "{byte:02x}").ok();
        id
    });
    let length = match file.kind() {
        Kind::Bytes | Kind::Strings => "any length".to_owned(),
        _ => format!(
            "{} bytes, aligned to {}",
            file.element_bytes(),
            file.element_align()
        ),
    };
    let text = format!(
        "kind:      {kind}\n\
         version:   {}\n\
         id:        {id}\n\
         elements:  {}\n\
         type:      {} ({length})\n\
         data:      {} bytes\n\
         file:      {} bytes\n\
         block:     {} bytes\n",
        file.version(),
        file.elements(),
        file.type_name(),
        file.data_bytes(),
        file.file_bytes(),
        file.block_bytes(),
    );
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written
        .and_then(|()| stdout.flush())
        .map_err(|answer| Failure::write("standard output", &answer))
}
