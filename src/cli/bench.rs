//! `tilelab bench`: contestants in turns, a table, and the bars.

mod alignment;
mod elementwise;
mod hessian;
mod train_step;

use std::path::PathBuf;

use anyhow::Context as _;
use tilelab_kernels::{Context, Isa, Threads};

use super::Usage;
use super::shapes::{Product, Shapes};
use crate::bench::bars::{self, Bar};
use crate::bench::blas::Library;
use crate::bench::{self, gemm};
use crate::measure::{Bench, Body, Contest, Machine, Options, Progress, Recording, Unit, bench_table};
use crate::report;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Products in f32: ours, the gemm crate, and the BLAS libraries of this machine
    Gemm(Gemm),
    /// Activations, softmax and losses in f32: ours, plain loops, and copies of the same bytes
    Elementwise(elementwise::Args),
    /// Parameter updates in f32: ours and plain loops
    Update(elementwise::Args),
    /// A training step, and whole small trainings: ours, the same on the gemm crate, and PyTorch, JAX and NumPy where they are installed
    TrainStep(train_step::Args),
    /// Second derivatives: closed form, products, a double loop, and PyTorch and JAX where they are installed
    Hessian(hessian::Args),
    /// What the size's remainder, the distance from row to row and the base address cost: ours on every ISA, the gemm
    /// crate and a naive loop
    Alignment(alignment::Args),
}

/// What the user typed behind `bench gemm`.
#[derive(clap::Args)]
struct Gemm {
    /// Products to time: 1024 for a cube, 256x10x784 for m x n x k, :ta and :tb for transposed operands
    #[arg(
        long,
        value_name = "SHAPES",
        default_value = "64,256,512,1024,1025,256x256x784,256x10x256,32x512x784"
    )]
    shapes: Shapes,
    /// Just the bars: figure, threshold, and met, missed or not measurable
    #[arg(long, conflicts_with = "shapes")]
    bars: bool,
    /// With --bars: only the products whose name contains this
    #[arg(long, value_name = "TEXT", requires = "bars")]
    only: Option<String>,
    /// Undisturbed rounds of each product
    #[arg(long, default_value_t = bars::ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of each contestant
    #[arg(long, default_value = "1", value_parser = super::values::threads, allow_hyphen_values = true)]
    threads: Threads,
    /// A BLAS library (cblas_sgemm) or oneDNN (dnnl_sgemm), beside those that the loader finds; may be repeated
    #[arg(long, value_name = "FILE")]
    blas: Vec<PathBuf>,
    /// Also ours on every other ISA of this CPU but portable
    #[arg(long)]
    all_isas: bool,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Fixes the operands
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Gemm(args) => products(args),
        What::Elementwise(args) => elementwise::functions(args),
        What::Update(args) => elementwise::updates(args),
        What::TrainStep(args) => train_step::run(args),
        What::Hessian(args) => hessian::run(args),
        What::Alignment(args) => alignment::run(args),
    }
}

