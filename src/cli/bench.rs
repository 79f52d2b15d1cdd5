//! `tilelab bench`: contestants in turns, a table, and the bars.

mod alignment;
mod elementwise;
mod gemm;
mod hessian;
mod search;
mod train_step;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Products: ours, other crates, and the BLAS libraries of this machine
    Gemm(gemm::Args),
    /// Activations, softmax and losses in f32: ours, plain loops, and copies of the same bytes
    Elementwise(elementwise::Args),
    /// Parameter updates in f32: ours and plain loops
    Update(elementwise::Args),
    /// A training step, and whole small trainings: ours, the same on the gemm crate, and PyTorch, JAX and NumPy where they are installed
    TrainStep(train_step::Args),
    /// Samplers on cheap functions with known optima: TPE, random draws, and Optuna where it is installed
    Search(search::Args),
    /// Second derivatives: closed form, products, a double loop, and PyTorch and JAX where they are installed
    Hessian(hessian::Args),
    /// What the size's remainder, the distance from row to row and the base address cost: ours on every ISA, the gemm
    /// crate and a naive loop
    Alignment(alignment::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Gemm(args) => gemm::run(args),
        What::Elementwise(args) => elementwise::functions(args),
        What::Update(args) => elementwise::updates(args),
        What::TrainStep(args) => train_step::run(args),
        What::Search(args) => search::run(args),
        What::Hessian(args) => hessian::run(args),
        What::Alignment(args) => alignment::run(args),
    }
}

/// One CPU for this process, libraries' threads included: one thread is then one thread. A note where it can't be.
fn pin() -> Option<String> {
    let cpu = core_affinity::get_core_ids().and_then(|cpus| cpus.into_iter().next());
    let pinned = cpu.is_some_and(core_affinity::set_for_current);
    (!pinned).then(|| "this process could not be pinned to one CPU".to_owned())
}
