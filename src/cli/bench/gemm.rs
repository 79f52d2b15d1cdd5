//! `tilelab bench gemm`.

use std::path::PathBuf;
use std::time::Duration;

use tilelab_kernels::{Context, Isa, Threads};

use super::{keep, pin};
use crate::bench::bars::{self, Bar};
use crate::bench::blas::Library;
use crate::bench::gemm::{self, Multiplier, Operands};
use crate::bench::{self, peers::Peers};
use crate::cli::Usage;
use crate::cli::shapes::{Product, Shapes};
use crate::device::Device;
use crate::measure::{Bench, Contest, Machine, Options, Progress, Recording, Unit};

/// What the user typed.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Products to time: 1024 for a cube, 256x10x784 for m x n x k, :ta and :tb for transposed operands
    #[arg(
        long,
        value_name = "SHAPES",
        default_value = "64,256,512,1024,1025,256x256x784,256x10x256,32x512x784"
    )]
    pub(super) shapes: Shapes,
    /// Just the bars: figure, threshold, and met, missed or not measurable
    #[arg(long, conflicts_with = "shapes")]
    pub(super) bars: bool,
    /// With --bars: only the products whose name contains this
    #[arg(long, value_name = "TEXT", requires = "bars")]
    pub(super) only: Option<String>,
    /// Element type
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"], conflicts_with = "bars")]
    pub(super) dtype: String,
    /// Undisturbed rounds of each product
    #[arg(long, default_value_t = bars::ASKED, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rounds: u32,
    /// Whose kernels: cpu, or cuda:N, where events of the card time them
    #[arg(long, default_value = "cpu", conflicts_with = "bars")]
    pub(super) device: Device,
    /// Threads of each contestant
    #[arg(long, default_value = "1", value_parser = crate::cli::values::threads, allow_hyphen_values = true)]
    pub(super) threads: Threads,
    /// A BLAS library (cblas_sgemm, scipy_cblas_sgemm) or oneDNN (dnnl_sgemm), beside those that the loader finds; may be repeated. With
    /// --device cuda:N: a cuBLAS
    #[arg(long, value_name = "FILE")]
    pub(super) blas: Vec<PathBuf>,
    /// Also ours on every other ISA of this CPU but portable
    #[arg(long)]
    pub(super) all_isas: bool,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(super) out: PathBuf,
    /// Fixes the operands
    #[arg(long, default_value = "1")]
    pub(super) seed: u64,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "then no card is given"))]
    if let Some(ordinal) = super::card(args.device)? {
        #[cfg(feature = "cuda")]
        return super::cuda::products(args, ordinal);
    }
    let isa = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let threads = args.threads.get();
    let (single, double) = wanted(args)?;
    let libraries = libraries(args)?;
    // The machine is what it is before this process is bound to one CPU of it.
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let note = if threads == 1 { pin() } else { None };
    if !args.json {
        println!("{machine}\n");
    }
    let contexts = contexts(args, isa)?;
    let one = Context::new(isa, Threads::one())?;
    let field = Field {
        args,
        machine: &machine,
        contexts: &contexts,
        one: &one,
        libraries: &libraries,
    };
    let (mut judged, mut records): (Vec<Bar>, _) = (Vec::new(), Vec::new());
    if !single.is_empty() {
        let recording = recording("bench-gemm");
        let contest = Contest::new(
            options(args, 180),
            threads,
            recording.started(),
            bench::fma_probe::<f32>(&contexts[0]),
        );
        let mut bench = field.contest::<f32>(contest, &single, |libraries, product| {
            let takes = libraries.iter().filter(|library| library.takes(product));
            takes.map(Library::single).collect()
        })?;
        bench.notes.extend(note.clone());
        if args.bars {
            judged.extend(bars::against_peers(&bench, threads));
            if threads == 1 && args.only.is_none() {
                let sizes = field.together(Contest::new(
                    options(args, 60),
                    1,
                    recording.started(),
                    bench::fma_probe::<f32>(&contexts[0]),
                ))?;
                judged.extend(bars::misalignment(&sizes));
                judged.extend(bars::work());
            }
        }
        records.push(keep(&args.out, args.json, recording, &machine, bench)?);
    }
    if !double.is_empty() {
        let recording = recording("bench-gemm-f64");
        let contest = Contest::new(
            options(args, 180),
            threads,
            recording.started(),
            bench::fma_probe::<f64>(&contexts[0]),
        );
        let mut bench = field.contest::<f64>(contest, &double, |libraries, _| {
            libraries.iter().filter_map(Library::double).collect()
        })?;
        bench.notes.extend(note);
        if args.bars {
            judged.extend(bars::squares_in_f64(&bench));
        }
        records.push(keep(&args.out, args.json, recording, &machine, bench)?);
    }
    if args.json {
        for bar in &judged {
            println!("{}", serde_json::to_string(bar)?);
        }
        println!(
            "{}",
            serde_json::json!({"event": "done", "records": records, "bars": judged.len()})
        );
    } else if args.bars {
        println!("{}", bars::table(&judged));
    }
    Ok(())
}

