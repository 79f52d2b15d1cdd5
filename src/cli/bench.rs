//! `tilelab bench`: contestants in turns, a table, and the bars.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Usage;
use crate::device::{Device, DeviceError};
use crate::measure::{Bench, Body, Machine, Recording, bench_table};
use crate::report;

mod alignment;
#[cfg(feature = "cuda")]
mod cuda;
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
    /// Products: ours, other crates, and the BLAS libraries of this machine; on a GPU every kernel, and cuBLAS
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

/// The card that `--device` names, or none for the CPU.
fn card(device: Device) -> Result<Option<u32>, Usage> {
    match device {
        Device::Cpu => Ok(None),
        Device::Cuda(_) if cfg!(not(feature = "cuda")) => Err(Usage(DeviceError::NoCuda(device).to_string())),
        Device::Cuda(ordinal) => Ok(Some(ordinal)),
        Device::Baseline | Device::Reference => Err(Usage(format!(
            "--device {device}: no kernels of ours to time there; use cpu or cuda:N"
        ))),
    }
}

/// Prints the cases of a bench, and saves its record into the report's folder `out`.
fn keep(out: &Path, json: bool, recording: Recording, machine: &Machine, bench: Bench) -> anyhow::Result<PathBuf> {
    if json {
        for case in &bench.cases {
            println!("{}", serde_json::to_string(case)?);
        }
    } else {
        println!("{}", bench_table(&bench));
    }
    let raw = out.join("raw");
    let record = recording.finish(machine, Body::Bench(bench));
    let file = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
    if !json {
        println!("record: {}\n", file.display());
    }
    Ok(file)
}
