//! Programs that a workload starts, and that lie beside the measuring program once they are built.

use std::env;
use std::process::Command;

/// The workload that wants them, and what it wants.
const WORKLOAD: &str = "spill_nothing";
const PROGRAMS: [&str; 2] = ["outcore-bench-plain", "outcore-bench-spill"];

/// Has cargo build what a workload of these names wants and lacks, if cargo runs this program. What
/// cannot be built is skipped by name when its turn comes.
pub fn build<'a>(mut workloads: impl Iterator<Item = &'a str>) {
    let Ok(own) = env::current_exe() else { return };
    let is_there = PROGRAMS
        .iter()
        .all(|name| own.with_file_name(name).exists());
    let Some(cargo) = env::var_os("CARGO").filter(|_| !is_there) else {
        return;
    };
    if !workloads.any(|name| name.starts_with(WORKLOAD)) {
        return;
    }
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "outcore-bench", "--bins"]);
    if own.components().any(|part| part.as_os_str() == "release") {
        command.arg("--release");
    }
    if let Ok(folder) = env::var("CARGO_MANIFEST_DIR") {
        command.current_dir(folder);
    }
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("cargo could not build {PROGRAMS:?}: {status}"),
        Err(error) => eprintln!("cargo could not build {PROGRAMS:?}: {error}"),
    }
}
