//! `tilelab experiment`: what there is, running it, and the notebook's figures beside ours.

mod compare;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use serde_json::json;
use tilelab_kernels::{Isa, Threads};

use super::values::seed;
use super::{Interrupted, Usage, print};
use crate::device::Device;
use crate::experiment::{self, ALL, Entry, Failure, Options, State};
use crate::measure::{Body, Experiment, Machine, Progress, Record, Table};
use crate::report;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every experiment and its question
    List(List),
    /// Run some, or all; what a stopped run has done is gone on from
    Run(Box<Run>),
    /// The notebook's figures beside those of the records, and whether they are held
    Compare(Compare),
}

#[derive(clap::Args)]
struct List {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Compare {
    /// Folder of the report, whose raw/ has the records
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print one JSON object a line: each figure, then a summary
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Run {
    /// Names, as `tilelab experiment list` shows them, or `all`
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Sizes shrunk to take minutes for all of them: what there is without --full too
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The notebook's own sizes, on the whole Fashion-MNIST
    #[arg(long)]
    full: bool,
    /// Fixes everything random
    #[arg(long, default_value = "1", value_parser = seed, allow_hyphen_values = true)]
    seed: u64,
    /// Who trains: cpu, baseline, reference, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Threads that work on one operation; without it as many as there are CPUs
    #[arg(long, value_parser = super::values::threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Fashion-MNIST as IDX files; `tilelab data info` says what is used without it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Begin anew what an earlier run left half done
    #[arg(long)]
    fresh: bool,
    /// Folder of the report: index.html, the records in raw/, and what is half done in experiments/
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print one JSON object a line: each experiment's finding and record, then a summary
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list(args.json),
        Command::Run(args) => run_all(args),
        Command::Compare(args) => compare::run(&args.out, args.json),
    }
}

fn list(as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let line = |entry: &Entry| json!({"name": entry.name, "title": entry.title, "question": entry.question, "expects": entry.expects});
        return print(&ALL.iter().map(|entry| format!("{}\n", line(entry))).collect::<String>());
    }
    let widest = ALL.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let line = |entry: &Entry| format!("{:widest$}  {}\n", entry.name, entry.question);
    print(&ALL.iter().map(line).collect::<String>())
}

/// The experiments of these names, in the order of the registry, each once.
fn chosen(names: &[String]) -> Result<Vec<&'static Entry>, Usage> {
    for name in names {
        if name != "all" && experiment::by_name(name).is_none() {
            let known: Vec<&str> = ALL.iter().map(|entry| entry.name).collect();
            return Err(Usage(format!(
                "no experiment is called `{name}`; there is all, {}",
                known.join(", ")
            )));
        }
    }
    let wanted = |entry: &&Entry| names.iter().any(|name| name == "all" || name == entry.name);
    Ok(ALL.iter().filter(wanted).collect())
}

fn run_all(args: &Run) -> anyhow::Result<()> {
    let entries = chosen(&args.names)?;
    let options = Options {
        full: args.full,
        seed: args.seed,
        device: args.device,
        threads: args.threads.unwrap_or_else(Threads::all),
        data: args.data.clone(),
    };
    // A device that is not there is found before anything is computed.
    options
        .device
        .open(&[], &[], options.threads)
        .map_err(|error| Usage(error.to_string()))?;
    let stop = super::train::stop_flag().context("can't watch for signals")?;
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let raw = args.out.join("raw");
    let mut progress = Progress::new(entries.len() as u64, "experiments");
    let mut failed: Vec<String> = Vec::new();
    let mut states = Vec::new();
    for entry in &entries {
        let mut state = State::open(&args.out.join("experiments"), entry.name, options.settings());
        if args.fresh {
            state.forget();
            state = State::open(&args.out.join("experiments"), entry.name, options.settings());
        }
        let record_there = raw.join(report::file_name(&entry.record_name())).is_file();
        if state.finished() && record_there {
            let name = entry.name;
            progress.suspend(|| tell_kept(args.json, name))?;
            let record = report::read(&raw.join(report::file_name(&entry.record_name())))
                .map_err(|why| anyhow::anyhow!("{name}: its record: {why}; --fresh runs it again"))?;
            failed.extend(failed_checks(entry.name, &record));
        } else {
            let was = state.count();
            if was > 0 {
                progress.suspend(|| eprintln!("note: {}: goes on, {was} of its parts are done", entry.name));
            }
            progress.label(entry.name);
            let stopping = || stop.load(Ordering::Relaxed);
            let record = entry.record(&options, &machine, &mut state, &stopping, &mut |part| {
                progress.label(format!("{}: {part}", entry.name));
                progress.add(0);
            });
            let record = record.map_err(|failure| told(failure, entry, args))?;
            let path = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
            state.finish().context("can't keep what was done")?;
            failed.extend(failed_checks(entry.name, &record));
            if let Body::Experiment(found) = &record.body {
                progress.suspend(|| tell(args.json, &record, found, &path))?;
            }
        }
        progress.add(1);
        states.push(state);
    }
    drop(progress);
    // All that was asked for is done: the next run begins anew.
    states.into_iter().for_each(State::forget);
    let page = render(&args.out)?;
    if args.json {
        print(&format!(
            "{}\n",
            json!({"event": "done", "experiments": entries.len(), "failed_checks": failed, "report": page})
        ))?;
    } else {
        print(&format!("report: {}\n", page.display()))?;
    }
    anyhow::ensure!(failed.is_empty(), "what must hold does not, in {}", failed.join("; "));
    Ok(())
}

