//! `tilelab probe`: the memory system, claimed beside measured.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tilelab_kernels::Isa;

use super::{Interrupted, Usage};
use crate::device::{Device, DeviceError, available_bytes};
use crate::measure::{Body, Machine, Probe, Progress, Recording};
use crate::probe::{self, Event, Options, Stage};
use crate::report;

mod screen;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// A first look, in under 20 seconds: fewer sizes, sweeps and slices
    #[arg(long)]
    quick: bool,
    /// Stages to run, with commas between; without it all
    #[arg(long, value_name = "STAGES", value_delimiter = ',', value_enum)]
    only: Vec<Stage>,
    /// Most memory to take at once, such as 512M or 2G; without it half of what is available
    #[arg(long, value_name = "BYTES", value_parser = super::values::bytes)]
    max_mem: Option<u64>,
    /// The memory's speed in MT/s, for a lower bound of the bus's width
    #[arg(long, value_name = "MT/S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    dram: Option<u32>,
    /// What to probe: cpu
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

/// Refuses every device but the CPU: a card that is not there with the driver's reason, one that is there because no stage probes it.
fn probed_device(name: &str) -> Result<(), Usage> {
    let device: Device = name.parse().map_err(|error: DeviceError| Usage(error.to_string()))?;
    match device {
        Device::Cpu => Ok(()),
        #[cfg(feature = "cuda")]
        Device::Cuda(ordinal) => {
            tilelab_kernels::cuda::Gpu::open(ordinal)
                .map_err(|error| Usage(DeviceError::Open { device, error }.to_string()))?;
            Err(Usage(format!(
                "--device {device}: the memory of a GPU is not probed yet; use --device cpu"
            )))
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(Usage(DeviceError::NoCuda(device).to_string())),
        Device::Baseline | Device::Reference => Err(Usage(format!(
            "--device {device}: no memory of its own to probe; use --device cpu"
        ))),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    probed_device(&args.device)?;
    let options = Options {
        quick: args.quick,
        stages: if args.only.is_empty() {
            Stage::ALL.to_vec()
        } else {
            args.only.clone()
        },
        max_bytes: max_bytes(args.max_mem)?,
        dram_mts: args.dram,
        seed: args.seed,
    };
    let stop = super::train::stop_flag().context("can't watch for signals")?;
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let recording = Recording::start(
        "probe",
        "The memory system",
        "What do the caches, the memory and its bus claim to be, and what do they do?",
        args.quick,
    );
    let steps = 100 * options.stages.len() as u64;
    let mut progress = Progress::new(steps, "steps");
    let mut done = 0;
    let mut failed = Ok(());
    let found = probe::run(
        &options,
        &machine,
        recording.started(),
        &stop,
        &mut |event| match event {
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
        },
    );
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
            "clock_ghz": found.clock_ghz, "grade": found.grade, "gpu": found.gpu,
            "least_width_bits": found.bus.least_width_bits, "notes": found.notes,
        })))?;
    } else {
        super::print(&format!("{:.1} s; record: {}\n", record.elapsed_s, file.display()))?;
    }
    if interrupted {
        let kept = format!("interrupted; what was measured is in {}", file.display());
        return Err(Interrupted(kept).into());
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
    };
    super::print(&line(&serde_json::json!({"event": stage.name(), "found": value?})))
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}
