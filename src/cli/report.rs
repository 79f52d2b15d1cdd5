//! `tilelab report`.

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> anyhow::Result<()> {
    Ok(())
}

impl Args {
    /// The main job: what `tilelab` without a command does.
    pub fn main_job() -> Self {
        Self {}
    }
}