/// The checks of an experiment's record that did not hold.
fn failed_checks(name: &str, record: &Record) -> Vec<String> {
    match &record.body {
        Body::Experiment(found) => {
            let bad = found.checks.iter().filter(|check| !check.passed);
            bad.map(|check| format!("{name}: {}", check.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// The report of all records that are there.
fn render(out: &Path) -> anyhow::Result<PathBuf> {
    let (records, problems) = report::load(&out.join("raw"));
    for problem in &problems {
        eprintln!("warning: {problem}");
    }
    let page = out.join("index.html");
    report::write_html(&page, &report::render(&records, &problems))
        .with_context(|| format!("can't write {}", page.display()))?;
    Ok(page)
}

/// What did not end well, as the error that decides the exit code.
fn told(failure: Failure, entry: &Entry, args: &Run) -> anyhow::Error {
    let name = entry.name;
    match failure {
        Failure::Interrupted => {
            let again: Vec<_> = std::env::args_os().skip(1).filter(|arg| arg != "--fresh").collect();
            let folder = args.out.join("experiments");
            let again = crate::measure::command_line(again);
            Interrupted(format!(
                "interrupted in {name}; what was done is kept in {}; go on with: {again}",
                folder.display()
            ))
            .into()
        }
        Failure::Usage(line) => Usage(format!("{name}: {line}")).into(),
        Failure::Failed(line) => anyhow::anyhow!("{name}: {line}"),
    }
}

fn tell_kept(as_json: bool, name: &str) -> anyhow::Result<()> {
    if as_json {
        return print(&format!("{}\n", json!({"event": "kept", "experiment": name})));
    }
    print(&format!("{name}: done in the run that was stopped\n\n"))
}

/// An experiment's lines: its name and time, the finding, the figures beside the notebook's, and checks that fail.
fn tell(as_json: bool, record: &Record, found: &Experiment, path: &Path) -> anyhow::Result<()> {
    let words = report::sections::section(record).verdict.text;
    if as_json {
        let line = json!({"event": "experiment", "experiment": found.experiment, "seconds": record.elapsed_s,
            "finding": found.finding, "text": words, "checks": found.checks, "beside": found.beside, "record": path});
        return print(&format!("{line}\n"));
    }
    let mut text = format!(
        "{} ({:.1} s)\n  {}\n  {words}\n",
        found.experiment, record.elapsed_s, record.question
    );
    if !found.beside.is_empty() {
        text += &indented(&compare::table(&found.beside).render());
    }
    let passed = found.checks.iter().filter(|check| check.passed).count();
    text += &format!("  {passed} of {} checks hold\n", found.checks.len());
    let failing = found.checks.iter().filter(|check| !check.passed);
    let mut table = Table::new(&["check", "value", "bound"]);
    failing.for_each(|check| {
        table.row(vec![
            check.name.clone(),
            format!("{:e}", check.value),
            format!("{:e}", check.bound),
        ]);
    });
    if passed < found.checks.len() {
        text += &indented(&table.render());
    }
    print(&(text + "\n"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
