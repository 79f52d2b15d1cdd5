//! `tilelab bench train-step`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tilelab_kernels::{Context, Isa, Threads};

use crate::bench::frameworks::{self, Framework};
use crate::bench::{self, bars, train_step};
use crate::cli::Usage;
use crate::measure::{Body, Contest, Machine, Options, Progress, Recording, Unit, bench_table};
use crate::report;

/// What the user typed behind `bench train-step`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the bars too: figure, threshold, and met, missed or not measurable
    #[arg(long)]
    bars: bool,
    /// Only what has this in its name, such as 784-256-10 or \"batch 16\"
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Undisturbed rounds of each case
    #[arg(long, default_value_t = bars::ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of each contestant
    #[arg(long, default_value = "1", value_parser = crate::cli::values::threads, allow_hyphen_values = true)]
    threads: Threads,
    /// The interpreter that has PyTorch, JAX and NumPy, each of them optional
    #[arg(long, default_value = "python3")]
    python: String,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut cases = train_step::cases();
    if let Some(only) = &args.only {
        cases.retain(|case| case.name().contains(only.as_str()));
        if cases.is_empty() {
            return Err(Usage(format!(
                "--only {only:?}: no case has it in its name, such as 784-256-10 or 20-64-1"
            ))
            .into());
        }
    }
    let isa = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let threads = args.threads.get();
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let mut notes: Vec<String> = if threads == 1 { super::pin() } else { None }.into_iter().collect();
    // Started behind the pinning, which they inherit.
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in frameworks::NAMES {
        match Framework::start(&args.python, name, threads) {
            Ok(framework) => found.push(framework),
            Err(why) => missing.push(why),
        }
    }
    if !args.json {
        println!("{machine}\n");
        found.iter().for_each(|framework| println!("{}", framework.version()));
        missing.iter().for_each(|why| println!("{why}"));
        println!();
    }
    notes.extend(found.iter().map(|framework| framework.version().to_owned()));
    notes.extend(missing);
    let found: Vec<RefCell<Framework>> = found.into_iter().map(RefCell::new).collect();
    let recording = Recording::start(
        "bench-train-step",
        "A training step against the frameworks of this machine",
        "Is a step on our kernels faster than the same step in PyTorch, JAX and NumPy?",
        false,
    );
    let mut progress = Progress::new(u64::from(args.rounds) * cases.len() as u64, "rounds");
    progress.label("train-step");
    let mut done = 0;
    let options = Options {
        rounds: args.rounds,
        // PyTorch takes seconds for ten epochs of small batches.
        budget: Duration::from_secs(8 * u64::from(args.rounds).max(1)),
        ..Options::full()
    };
    let probe = Context::new(isa, args.threads)?;
    let trouble = RefCell::new(None);
    let data: Vec<_> = cases.iter().map(train_step::Data::of).collect();
    let mut contest = Contest::new(options, threads, recording.started(), bench::fma_probe::<f32>(&probe))
        .cache_probe(bench::cache_probe(&machine))
        .progress(|kept, wanted| {
            progress.set(done + u64::from(kept));
            if kept == wanted {
                done += u64::from(wanted);
            }
        });
    for (case, data) in cases.iter().zip(&data) {
        let lineup = train_step::lineup(case, data, &found, args.threads, &trouble).map_err(anyhow::Error::msg)?;
        contest.run(vec![lineup])?;
        if let Some(trouble) = trouble.borrow_mut().take() {
            bail!("{}: {trouble}", case.name());
        }
    }
    let mut bench = contest.finish(Unit::Flop);
    bench.notes.extend(notes);
    let judged = if args.bars {
        train_step::bars(&bench)
    } else {
        Vec::new()
    };
    if args.json {
        for case in &bench.cases {
            println!("{}", serde_json::to_string(case)?);
        }
        for bar in &judged {
            println!("{}", serde_json::to_string(bar)?);
        }
    } else {
        println!("{}", bench_table(&bench));
        if args.bars {
            println!("{}", bars::table(&judged));
        }
    }
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
