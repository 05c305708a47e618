//! The body of a measuring program: from its arguments to tables and a record.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use outcore::ScratchDir;

use crate::child;
use crate::documents::{Block, Documents};
use crate::environment;
use crate::failure::{Context, Failure, Result};
use crate::goals::{self, Goals, Kept, Section};
use crate::guard;
use crate::helpers;
use crate::limit;
use crate::machine;
use crate::page::{self, Picture};
use crate::reasons::Reason;
use crate::record::Record;
use crate::report;
use crate::runs::{self, Parent};
use crate::schedule::{self, Cost, Guess, Share, Wish};
use crate::settings::{self, HELP, Settings, Task};
use crate::workload::{Kind, Workload};

/// The load average per core above which the machine counts as busy.
const BUSY: f64 = 0.2;

/// What one measuring program has that others have not.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Makes the workloads for a directory.
    pub workloads: fn(&Settings, &Path) -> Result<Vec<Workload>>,
    /// Builds what these workloads start, before the first of them is timed.
    pub build: fn(&[Workload]),
    /// The text of `Cargo.lock`.
    pub lock: &'static str,
    /// The crates whose versions are recorded.
    pub crates: &'static [&'static str],
    /// What was asked for, by parts of the library.
    pub sections: &'static [Section],
    /// How the names of workloads begin, the most important first; the others come last.
    pub order: &'static [&'static str],
    /// What workloads take for which there is no record.
    pub guesses: &'static [Guess],
    /// How the names of workloads begin that `--quick` leaves out, unless they are asked for.
    pub not_quick: &'static [&'static str],
    /// Why outcore is not the first of some workloads.
    pub reasons: &'static [Reason],
    /// The tables of the documents.
    pub blocks: &'static [Block],
    /// The pictures that the README shows.
    pub shown: &'static [&'static str],
    /// Draws what a record shows.
    pub pictures: fn(&Record) -> Result<Vec<Picture>>,
}

/// Does what the command line asks for.
///
/// Ends with an error if a candidate failed; a goal that was missed is a result.
pub fn main(program: &Program) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments == [guard::ARGUMENT] {
        guard::watch(std::io::stdin().lock());
        return ExitCode::SUCCESS;
    }
    match run(program, &arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(program: &Program, arguments: &[String]) -> Result<bool> {
    let settings = Settings::parse(arguments)?;
    if settings.task == Task::Help {
        print!("{HELP}");
        return Ok(true);
    }
    if settings.child.is_some() {
        child::die_with_parent()?;
    }
    // Before anything is allocated or cached.
    if let Some(folder) = &settings.group {
        limit::enter_group(folder)?;
    }
    if let Some(bytes) = settings.data_limit {
        limit::limit_data(bytes)?;
    }
    if let Some(file) = &settings.again {
        again(program, file)?;
        return Ok(true);
    }
    if settings.task == Task::Goals {
        show_goals(program, &settings)?;
        return Ok(true);
    }
    if let Some(time) = settings.time() {
        machine::limit_settling(time);
    }
    let dir = directory(&settings, arguments)?;
    let workloads = (program.workloads)(&settings, &dir)?;
    if let Some((workload, candidate)) = &settings.child {
        let named = workloads.iter().find(|one| one.name == *workload);
        let named = named.ok_or_else(|| Failure::new(format!("no workload {workload}")))?;
        runs::of_child(named, candidate, &settings, &dir)?;
        return Ok(true);
    }
    let wanted = workloads.into_iter();
    let wanted = wanted.filter(|workload| {
        let mut slow = program.not_quick.iter();
        let is_slow = slow.any(|prefix| workload.name.starts_with(prefix));
        let is_left_out = is_slow && !settings.full && settings.only.is_empty();
        settings.wants(&workload.name) && !is_left_out
    });
    let mut wanted: Vec<Workload> = wanted.collect();
    let place = |name: &str| {
        program
            .order
            .iter()
            .position(|prefix| name.starts_with(prefix))
    };
    wanted.sort_by_key(|workload| place(&workload.name).unwrap_or(usize::MAX));
    if wanted.is_empty() {
        return Err(Failure::new("no workload has such a name; see --list"));
    }
    // Without records of before, guesses have to do.
    let kept = goals::all_below(&records(&settings)).unwrap_or_default();
    let plan = Plan::new(&wanted, &kept, program.guesses, &settings);
    if settings.task == Task::List {
        plan.print(&wanted);
        return Ok(true);
    }
    helpers::build(wanted.iter().map(|workload| workload.name.as_str()));
    (program.build)(&wanted);
    measure_all(program, &settings, arguments, &dir, &wanted, &plan)
}

/// Returns the directory for all files. If it is not the one that every candidate would
/// choose, starts the program again with the variables that make it so.
fn directory(settings: &Settings, arguments: &[String]) -> Result<PathBuf> {
    let scratch = match &settings.dir {
        Some(dir) => ScratchDir::new(dir)?,
        None => ScratchDir::from_env()?,
    };
    let dir = fs::canonicalize(scratch.path()).context("find the directory")?;
    let names = ["TMPDIR", "OUTCORE_DIR"];
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| value == dir);
    if names.iter().all(is_set) {
        return Ok(dir);
    }
    let own = env::current_exe().context("find the own program")?;
    let mut again = Command::new(own);
    again.args(arguments).envs(names.map(|name| (name, &dir)));
    Err(again.exec()).context("start again")
}

