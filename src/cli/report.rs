//! `tilelab report`, and the main job: `tilelab report --quick`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tilelab_kernels::{Context, Isa, Threads};

use super::train::{self, Screen};
use super::{Usage, self_test as check};
use crate::bench::{self, gemm};
use crate::cli::shapes::Shape;
use crate::data::{Places, fashion_mnist};
use crate::measure::{Body, Contest, Machine, Options, Progress, Record, Recording, Unit, bench_table};
use crate::mlp::TrainOptions;
use crate::{report, self_test};

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// Measure first: self-test, aligned and unaligned products, ten epochs of 784-256-10
    #[arg(long)]
    quick: bool,
    /// Folder of the report: index.html, and the records in raw/
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Fashion-MNIST as IDX files; `tilelab data info` says what is used without it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads of the training; without it as many as there are CPUs
    #[arg(long, value_parser = super::values::threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Fixes everything random
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print one JSON object a line instead of text: each record's name and file, then the report's
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The main job: what `tilelab` without a command does.
    pub fn main_job() -> Self {
        Self {
            quick: true,
            out: "reports".into(),
            data: None,
            threads: None,
            seed: 1,
            json: false,
        }
    }

    fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// Sizes round a power of two: what an odd leading dimension or an edge costs.
const SIZES: [usize; 5] = [1024, 1025, 1026, 1028, 1032];

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let raw = args.out.join("raw");
    let mut failed = false;
    if args.quick {
        failed = measure(args, &raw)?;
    }
    let (records, problems) = report::load(&raw);
    if records.is_empty() {
        let why = problems
            .first()
            .map_or_else(|| format!("{}: no record", raw.display()), ToString::to_string);
        return Err(Usage(format!("{why}; measure first, with tilelab report --quick")).into());
    }
    for problem in &problems {
        eprintln!("warning: {problem}");
    }
    let page = args.out.join("index.html");
    report::write_html(&page, &report::render(&records, &problems))
        .with_context(|| format!("can't write {}", page.display()))?;
    if args.json {
        println!(
            "{}",
            serde_json::json!({"event": "done", "report": page, "records": records.len()})
        );
    } else {
        println!("report: {} ({} records)", page.display(), records.len());
    }
    if failed {
        bail!("the self-test found wrong numbers; the report says which kernels");
    }
    Ok(())
}

/// The quick measurements, each saved as soon as it is done. True if the self-test failed.
fn measure(args: &Args, raw: &Path) -> anyhow::Result<bool> {
    let isa = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    // Bad input is found before anything is measured.
    let data = fashion_mnist::load(&Places::of_this_machine(args.data.as_deref())).map_err(Usage::from)?;
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    args.say(&format!("{machine}\n"));
    let save = |record: &Record| -> anyhow::Result<()> {
        let path = report::save(raw, record).with_context(|| format!("can't write into {}", raw.display()))?;
        if args.json {
            println!(
                "{}",
                serde_json::json!({"event": "record", "name": record.name, "file": path})
            );
        }
        Ok(())
    };

    let recording = Recording::start(
        "self-test",
        "Self-test",
        "Do this machine's kernels compute what they should?",
        true,
    )
    .command("tilelab self-test");
    let checks = self_test::run(&check::isas()?, Threads::all())?;
    let failed = checks.checks.iter().any(|check| !check.passed);
    let summary = format!(
        "self-test: {} checks, {}\n",
        checks.checks.len(),
        if failed { "WRONG NUMBERS" } else { "all right" }
    );
    save(&recording.finish(&machine, Body::SelfTest(checks)))?;
    args.say(&summary);

    let record = alignment(isa, &machine, args.seed)?;
    save(&record)?;
    if let Body::Bench(bench) = &record.body {
        let title = format!(
            "{} (one thread, FMA peak {:.1} GFLOP/s)\n",
            record.title, bench.peak_gflops
        );
        args.say(&(title + &bench_table(bench)));
    }

    let options = TrainOptions {
        seed: args.seed,
        threads: args.threads.unwrap_or_else(Threads::all),
        ..TrainOptions::default()
    };
    let mut screen = Screen::new(args.json, data.train.rows, options.epochs);
    // The full set is the notebook's own run; the embedded copy is a part of it.
    let shrunk = data.train.rows < fashion_mnist::TRAIN_ROWS;
    if let Some(record) = train::watched(&options, &data, shrunk, &mut screen)? {
        save(&record)?;
    }
    args.say("");
    Ok(failed)
}

/// Products at and round 1024, ours beside the `gemm` crate, one thread each.
fn alignment(isa: Isa, machine: &Machine, seed: u64) -> anyhow::Result<Record> {
    let recording = Recording::start(
        "gemm-alignment",
        "Matrix products at aligned and unaligned sizes",
        "What do sizes cost that are no multiple of a vector or a tile?",
        true,
    )
    .command("tilelab report --quick");
    let ctx = Context::new(isa, Threads::one())?;
    let options = Options::quick();
    let mut progress = Progress::new(u64::from(options.rounds) * SIZES.len() as u64, "rounds");
    progress.label("gemm");
    let mut done = 0;
    let mut contest =
        Contest::new(options, 1, recording.started(), bench::fma_probe::<f32>(&ctx)).progress(|kept, wanted| {
            progress.set(done + u64::from(kept));
            if kept == wanted {
                done += u64::from(wanted);
            }
        });
    for size in SIZES {
        let operands = gemm::Operands::<f32>::new(Shape::cube(size), seed);
        contest.run(vec![gemm::lineup(
            &operands,
            vec![gemm::Multiplier::ours(&ctx), gemm::Multiplier::gemm_crate()],
        )])?;
    }
    Ok(recording.finish(machine, Body::Bench(contest.finish(Unit::Flop))))
}
