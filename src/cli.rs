//! What the user typed: one file a command, and the exit codes.
//!
//! Exit 0: done. 1: a failed run or check. 2: bad input or a missing device. 130: interrupted.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

mod bench;
mod compare;
mod data;
mod experiment;
mod footprint;
mod graph;
mod hessian;
mod predict;
mod probe;
mod report;
mod search;
mod self_test;
pub mod shapes;
mod train;
mod values;

#[derive(Parser)]
#[command(name = "tilelab", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Train an MLP
    Train(Box<train::Args>),
    /// Hyperparameter search, resumable: samplers, pruners, trials in parallel, a study that Optuna opens
    Search(Box<search::Args>),
    /// Interleaved timings: ours beside every peer of this machine, and the bars
    Bench(bench::Args),
    /// Two records or two executables: faster, slower, the same, or not told apart
    Compare(compare::Args),
    /// Every question of the notebook: list, run, compare
    Experiment(experiment::Args),
    /// What a saved model says about images
    Predict(predict::Args),
    /// Memory of training and prediction, buffer by buffer, beside the notebook's formulas and what is really allocated
    Footprint(footprint::Args),
    /// Draw the computational graph of a training step
    Graph(graph::Args),
    /// Second derivatives: the Hessian, its eigenvalues, their density, its trace
    Hessian(Box<hessian::Args>),
    /// Which data would be used, and its checksums
    Data(data::Args),
    /// The memory system, claimed beside measured: caches, latency, bandwidth, bus width
    Probe(probe::Args),
    /// Render reports/index.html from records; --quick measures first (the main job)
    Report(report::Args),
    /// Check this machine's kernels against the oracle
    SelfTest(self_test::Args),
}

/// Bad input or a missing device: exit code 2. Everything else that fails exits 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Stopped by a signal: exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(pub String);

/// Writes to stdout. A reader that left (`| head`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("can't write to stdout"),
        _ => Ok(()),
    }
}

/// Parses the command line, runs the command, prints one line if it fails.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let done = match cli.command.unwrap_or(Command::Report(report::Args::main_job())) {
        Command::Train(args) => train::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Experiment(args) => experiment::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Footprint(args) => footprint::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Hessian(args) => hessian::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Report(args) => report::run(&args),
        Command::SelfTest(args) => self_test::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(match () {
                () if error.is::<Usage>() => 2,
                () if error.is::<Interrupted>() => 130,
                () => 1,
            })
        }
    }
}

/// Help and version are printed as clap lays them out; what is wrong becomes one line.
fn refused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Fails only where stdout is closed, and then nobody reads.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprintln!("error: a command or argument is missing; --help lists them");
            ExitCode::from(2)
        }
        _ => {
            eprintln!("{}", one_line(&error.render().to_string()));
            ExitCode::from(2)
        }
    }
}

/// clap's message in one line: its paragraphs but those that repeat the usage, each behind a semicolon.
fn one_line(message: &str) -> String {
    let paragraphs = message.trim().split("\n\n");
    let said = paragraphs.filter(|text| !text.starts_with("Usage:") && !text.starts_with("For more information"));
    let lines = said.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    lines
        .chain(["--help lists what there is".to_owned()])
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_clap_refuses_is_one_line() {
        let line = |args: &[&str]| one_line(&Cli::try_parse_from(args).err().unwrap().render().to_string());
        for (args, named) in [
            (&["trian"][..], "'trian'"),
            (&["train", "--layer", "784,10"], "'--layer'"),
            (&["train", "--lr"], "'--lr <LR>'"),
            (&["train", "--lr", "x"], "'x' for '--lr <LR>'"),
            (&["train", "more"], "'more'"),
        ] {
            let line = line(&[&["tilelab"], args].concat());
            assert!(
                !line.contains('\n') && line.starts_with("error: ") && line.contains(named),
                "{line}"
            );
        }
        assert!(
            line(&["tilelab", "train", "--layer", "784,10"]).contains("--layers"),
            "clap's tip is kept"
        );
    }
}