/// What all workloads take, and how long all of it may take.
struct Plan {
    wishes: Vec<Wish>,
    time: Option<Duration>,
}

impl Plan {
    fn new(workloads: &[Workload], kept: &[Kept], guesses: &[Guess], settings: &Settings) -> Self {
        let wish = |workload: &Workload| Wish {
            cost: Cost::of(&workload.name, kept, guesses, settings.full),
            rounds: workload.rounds,
            has_goals: !workload.goals.is_empty(),
        };
        Self {
            wishes: workloads.iter().map(wish).collect(),
            time: settings.time(),
        }
    }

    /// Returns the shares of the workloads from `number` on, when `passed` of the time is over.
    fn shares(&self, number: usize, passed: Duration) -> Vec<Share> {
        let left = self.time.map(|time| time.saturating_sub(passed));
        schedule::shares(&self.wishes[number..], left.map(|left| left.as_secs_f64()))
    }

    fn print(&self, workloads: &[Workload]) {
        let shares = self.shares(0, Duration::ZERO);
        for ((workload, share), wish) in workloads.iter().zip(&shares).zip(&self.wishes) {
            let (cost, most) = (wish.cost, wish.rounds);
            let (name, rounds) = (&workload.name, share.rounds);
            let guess = if cost.is_guess { ", a guess" } else { "" };
            let (seconds, preparing, round) = (share.seconds, cost.preparing, cost.round);
            println!(
                "{name}: {seconds:.0} s ({rounds} of {most} rounds; \
                 {preparing:.1} s before them, {round:.1} s a round{guess})"
            );
            match &workload.kind {
                Kind::Isolated(candidates) => {
                    for candidate in candidates {
                        println!("  {}", candidate.name);
                    }
                }
                Kind::Shared(_) => println!("  (one process; candidates show when it runs)"),
            }
        }
        let minutes = schedule::total(&shares) / 60.0;
        let guesses = self.wishes.iter().filter(|wish| wish.cost.is_guess);
        let guesses = guesses.count();
        let count = workloads.len();
        println!("{count} workloads, {minutes:.1} minutes; of {guesses} the time is a guess");
    }
}

