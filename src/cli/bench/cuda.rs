//! `tilelab bench gemm|elementwise|update --device cuda:N`.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tilelab_kernels::Isa;
use tilelab_kernels::cuda::GpuFacts;

use super::elementwise::Case;
use super::{elementwise, gemm, keep};
use crate::bench::Trouble;
use crate::bench::cuda::cublas::{Cublas, Math};
use crate::bench::cuda::{self, Track};
use crate::bench::gemm::Operands;
use crate::cli::Usage;
use crate::measure::{COPY, Contest, Machine, Options, Progress, Recording, Unit};

/// Products on card `ordinal`.
pub(super) fn products(args: &gemm::Args, ordinal: u32) -> anyhow::Result<()> {
    refuse("--threads", args.threads.get() != 1)?;
    refuse("--all-isas", args.all_isas)?;
    refuse("--dtype f64", args.dtype == "f64")?;
    let mut track = open(ordinal)?;
    let libraries = cublas(args.blas.first().map(AsRef::as_ref), &track)?;
    let recording = Recording::start(
        "bench-gemm-cuda",
        "Matrix products on a GPU, every kernel of the ladder",
        "What does each idea of the ladder bring on this card, and how far is cuBLAS?",
        false,
    );
    let table = Table::new(track.facts().clone(), args.json);
    let mut progress = Progress::new(u64::from(args.rounds) * args.shapes.0.len() as u64, "rounds");
    progress.label("gemm");
    let mut contest = table.contest(&recording, args.rounds, &mut progress);
    for &product in &args.shapes.0 {
        let (operands, trouble) = (Operands::new(product, args.seed), Trouble::default());
        let lineup = cuda::gemm::lineup(&mut track, &operands, &libraries, &trouble).map_err(|why| anyhow!(why))?;
        contest.run(vec![lineup])?;
        end_case(&mut track, trouble)?;
    }
    let mut bench = contest.finish(Unit::Flop);
    drop(progress);
    bench.notes.push(table.peak());
    if libraries.is_empty() {
        bench
            .notes
            .push("cuBLAS: not installed; --blas FILE names one".to_owned());
    }
    let record = keep(&args.out, args.json, recording, &table.machine, bench)?;
    end(args.json, &record)
}

/// Functions and updates on card `ordinal`.
pub(super) fn arrays(
    args: &elementwise::Args,
    ordinal: u32,
    (name, title): (&str, &str),
    cases: &[Case],
) -> anyhow::Result<()> {
    refuse("--threads", args.threads.get() != 1)?;
    refuse("--all-isas", args.all_isas)?;
    let mut track = open(ordinal)?;
    let question = "Do our kernels run as fast as the card's memory lets them?";
    let recording = Recording::start(&format!("{name}-cuda"), title, question, false);
    let table = Table::new(track.facts().clone(), args.json);
    let mut progress = Progress::new(u64::from(args.rounds) * cases.len() as u64, "rounds");
    progress.label(name.trim_start_matches("bench-"));
    let mut contest = table.contest(&recording, args.rounds, &mut progress);
    for case in cases {
        let (input, trouble) = (case.input(args.seed), Trouble::default());
        let lineup = match *case {
            Case::Function(function, _) => cuda::elementwise::lineup(&mut track, function, &input, &trouble),
            Case::Update(rule, _) => cuda::elementwise::update(&mut track, rule, &input, &trouble),
        };
        contest.run(vec![lineup.map_err(|why| anyhow!(why))?])?;
        end_case(&mut track, trouble)?;
    }
    let mut bench = contest.finish(Unit::Byte);
    drop(progress);
    let copies = bench.cases.iter().flat_map(|case| &case.results);
    let fastest = copies.filter(|result| result.contestant == COPY).map(|copy| copy.rate);
    bench.notes.push(table.memory(fastest.fold(0.0, f64::max)));
    let record = keep(&args.out, args.json, recording, &table.machine, bench)?;
    end(args.json, &record)
}

/// What goes for the CPU alone.
fn refuse(option: &str, given: bool) -> Result<(), Usage> {
    if given {
        return Err(Usage(format!("{option} is for --device cpu; leave it out for a card")));
    }
    Ok(())
}

fn open(ordinal: u32) -> Result<Track, Usage> {
    Track::open(ordinal).map_err(|error| Usage(error.to_string()))
}

/// In f32, and on tensor cores; empty where none is installed.
fn cublas(file: Option<&Path>, track: &Track) -> Result<Vec<Cublas>, Usage> {
    let mut libraries = Vec::new();
    for math in [Math::Single, Math::Tf32] {
        let found = Cublas::open(file, track.stream(), math).map_err(|why| Usage(format!("--blas {why}")))?;
        libraries.extend(found);
    }
    Ok(libraries)
}

/// Frees what the case had on the card, or tells what went wrong there.
fn end_case(track: &mut Track, trouble: Trouble) -> anyhow::Result<()> {
    if let Some(why) = trouble.into_inner() {
        bail!("{why}");
    }
    Ok(track.clear()?)
}

fn end(json: bool, record: &Path) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::json!({"event": "done", "record": record}));
    }
    Ok(())
}

/// The card and the machine around it.
struct Table {
    facts: GpuFacts,
    machine: Machine,
}

impl Table {
    fn new(facts: GpuFacts, json: bool) -> Self {
        let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
        let table = Self { facts, machine };
        if !json {
            println!("{}\n{}\n", table.machine, table.card());
        }
        table
    }

    fn card(&self) -> String {
        let GpuFacts {
            name,
            capability,
            multiprocessors,
            ..
        } = &self.facts;
        let (major, minor) = (capability / 10, capability % 10);
        format!("{name}, compute capability {major}.{minor}, {multiprocessors} multiprocessors")
    }

    /// What percentages of a product are of.
    fn peak(&self) -> String {
        let card = self.card();
        match self.facts.peak_gflops() {
            peak if peak > 0.0 => format!(
                "{card}: the peak is that of f32 FMAs outside the tensor cores by the driver's attributes, {peak:.0} GFLOP/s at the highest clock"
            ),
            _ => format!("{card}: the driver gives no clock, so there is no peak"),
        }
    }

    /// How far a copy gets.
    fn memory(&self, copy: f64) -> String {
        let card = self.card();
        match self.facts.peak_gb_per_s() {
            peak if peak > 0.0 => format!(
                "{card}: the fastest copy moves {copy:.0} GB/s, the driver's attributes give {peak:.0} GB/s of memory ({:.0} %; a copy that fits L2 may exceed it)",
                100.0 * copy / peak
            ),
            _ => {
                format!("{card}: the driver gives no memory clock or bus width; the fastest copy moves {copy:.0} GB/s")
            }
        }
    }

    /// Rounds of its contestants; the peak beside them does not move.
    fn contest<'a>(&self, recording: &Recording, rounds: u32, progress: &'a mut Progress) -> Contest<'a> {
        let options = Options {
            rounds,
            budget: Duration::from_secs(60),
            ..Options::full()
        };
        // No share of an endless peak is shown.
        let peak = Some(self.facts.peak_gflops())
            .filter(|peak| *peak > 0.0)
            .unwrap_or(f64::MAX);
        let done = Cell::new(0);
        Contest::new(options, 1, recording.started(), move || peak).progress(move |kept, wanted| {
            progress.set(done.get() + u64::from(kept));
            if kept == wanted {
                done.set(done.get() + u64::from(wanted));
            }
        })
    }
}
