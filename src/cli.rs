//! What the user typed: one file a command, and the exit codes.
//!
//! Exit 0: done. 1: a failed run or check. 2: bad input or a missing device. 130: interrupted.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod data;
mod report;
mod self_test;
pub mod shapes;
mod train;

#[derive(Parser)]
#[command(name = "tilelab", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Train an MLP
    Train(train::Args),
    /// Which data would be used, and its checksums
    Data(data::Args),
    /// Render reports/index.html from records; --quick measures first (the main job)
    Report(report::Args),
    /// Check this machine's kernels against the oracle
    SelfTest(self_test::Args),
}

/// Bad input or a missing device: exit code 2. Everything else that fails exits 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Parses the command line, runs the command, prints one line if it fails.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Report(report::Args::main_job())) {
        Command::Train(args) => train::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Report(args) => report::run(&args),
        Command::SelfTest(args) => self_test::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}