fn measure_all(
    program: &Program,
    settings: &Settings,
    arguments: &[String],
    dir: &Path,
    workloads: &[Workload],
    times: &Plan,
) -> Result<bool> {
    let command = settings::without_paths(arguments);
    let facts = environment::facts(dir, program.lock, program.crates, &command);
    for (name, value) in &facts {
        println!("{name}: {value}");
    }
    println!();
    warn_if_busy();
    let mut record = Record::new(&facts);
    let mut path = None;
    let mut is_sound = true;
    let parent = Parent::new(settings, arguments, dir)?;
    let started = Instant::now();
    for (number, workload) in workloads.iter().enumerate() {
        let shares = times.shares(number, started.elapsed());
        let began = Instant::now();
        let results = match shares.first() {
            Some(share) if share.rounds > 0 => {
                let (results, cost) = parent.measure(workload, *share)?;
                cost.note(&workload.name, &mut record);
                results
            }
            _ => runs::left_out(),
        };
        let seconds = began.elapsed().as_secs_f64();
        let all = started.elapsed().as_secs_f64() / 60.0;
        eprintln!("{}: {seconds:.1} s; {all:.1} minutes in all", workload.name);
        is_sound &= !results.has_failures();
        record.add(&workload.name, &results);
        let limit = page::limit_of(workload, &record);
        println!(
            "{}",
            report::report(workload, &results, limit.as_ref(), program.reasons)
        );
        if settings.no_record {
            continue;
        }
        // After each workload, so that little is lost if a later one takes us down.
        match &path {
            Some(path) => fs::write(path, record.to_csv()).context("write the record")?,
            None => path = Some(save(&record, settings, dir)?),
        }
    }
    if let Some(path) = path {
        println!("record: {}", path.display());
        write_page(program, &path, &record, workloads)?;
    }
    Ok(is_sound)
}

/// Writes the report and the pictures beside the record.
fn write_page(
    program: &Program,
    path: &Path,
    record: &Record,
    workloads: &[Workload],
) -> Result<()> {
    let pictures = (program.pictures)(record)?;
    let folder = path.with_extension("");
    if !pictures.is_empty() {
        fs::create_dir_all(&folder).context(folder.display())?;
    }
    for picture in &pictures {
        let file = folder.join(picture.name).with_extension("svg");
        fs::write(&file, &picture.svg).context(file.display())?;
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let text = page::page(&name, record, workloads, &pictures, program.reasons);
    let file = path.with_extension("md");
    fs::write(&file, text).context(file.display())?;
    println!("report: {}", file.display());
    Ok(())
}

/// Makes the report of a record once more. The workloads are those of the command that was
/// recorded.
fn again(program: &Program, file: &Path) -> Result<()> {
    let text = fs::read_to_string(file).context(file.display())?;
    let record = Record::from_csv(&text)?;
    let command = record.fact("command").unwrap_or_default();
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let settings = Settings::parse(&words)?;
    let workloads = (program.workloads)(&settings, Path::new("."))?;
    write_page(program, file, &record, &workloads)
}

/// Prints what was asked and reached, and writes the documents anew if they are there.
fn show_goals(program: &Program, settings: &Settings) -> Result<()> {
    let folder = records(settings);
    let kept = goals::all_below(&folder)?;
    let full = Settings {
        full: true,
        ..settings.clone()
    };
    let workloads = (program.workloads)(&full, Path::new("."))?;
    let root = folder.join("../../..");
    let goals = Goals {
        workloads: &workloads,
        sections: program.sections,
        kept: &kept,
        reasons: program.reasons,
        root: &root,
    };
    println!("{}", goals.tables("")?);
    if settings.record.is_none() {
        let documents = Documents {
            goals,
            blocks: program.blocks,
            pictures: program.pictures,
            shown: program.shown,
        };
        for name in documents.write()? {
            eprintln!("{name} is new");
        }
    }
    Ok(())
}

/// Returns the folder of all records.
fn records(settings: &Settings) -> PathBuf {
    let usual = || {
        // Set if cargo runs the program, which is in the repository then.
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        package.unwrap_or_default().join("record")
    };
    settings.record.clone().unwrap_or_else(usual)
}

fn save(record: &Record, settings: &Settings, dir: &Path) -> Result<PathBuf> {
    let folder = records(settings);
    let machine = settings.machine.clone();
    let machine = machine.unwrap_or_else(|| environment::machine_name(dir));
    let name = format!("{}-{}", environment::date(), settings.name());
    record.save(&folder, &machine, &name)
}

fn warn_if_busy() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let Some(load) = machine::load_average() else {
        return;
    };
    if load > BUSY * cores as f64 {
        eprintln!("load average {load}: the machine is busy, these numbers are worth little");
    }
}
