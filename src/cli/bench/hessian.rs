//! `tilelab bench hessian`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tilelab_kernels::{Context, Isa, Threads};

use crate::bench::frameworks::Frameworks;
use crate::bench::{self, bars, hessian};
use crate::cli::Usage;
use crate::measure::{Body, Contest, Machine, Options, Progress, Recording, Unit, bench_table};
use crate::report;

/// What the user typed behind `bench hessian`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the bars too: figure, threshold, and met, missed or not measurable
    #[arg(long)]
    bars: bool,
    /// Only what has this in its name, such as 10-40-5 or gradient
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Undisturbed rounds of each case
    #[arg(long, default_value_t = bars::ASKED, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of each contestant
    #[arg(long, default_value = "1", value_parser = crate::cli::values::threads, allow_hyphen_values = true)]
    threads: Threads,
    /// The interpreter that has PyTorch and JAX, each of them optional
    #[arg(long, default_value = "python3")]
    python: String,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    json: bool,
}

/// A bar that is one computation.
type Whole = fn(Threads) -> Result<hessian::whole::Told, String>;

fn whole(args: &Args) -> Vec<Whole> {
    let all: [Whole; 2] = [hessian::whole::eigenvalue, hessian::whole::newton];
    let chosen = hessian::whole::NAMES
        .into_iter()
        .zip(all)
        .filter(|(name, _)| args.bars && args.only.as_ref().is_none_or(|only| name.contains(only.as_str())));
    chosen.map(|(_, whole)| whole).collect()
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut cases = hessian::cases();
    if let Some(only) = &args.only {
        cases.retain(|case| case.name().contains(only.as_str()));
        if cases.is_empty() && whole(args).is_empty() {
            return Err(Usage(format!(
                "--only {only:?}: no case has it in its name, such as 10-40-5 or gradient"
            ))
            .into());
        }
    }
    let isa = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let threads = args.threads.get();
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    // Before this process is bound to one CPU of the machine: these bars are promised for two threads.
    let two = Threads::new(Threads::all().get().min(2))?;
    let told = whole(args)
        .into_iter()
        .map(|what| what(two))
        .collect::<Result<Vec<_>, _>>();
    let told = told.map_err(anyhow::Error::msg)?;
    let mut notes: Vec<String> = if threads == 1 { super::pin() } else { None }.into_iter().collect();
    // Started behind the pinning, which they inherit.
    let frameworks = Frameworks::start_differentiating(&args.python, threads);
    if !args.json {
        println!("{machine}\n");
        frameworks.lines().iter().for_each(|line| println!("{line}"));
        println!();
    }
    notes.extend(frameworks.lines());
    let recording = Recording::start(
        "bench-hessian",
        "Second derivatives, against the frameworks of this machine",
        "What does a Hessian cost by a double loop, by products, in closed form, and in PyTorch and JAX?",
        false,
    );
    let mut progress = Progress::new(u64::from(args.rounds) * cases.len() as u64, "rounds");
    progress.label("hessian");
    let mut done = 0;
    let options = Options {
        rounds: args.rounds,
        // The frameworks take up to a second for the largest.
        budget: Duration::from_secs(4 * u64::from(args.rounds).max(1)),
        ..Options::full()
    };
    let probe = Context::new(isa, args.threads)?;
    let trouble = RefCell::new(None);
    let problems = cases.iter().map(hessian::Problem::of).collect::<Result<Vec<_>, _>>()?;
    let mut contest = Contest::new(options, threads, recording.started(), bench::fma_probe::<f32>(&probe))
        .cache_probe(bench::cache_probe(&machine))
        .progress(|kept, wanted| {
            progress.set(done + u64::from(kept));
            if kept == wanted {
                done += u64::from(wanted);
            }
        });
    for (case, problem) in cases.iter().zip(&problems) {
        let lineup = hessian::lineup(problem, &frameworks.found, args.threads, &trouble).map_err(anyhow::Error::msg)?;
        contest.run(vec![lineup])?;
        if let Some(trouble) = trouble.borrow_mut().take() {
            bail!("{}: {trouble}", case.name());
        }
    }
    let mut bench = contest.finish(Unit::Flop);
    bench.notes.extend(notes);
    let mut judged = if args.bars { hessian::bars(&bench) } else { Vec::new() };
    for (bar, said) in told {
        judged.push(bar);
        bench.notes.push(said);
    }
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
            bench.notes.iter().for_each(|note| println!("{note}"));
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
