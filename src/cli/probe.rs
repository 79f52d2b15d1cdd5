//! `tilelab probe`: the memory system, claimed beside measured.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use tilelab_kernels::Isa;

use super::{Interrupted, Usage};
use crate::device::{Device, DeviceError, available_bytes};
use crate::measure::{Body, Machine, Probe, Progress, Recording};
use crate::probe::{self, Event, Options, Stage};
use crate::report;

mod card;
mod screen;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// A first look, in under 20 seconds: fewer sizes, sweeps and slices
    #[arg(long)]
    quick: bool,
    /// Stages to run, with commas between; without it all of the device
    #[arg(long, value_name = "STAGES", value_delimiter = ',', value_enum)]
    only: Vec<Stage>,
    /// Most memory to take at once, such as 512M or 2G; without it half of what is available
    #[arg(long, value_name = "BYTES", value_parser = super::values::bytes)]
    max_mem: Option<u64>,
    /// The memory's speed in MT/s, for a lower bound of the bus's width
    #[arg(long, value_name = "MT/S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    dram: Option<u32>,
    /// What to probe: cpu, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Fixes the random walks
    #[arg(long, default_value = "1", value_parser = super::values::seed)]
    seed: u64,
    /// Print one JSON object a line: each stage, then a summary
    #[arg(long)]
    json: bool,
}

/// The least memory that a probe works with.
const LEAST_BYTES: u64 = 64 << 20;

/// What is probed.
enum Probed {
    Cpu,
    /// A card that is open.
    #[cfg(feature = "cuda")]
    Card(tilelab_kernels::cuda::Gpu),
}

/// What `--device` names; a card that can't be opened is refused with the driver's reason.
fn probed(device: Device) -> Result<Probed, Usage> {
    match device {
        Device::Cpu => Ok(Probed::Cpu),
        #[cfg(feature = "cuda")]
        Device::Cuda(ordinal) => tilelab_kernels::cuda::Gpu::open(ordinal)
            .map(Probed::Card)
            .map_err(|error| Usage(DeviceError::Open { device, error }.to_string())),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(Usage(DeviceError::NoCuda(device).to_string())),
        Device::Baseline | Device::Reference => Err(Usage(format!(
            "--device {device}: no memory of its own to probe; use cpu or cuda:N"
        ))),
    }
}

