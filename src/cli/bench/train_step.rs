//! `tilelab bench train-step`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tilelab_kernels::{Context, Isa, Threads};

use crate::bench;
use crate::bench::bars::{self, Bar};
use crate::bench::frameworks::{CANDLE, Frameworks};
use crate::bench::train_step::{self, Case, Overhead, Players, SecondCore, WholeEpoch};
use crate::cli::Usage;
use crate::measure::{Bench, Body, Contest, Machine, Options, Progress, Recording, Unit, bench_table};
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
    #[arg(long, default_value_t = bars::ASKED, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of each contestant
    #[arg(long, default_value = "1", value_parser = crate::cli::values::threads, allow_hyphen_values = true)]
    threads: Threads,
    /// The interpreter that has PyTorch, JAX and NumPy, each of them optional
    #[arg(long, default_value = "python3")]
    python: String,
    /// The program that benches/frameworks/candle builds
    #[arg(long, value_name = "FILE", default_value = CANDLE)]
    candle: PathBuf,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    json: bool,
}

/// What is run.
struct Wanted {
    cases: Vec<Case>,
    overhead: bool,
    epoch: bool,
}

impl Wanted {
    /// What `--only` and the number of threads leave.
    fn of(args: &Args) -> Result<Self, Usage> {
        let threads = args.threads.get();
        let named = |name: String| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
        let mut cases = train_step::cases(threads);
        cases.retain(|case| named(case.name()));
        let wanted = Self {
            cases,
            overhead: threads == 1 && named(Overhead::name()),
            epoch: threads == 1 && named(WholeEpoch::name()),
        };
        if wanted.count() == 0 {
            let only = args.only.as_deref().unwrap_or_default();
            return Err(Usage(format!(
                "--only {only:?}: no case has it in its name, such as 784-256-10 or 20-64-1"
            )));
        }
        Ok(wanted)
    }

    fn count(&self) -> usize {
        self.cases.len() + usize::from(self.overhead) + usize::from(self.epoch)
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let wanted = Wanted::of(args)?;
    let isa = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let threads = args.threads.get();
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let mut notes: Vec<String> = if threads == 1 { super::pin() } else { None }.into_iter().collect();
    // Started behind the pinning, which they inherit.
    let frameworks = Frameworks::start(&args.python, &args.candle, threads);
    if !args.json {
        println!("{machine}\n\n{}\n", frameworks.lines().join("\n"));
    }
    notes.extend(frameworks.lines());
    let recording = Recording::start(
        "bench-train-step",
        "A training step against the frameworks of this machine",
        "Is a step on our kernels faster than the same step in PyTorch, JAX, NumPy and candle?",
        false,
    );
    let second = (threads == 2).then(|| SecondCore::probe(isa)).transpose()?;
    let (mut bench, parts) = contest(args, &wanted, (&frameworks, isa), (&machine, &recording))?;
    notes.extend(parts);
    bench.notes.extend(notes);
    let judged = if args.bars {
        let mut judged = match &second {
            Some(second) => second.bars(&bench),
            None => train_step::bars(&bench),
        };
        judged.extend(Overhead::bar(&bench));
        judged.extend(WholeEpoch::bar(&bench));
        judged
    } else {
        Vec::new()
    };
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

/// All of it, and a line about the parts of the whole epoch if that was run.
fn contest(
    args: &Args,
    wanted: &Wanted,
    (frameworks, isa): (&Frameworks, Isa),
    (machine, recording): (&Machine, &Recording),
) -> anyhow::Result<(Bench, Option<String>)> {
    let mut progress = Progress::new(u64::from(args.rounds) * wanted.count() as u64, "rounds");
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
    let players = Players {
        frameworks: &frameworks.found,
        scratch: false,
        threads: args.threads,
    };
    let data: Vec<_> = wanted.cases.iter().map(train_step::Data::of).collect();
    let (overhead, epoch) = (Overhead::default(), wanted.epoch.then(|| WholeEpoch::new(args.threads)));
    let mut contest = Contest::new(
        options,
        args.threads.get(),
        recording.started(),
        bench::fma_probe::<f32>(&probe),
    )
    .cache_probe(bench::cache_probe(machine))
    .progress(|kept, wanted| {
        progress.set(done + u64::from(kept));
        if kept == wanted {
            done += u64::from(wanted);
        }
    });
    for (case, data) in wanted.cases.iter().zip(&data) {
        contest.run(vec![
            train_step::lineup(case, data, players, &trouble).map_err(anyhow::Error::msg)?,
        ])?;
    }
    if wanted.overhead {
        contest.run(vec![overhead.lineup().map_err(anyhow::Error::msg)?])?;
    }
    if let Some(epoch) = &epoch {
        let lineup = epoch.lineup(&frameworks.found, &trouble);
        contest.run(vec![lineup.map_err(anyhow::Error::msg)?])?;
    }
    if let Some(trouble) = trouble.borrow_mut().take() {
        bail!("{trouble}");
    }
    let parts = epoch
        .map(|epoch| epoch.parts())
        .transpose()
        .map_err(anyhow::Error::msg)?;
    Ok((contest.finish(Unit::Flop), parts.map(|parts| parts.to_string())))
}

fn tell(args: &Args, bench: &Bench, judged: &[Bar]) -> anyhow::Result<()> {
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
