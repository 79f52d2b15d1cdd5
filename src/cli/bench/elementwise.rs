//! `tilelab bench elementwise` and `bench update`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tilelab_kernels::{Context, Isa, Threads};

use crate::bench::bars::{self, Bar};
use crate::bench::elementwise::{self, Function, Input, Rule};
use crate::cli::Usage;
use crate::measure::{Bench, Body, Contest, Machine, Options, Progress, Recording, Unit, bench_table};
use crate::{bench, report};

/// What the user typed behind `bench elementwise` and `bench update`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Just the bars: figure, threshold, and met, missed or not measurable
    #[arg(long)]
    bars: bool,
    /// Only what has this in its name, such as tanh or 4096
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Undisturbed rounds of each case
    #[arg(long, default_value_t = bars::ASKED, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of ours
    #[arg(long, default_value = "1", value_parser = crate::cli::values::threads, allow_hyphen_values = true)]
    threads: Threads,
    /// Also ours on every other ISA of this CPU
    #[arg(long)]
    all_isas: bool,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Fixes the inputs
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    json: bool,
}

/// One case, still without its memory.
#[derive(Clone, Copy)]
enum Case {
    Function(Function, usize),
    Update(Rule, usize),
}

impl Case {
    fn name(self) -> String {
        match self {
            Self::Function(function, side) => format!("{} {side}x{side}", function.name()),
            Self::Update(rule, len) => format!("{} {len}", rule.name()),
        }
    }

    /// Of the size that the case needs.
    fn input(self, seed: u64) -> Input {
        match self {
            Self::Function(_, side) => Input::new(side, side, seed),
            Self::Update(_, len) => Input::new(1, len, seed),
        }
    }
}

/// The functions on matrices in and beyond the caches.
pub(super) fn functions(args: &Args) -> anyhow::Result<()> {
    let mut cases: Vec<Case> = Function::ALL.map(|function| Case::Function(function, 1024)).to_vec();
    let large = |function: &Function| bars::COPIED.contains(&function.name());
    cases.extend(
        Function::ALL
            .into_iter()
            .filter(large)
            .map(|function| Case::Function(function, 4096)),
    );
    if args.bars {
        cases.retain(|case| bars::is_elementwise(&case.name()));
    }
    let title = "Activations, softmax and losses against plain loops and copies";
    run(args, "bench-elementwise", title, cases)
}

/// The updates of the notebook's model and of one beyond the caches.
pub(super) fn updates(args: &Args) -> anyhow::Result<()> {
    if args.bars {
        return Err(Usage("--bars: updates have none; `tilelab bench update` gives their rates".into()).into());
    }
    let sizes = [203_530, 1 << 24];
    let cases = sizes
        .into_iter()
        .flat_map(|len| Rule::ALL.map(|rule| Case::Update(rule, len)));
    let title = "Parameter updates against plain loops";
    run(args, "bench-update", title, cases.collect())
}

fn run(args: &Args, name: &str, title: &str, mut cases: Vec<Case>) -> anyhow::Result<()> {
    if let Some(only) = &args.only {
        cases.retain(|case| case.name().contains(only.as_str()));
        if cases.is_empty() {
            return Err(Usage(format!(
                "--only {only:?}: no case has it in its name, such as tanh or 1024"
            ))
            .into());
        }
    }
    let selected = Isa::selected().map_err(|error| Usage(error.to_string()))?;
    let threads = args.threads.get();
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let notes = if threads == 1 { super::pin() } else { None };
    if !args.json {
        println!("{machine}\n");
    }
    let others = Isa::available()
        .into_iter()
        .filter(|isa| *isa != selected && args.all_isas);
    let contexts: Vec<Context> = [selected]
        .into_iter()
        .chain(others)
        .map(|isa| Context::new(isa, args.threads))
        .collect::<Result<_, _>>()?;
    let question = "Do our kernels run as fast as memory lets them?";
    let recording = Recording::start(name, title, question, false);
    let mut progress = Progress::new(u64::from(args.rounds) * cases.len() as u64, "rounds");
    progress.label(name.trim_start_matches("bench-"));
    let mut done = 0;
    let options = Options {
        rounds: args.rounds,
        budget: Duration::from_secs(60),
        ..Options::full()
    };
    let parked = contexts.clone();
    let mut contest = Contest::new(
        options,
        threads,
        recording.started(),
        bench::fma_probe::<f32>(&contexts[0]),
    )
    .cache_probe(bench::cache_probe(&machine))
    .settle(|| parked.iter().for_each(Context::park))
    .progress(|kept, wanted| {
        progress.set(done + u64::from(kept));
        if kept == wanted {
            done += u64::from(wanted);
        }
    });
    for case in cases {
        let input = case.input(args.seed);
        contest.run(vec![match case {
            Case::Function(function, _) => elementwise::lineup(function, &input, &contexts),
            Case::Update(rule, _) => elementwise::update(rule, &input, &contexts),
        }])?;
    }
    let mut bench = contest.finish(Unit::Byte);
    bench.notes.extend(notes);
    let judged = if args.bars {
        bars::elementwise(&bench)
    } else {
        Vec::new()
    };
    tell(args, &bench, &judged)?;
    let raw = args.out.join("raw");
    let record = recording.finish(&machine, Body::Bench(bench));
    let file = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
    if args.json {
        let summary = serde_json::json!({"event": "done", "record": file, "bars": judged.len()});
        println!("{summary}");
    } else {
        println!("record: {}", file.display());
    }
    Ok(())
}

fn tell(args: &Args, bench: &Bench, judged: &[Bar]) -> anyhow::Result<()> {
    if args.json {
        for case in &bench.cases {
            println!("{}", serde_json::to_string(case)?);
        }
        for bar in judged {
            println!("{}", serde_json::to_string(bar)?);
        }
        return Ok(());
    }
    println!("{}", bench_table(bench));
    if args.bars {
        println!("{}", bars::table(judged));
    }
    Ok(())
}