/// The stages to run, all of them the device's.
fn stages(only: &[Stage], device: Device) -> Result<Vec<Stage>, Usage> {
    let all: &[Stage] = match device {
        Device::Cuda(_) => &Stage::GPU,
        _ => &Stage::CPU,
    };
    if let Some(other) = only.iter().find(|stage| !all.contains(stage)) {
        let names: Vec<&str> = all.iter().map(|stage| stage.name()).collect();
        return Err(Usage(format!(
            "--only {}: --device {device} has no such stage; it has {}",
            other.name(),
            names.join(", ")
        )));
    }
    Ok(if only.is_empty() { all } else { only }.to_vec())
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = args
        .device
        .parse()
        .map_err(|error: DeviceError| Usage(error.to_string()))?;
    let options = Options {
        quick: args.quick,
        stages: stages(&args.only, device)?,
        max_bytes: max_bytes(args.max_mem)?,
        dram_mts: args.dram,
        seed: args.seed,
    };
    if let (Some(_), Device::Cuda(_)) = (args.dram, device) {
        let why = "--dram is about the CPU's memory; a card's driver tells its bus and clock";
        return Err(Usage(why.to_owned()).into());
    }
    let probed = probed(device)?;
    let stop = super::train::stop_flag().context("can't watch for signals")?;
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let recording = match device {
        // A record of its own, beside the CPU's.
        Device::Cuda(ordinal) => Recording::start(
            &format!("probe-cuda-{ordinal}"),
            &format!("The memory of {device}"),
            "What do the card's caches, memory and links claim to be, and what do they do?",
            args.quick,
        ),
        _ => Recording::start(
            "probe",
            "The memory system",
            "What do the caches, the memory and its bus claim to be, and what do they do?",
            args.quick,
        ),
    };
    let steps = 100 * options.stages.len() as u64;
    let mut progress = Progress::new(steps, "steps");
    let mut done = 0;
    let mut failed = Ok(());
    let watch = &mut |event: Event<'_>| match event {
        Event::Progress(stage, share) => {
            progress.label(stage.name());
            progress.set(done + (100.0 * share) as u64);
        }
        Event::Done(stage, found) => {
            done += 100;
            progress.set(done);
            if failed.is_ok() {
                failed = progress.suspend(|| tell(args, stage, found));
            }
        }
    };
    let started = recording.started();
    let found = match &probed {
        Probed::Cpu => probe::run(&options, &machine, started, &stop, watch),
        #[cfg(feature = "cuda")]
        Probed::Card(gpu) => probe::gpu::run((gpu, &args.device), (&options, &machine), started, &stop, watch),
    };
    drop(progress);
    failed?;
    let interrupted = stop.load(Ordering::Relaxed);
    if !args.json {
        super::print(&screen::closing(&found))?;
    }
    let raw = args.out.join("raw");
    let record = recording.finish(&machine, Body::Probe(Box::new(found)));
    let file = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
    if args.json {
        let Body::Probe(found) = &record.body else {
            return Ok(());
        };
        super::print(&line(&serde_json::json!({
            "event": "done", "record": file, "seconds": record.elapsed_s, "interrupted": interrupted,
            "clock_ghz": found.clock_ghz, "grade": found.grade,
            "gpu": found.gpu.map(|gpu| gpu.card.clone()),
            "least_width_bits": found.bus.least_width_bits, "notes": found.notes,
        })))?;
    } else {
        super::print(&format!("{:.1} s; record: {}\n", record.elapsed_s, file.display()))?;
    }
    if interrupted {
        let kept = format!("interrupted; what was measured is in {}", file.display());
        return Err(Interrupted(kept).into());
    }
    let Body::Probe(found) = &record.body else {
        return Ok(());
    };
    let failures = screen::failures(found, &options.stages);
    if !failures.is_empty() {
        bail!("{}; the rest is in {}", failures.join("; "), file.display());
    }
    Ok(())
}

/// What may be taken: what the user allows, and never more than the system or its control group has left.
fn max_bytes(asked: Option<u64>) -> anyhow::Result<u64> {
    let available = available_bytes().unwrap_or(1 << 30);
    // A tenth stays free: pages of this process itself, and whoever else runs.
    let bytes = asked.unwrap_or(available / 2).min(available / 10 * 9);
    if bytes < LEAST_BYTES {
        let (least, given) = (LEAST_BYTES >> 20, bytes >> 20);
        return Err(Usage(format!(
            "a probe needs {least} MiB; --max-mem and this system leave it {given} MiB"
        ))
        .into());
    }
    Ok(bytes)
}

/// A stage's lines.
fn tell(args: &Args, stage: Stage, found: &Probe) -> anyhow::Result<()> {
    if !args.json {
        return super::print(&screen::stage(stage, found));
    }
    let card = found.gpu.value.as_ref();
    let value = match stage {
        Stage::Topology => serde_json::to_value(&found.topology),
        Stage::Bus => serde_json::to_value(&found.bus),
        Stage::Latency => serde_json::to_value(&found.latency),
        Stage::Tlb => serde_json::to_value(&found.tlb),
        Stage::Parallelism => serde_json::to_value(&found.parallelism),
        Stage::Loaded => serde_json::to_value(&found.loaded),
        Stage::Cores => serde_json::to_value(&found.cores),
        Stage::Nodes => serde_json::to_value(&found.nodes),
        Stage::Bandwidth => serde_json::to_value(&found.bandwidth),
        Stage::Roofline => serde_json::to_value(&found.roofline),
        Stage::Card => serde_json::to_value(card.map(|gpu| &gpu.card)),
        Stage::Copies => serde_json::to_value(card.map(|gpu| &gpu.copies)),
        Stage::Streams => serde_json::to_value(card.map(|gpu| &gpu.streams)),
        Stage::Launches => serde_json::to_value(card.map(|gpu| &gpu.launches)),
        Stage::Chase => serde_json::to_value(card.map(|gpu| &gpu.latency)),
    };
    super::print(&line(&serde_json::json!({"event": stage.name(), "found": value?})))
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}