fn products(args: &Gemm) -> anyhow::Result<()> {
    let isa = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let threads = args.threads.get();
    let wanted: Vec<Product> = if args.bars {
        let only = |product: &Product| args.only.as_ref().is_none_or(|text| product.to_string().contains(text));
        bars::products()
            .into_iter()
            .map(|(product, _)| product)
            .filter(only)
            .collect()
    } else {
        args.shapes.0.clone()
    };
    if wanted.is_empty() {
        let only = args.only.as_deref().unwrap_or_default();
        return Err(Usage(format!(
            "--only {only:?}: no bar's product has it in its name, such as 1024 or 256x"
        ))
        .into());
    }
    let mut libraries = Vec::new();
    for path in &args.blas {
        libraries.push(Library::open(path, threads).map_err(|why| Usage(format!("--blas {why}")))?);
    }
    libraries.extend(Library::found(threads));
    libraries.dedup_by(|a, b| a.name() == b.name());
    // The machine is what it is before this process is bound to one CPU of it.
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let mut notes = Vec::new();
    if threads == 1 {
        notes.extend(pin());
    }
    if !args.json {
        println!("{machine}\n");
    }
    let contexts = contexts(args, isa)?;
    let recording = Recording::start(
        "bench-gemm",
        "Matrix products against every peer of this machine",
        "Are our products as fast as those of the libraries that are made for them?",
        false,
    );
    let alone = args.bars && threads == 1 && args.only.is_none();
    let steps = u64::from(args.rounds) * (wanted.len() as u64 + u64::from(alone));
    let mut progress = Progress::new(steps, "rounds");
    progress.label("gemm");
    let mut done = 0;
    let options = Options {
        rounds: args.rounds,
        budget: std::time::Duration::from_secs(180),
        ..Options::full()
    };
    let parked = contexts.clone();
    let mut contest = Contest::new(options, threads, recording.started(), bench::fma_probe(&contexts[0]))
        .cache_probe(bench::cache_probe(&machine))
        .settle(|| parked.iter().for_each(Context::park))
        .progress(|kept, wanted| {
            progress.set(done + u64::from(kept));
            if kept == wanted {
                done += u64::from(wanted);
            }
        });
    for product in wanted {
        let operands = gemm::Operands::new(product, args.seed);
        let mut players: Vec<gemm::Multiplier<'_>> = contexts.iter().map(gemm::Multiplier::ours).collect();
        if threads == 1 {
            players.push(gemm::Multiplier::gemm_crate());
        }
        players.extend(libraries.iter().map(gemm::Multiplier::library));
        contest.run(vec![gemm::lineup(&operands, players)])?;
    }
    let mut bench = contest.finish(Unit::Flop);
    bench.notes.extend(notes);
    let mut judged = Vec::new();
    if args.bars {
        judged = bars::against_peers(&bench);
        if alone {
            judged.extend(bars::misalignment(&together(
                args,
                &contexts[0],
                (&recording, &machine),
            )?));
            judged.extend(bars::work());
        }
    }
    tell(args, &bench, &judged)?;
    let raw = args.out.join("raw");
    let record = recording.finish(&machine, Body::Bench(bench));
    let file = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
    if args.json {
        println!(
            "{}",
            serde_json::json!({"event": "done", "record": file, "bars": judged.len()})
        );
    } else {
        println!("record: {}", file.display());
    }
    Ok(())
}

/// Ours: on the selected ISA first, then, if asked for, on the others that are worth a comparison.
fn contexts(args: &Gemm, selected: Isa) -> anyhow::Result<Vec<Context>> {
    let others = Isa::available()
        .into_iter()
        .filter(|isa| *isa != selected && *isa != Isa::Portable);
    let isas = [selected].into_iter().chain(others.filter(|_| args.all_isas));
    let contexts = isas.map(|isa| Context::new(isa, args.threads));
    Ok(contexts.collect::<Result<_, _>>()?)
}

/// The sizes of the alignment bars, in turns within every round: ours alone.
fn together(args: &Gemm, ctx: &Context, (recording, machine): (&Recording, &Machine)) -> anyhow::Result<Bench> {
    let operands: Vec<gemm::Operands> = bars::alignment()
        .into_iter()
        .map(|shape| gemm::Operands::new(shape, args.seed))
        .collect();
    let options = Options {
        rounds: args.rounds,
        budget: std::time::Duration::from_secs(60),
        ..Options::full()
    };
    let mut contest =
        Contest::new(options, 1, recording.started(), bench::fma_probe(ctx)).cache_probe(bench::cache_probe(machine));
    let lineups = operands
        .iter()
        .map(|operands| gemm::lineup(operands, vec![gemm::Multiplier::ours(ctx)]));
    contest.run(lineups.collect())?;
    Ok(contest.finish(Unit::Flop))
}

/// One CPU for this process, libraries' threads included: one thread is then one thread. A note where it can't be.
fn pin() -> Option<String> {
    let cpu = core_affinity::get_core_ids().and_then(|cpus| cpus.into_iter().next());
    let pinned = cpu.is_some_and(core_affinity::set_for_current);
    (!pinned).then(|| "this process could not be pinned to one CPU".to_owned())
}

fn tell(args: &Gemm, bench: &Bench, judged: &[Bar]) -> anyhow::Result<()> {
    if args.json {
        for case in &bench.cases {
            println!("{}", serde_json::to_string(case)?);
        }
        for bar in judged {
            println!("{}", serde_json::to_string(bar)?);
        }
    } else {
        println!("{}", bench_table(bench));
        if args.bars {
            println!("{}", bars::table(judged));
        }
    }
    Ok(())
}
