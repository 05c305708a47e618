//! The body of a measuring program: from its arguments to tables and a record.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Parser;
use outcore::ScratchDir;

use crate::budget::Budget;
use crate::environment;
use crate::error::{Context, Result, ensure};
use crate::machine::{self, limit};
use crate::options::{self, Options};
use crate::process::{self, Parent};
use crate::record::Record;
use crate::report;
use crate::workload::Workload;

/// The load average per core above which the machine counts as busy.
const BUSY: f32 = 0.2;

/// What one measuring program has that others have not.
pub struct Program {
    /// Makes the workloads, the most important first.
    pub workloads: fn(&'static Options) -> Result<Vec<Workload>>,
    /// The text of `Cargo.lock`.
    pub lock: &'static str,
    /// The crates whose versions are recorded.
    pub crates: &'static [&'static str],
    /// Writes the documents from the folder of all records.
    pub documents: fn(&Path) -> Result<()>,
}

/// Does what the command line asks for. Ends with an error if a candidate failed.
pub fn main(program: &Program) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(program, Options::parse(), &arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(program: &Program, mut options: Options, arguments: &[String]) -> Result<bool> {
    if !options.child.is_empty() {
        process::die_with_parent()?;
    }
    // Before anything is allocated or cached.
    if let Some(folder) = &options.group {
        limit::enter(folder)?;
    }
    if options.documents {
        (program.documents)(&records(&options))?;
        return Ok(true);
    }
    if let Some(file) = &options.report {
        print_report(program, file)?;
        return Ok(true);
    }
    if let Some(time) = options.time() {
        machine::limit_settling(time);
    }
    options.dir = Some(directory(&options, arguments)?);
    let options = options.kept();
    let mut workloads = (program.workloads)(options)?;
    for workload in &mut workloads {
        let all = std::mem::replace(&mut workload.candidates, Box::new(|| Ok(Vec::new())));
        workload.candidates = Box::new(move || {
            let mut candidates = all()?;
            candidates.retain(|one| options.wants_row(&one.name));
            Ok(candidates)
        });
    }
    if let [workload, candidate] = options.child.as_slice() {
        let named = workloads.iter().find(|one| one.name == *workload);
        let named = named.with_context(|| format!("no workload {workload}"))?;
        process::be_child(named, candidate, options)?;
        return Ok(true);
    }
    let is_quick = !options.full && options.only.is_empty();
    workloads.retain(|one| options.wants(&one.name) && !(is_quick && one.is_slow));
    ensure!(
        !workloads.is_empty(),
        "no workload has such a name; see --list"
    );
    if options.list {
        list(&workloads)?;
        return Ok(true);
    }
    let mut builds: Vec<fn()> = workloads.iter().filter_map(|one| one.build).collect();
    builds.dedup_by_key(|build| *build as usize);
    for build in builds {
        build();
    }
    measure_all(program, options, arguments, &workloads)
}

/// Returns the directory for all files. If it is not the one that every candidate would choose,
/// starts the program again with the variables that make it so.
fn directory(options: &Options, arguments: &[String]) -> Result<PathBuf> {
    let scratch = match &options.dir {
        Some(dir) => ScratchDir::new(dir)?,
        None => ScratchDir::from_env()?,
    };
    let dir = fs::canonicalize(scratch.path()).context("find the directory")?;
    let names = ["TMPDIR", "OUTCORE_DIR"];
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| value == dir);
    if names.iter().all(is_set) {
        return Ok(dir);
    }
    let mut again = Command::new(env::current_exe()?);
    again.args(arguments).envs(names.map(|name| (name, &dir)));
    Err(again.exec()).context("start again")
}

fn list(workloads: &[Workload]) -> Result<()> {
    for workload in workloads {
        println!("{} ({} rounds)", workload.name, workload.rounds);
        if workload.is_isolated {
            for candidate in (workload.candidates)()? {
                println!("  {}", candidate.name);
            }
        } else {
            println!("  (one process; candidates show when it runs)");
        }
    }
    println!("{} workloads", workloads.len());
    Ok(())
}

fn measure_all(
    program: &Program,
    options: &'static Options,
    arguments: &[String],
    workloads: &[Workload],
) -> Result<bool> {
    let command = options::without_paths(arguments);
    let facts = environment::facts(options.dir(), program.lock, program.crates, &command);
    for (name, value) in &facts {
        println!("{name}: {value}");
    }
    println!();
    let load = machine::load_average();
    if f64::from(load) > f64::from(BUSY) * machine::cores() as f64 {
        eprintln!("load average {load}: the machine is busy, these numbers are worth little");
    }
    let mut record = Record::new(&facts);
    let mut path: Option<PathBuf> = None;
    let mut is_sound = true;
    let parent = Parent::new(options, arguments)?;
    let started = Instant::now();
    let mut budget = Budget::new(options.time(), workloads.len(), started);
    for workload in workloads {
        let began = Instant::now();
        let results = parent.measure(workload, budget.next(began));
        let seconds = began.elapsed().as_secs_f64();
        let all = started.elapsed().as_secs_f64() / 60.0;
        eprintln!("{}: {seconds:.1} s; {all:.1} minutes in all", workload.name);
        is_sound &= !results.has_failures();
        record.add(&workload.name, &results);
        let physical = report::physical_of(workload, &record);
        println!(
            "{}\n",
            report::report(workload, &results, physical.as_ref())
        );
        if options.no_record {
            continue;
        }
        // After each workload, so that little is lost if a later one takes us down.
        match &path {
            Some(path) => record.write(path)?,
            None => path = Some(save(&record, options)?),
        }
    }
    if let Some(path) = path {
        println!("record: {}", path.display());
    }
    Ok(is_sound)
}

/// Prints the report of a record once more. The workloads are those of the command that was
/// recorded.
fn print_report(program: &Program, file: &Path) -> Result<()> {
    let record = Record::read(file)?;
    let command = record.fact("command").split_whitespace();
    let options = Options::try_parse_from(["bench"].into_iter().chain(command))?;
    let workloads = (program.workloads)(options.kept())?;
    for name in record.workloads() {
        let results = record.results(name);
        match workloads.iter().find(|one| one.name == name) {
            Some(known) => {
                let physical = report::physical_of(known, &record);
                println!("{}\n", report::report(known, &results, physical.as_ref()));
            }
            None => println!("## {name}\n\nNo longer measured: see the record.\n"),
        }
    }
    Ok(())
}

/// Returns the folder of all records.
fn records(options: &Options) -> PathBuf {
    let usual = || {
        // Set if cargo runs the program, which is in the repository then.
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        package.unwrap_or_default().join("record")
    };
    options.record.clone().unwrap_or_else(usual)
}

fn save(record: &Record, options: &Options) -> Result<PathBuf> {
    let machine = environment::machine_name(options.dir());
    let name = format!("{}-{}", environment::date(), options.name());
    record.save(&records(options), &machine, &name)
}