/// The products to time in f32, and in f64.
fn wanted(args: &Args) -> Result<(Vec<Product>, Vec<Product>), Usage> {
    if !args.bars {
        let shapes = args.shapes.0.clone();
        return Ok(match args.dtype.as_str() {
            "f64" => (Vec::new(), shapes),
            _ => (shapes, Vec::new()),
        });
    }
    let only = |name: &str| args.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let single = bars::products().into_iter().map(|(product, _)| product);
    let single: Vec<Product> = single.filter(|product| only(&product.to_string())).collect();
    let double = bars::squares().into_iter().map(Product::from);
    let double = double.filter(|product| args.threads.get() == 1 && only(&gemm::case_name::<f64>(*product)));
    let double: Vec<Product> = double.collect();
    if single.is_empty() && double.is_empty() {
        let only = args.only.as_deref().unwrap_or_default();
        return Err(Usage(format!(
            "--only {only:?}: no bar's product has it in its name, such as 1024, 256x or f64"
        )));
    }
    Ok((single, double))
}

fn libraries(args: &Args) -> Result<Vec<Library>, Usage> {
    let threads = args.threads.get();
    let mut libraries = Vec::new();
    for path in &args.blas {
        libraries.push(Library::open(path, threads).map_err(|why| Usage(format!("--blas {why}")))?);
    }
    libraries.extend(Library::found(threads));
    libraries.dedup_by(|a, b| a.name() == b.name());
    Ok(libraries)
}

/// Ours: on the selected ISA first, then, if asked for, on the others that are worth a comparison.
fn contexts(args: &Args, selected: Isa) -> anyhow::Result<Vec<Context>> {
    let others = Isa::available()
        .into_iter()
        .filter(|isa| *isa != selected && *isa != Isa::Portable);
    let isas = [selected].into_iter().chain(others.filter(|_| args.all_isas));
    let contexts = isas.map(|isa| Context::new(isa, args.threads));
    Ok(contexts.collect::<Result<_, _>>()?)
}

fn options(args: &Args, seconds: u64) -> Options {
    Options {
        rounds: args.rounds,
        budget: Duration::from_secs(seconds),
        ..Options::full()
    }
}

fn recording(id: &str) -> Recording {
    Recording::start(
        id,
        "Matrix products against every peer of this machine",
        "Are our products as fast as those of the libraries that are made for them?",
        false,
    )
}

/// Who takes part.
struct Field<'a> {
    args: &'a Args,
    machine: &'a Machine,
    contexts: &'a [Context],
    /// Ours on one thread.
    one: &'a Context,
    libraries: &'a [Library],
}

impl<'a> Field<'a> {
    /// Times these products, one after the other.
    fn contest<T: Peers>(
        &self,
        mut contest: Contest<'_>,
        products: &[Product],
        from: impl Fn(&'a [Library], Product) -> Vec<Multiplier<'a, T>>,
    ) -> anyhow::Result<Bench> {
        let threads = self.args.threads.get();
        let bars_of_two = self.args.bars && threads > 1;
        if bars_of_two {
            let mut probe = bench::fma_probe::<T>(self.one);
            let one = (0..PROBES).map(|_| probe()).fold(0.0, f64::max);
            contest = contest.at_least(bars::CORES_OF_TWO / 2.0 * threads as f64, one);
        }
        let steps = u64::from(self.args.rounds) * products.len() as u64;
        let mut progress = Progress::new(steps, "rounds");
        progress.label("gemm");
        let mut done = 0;
        let mut contest = contest
            .cache_probe(bench::cache_probe(self.machine))
            .settle(|| self.contexts.iter().for_each(Context::park))
            .progress(|kept, wanted| {
                progress.set(done + u64::from(kept));
                if kept == wanted {
                    done += u64::from(wanted);
                }
            });
        for &product in products {
            let operands = Operands::<T>::new(product, self.args.seed);
            let mut players: Vec<Multiplier<'_, T>> = self.contexts.iter().map(Multiplier::ours).collect();
            if bars_of_two {
                let mut alone = Multiplier::ours(self.one);
                alone.id = bars::ONE_THREAD.to_owned();
                players.push(alone);
            }
            if threads == 1 {
                players.extend(T::peers());
            }
            players.extend(from(self.libraries, product));
            contest.run(vec![gemm::lineup(&operands, players)])?;
        }
        Ok(contest.finish(Unit::Flop))
    }

    /// The sizes of the alignment bars, in turns within every round: ours alone.
    fn together(&self, contest: Contest<'_>) -> anyhow::Result<Bench> {
        let shapes = bars::alignment().into_iter();
        let operands: Vec<Operands> = shapes.map(|shape| Operands::new(shape, self.args.seed)).collect();
        let mut contest = contest.cache_probe(bench::cache_probe(self.machine));
        let ours = |operands| gemm::lineup(operands, vec![Multiplier::ours(self.one)]);
        contest.run(operands.iter().map(ours).collect())?;
        Ok(contest.finish(Unit::Flop))
    }
}

/// Probes of one thread's peak before two threads' rounds are held against it.
const PROBES: usize = 20;
