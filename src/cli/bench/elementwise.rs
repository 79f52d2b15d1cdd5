//! `tilelab bench elementwise` and `bench update`.

use std::path::PathBuf;
use std::time::Duration;

use tilelab_kernels::{Context, Isa, Threads};

use super::keep;
use crate::bench;
use crate::bench::bars;
use crate::bench::elementwise::{self, Function, Input, Rule};
use crate::cli::Usage;
use crate::device::Device;
use crate::measure::{Contest, Machine, Options, Progress, Recording, Unit};

/// What the user typed behind `bench elementwise` and `bench update`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Just the bars: figure, threshold, and met, missed or not measurable
    #[arg(long)]
    pub(super) bars: bool,
    /// Only what has this in its name, such as tanh or 4096
    #[arg(long, value_name = "TEXT")]
    pub(super) only: Option<String>,
    /// Undisturbed rounds of each case
    #[arg(long, default_value_t = bars::ASKED, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rounds: u32,
    /// Rows and columns of the matrices; an update has as many parameters as one of them. Without it the sizes of the bars
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 15), conflicts_with = "bars")]
    pub(super) side: Option<u32>,
    /// Whose kernels: cpu, or cuda:N, where events of the card time them
    #[arg(long, default_value = "cpu", conflicts_with = "bars")]
    pub(super) device: Device,
    /// Threads of ours
    #[arg(long, default_value = "1", value_parser = crate::cli::values::threads, allow_hyphen_values = true)]
    pub(super) threads: Threads,
    /// Also ours on every other ISA of this CPU
    #[arg(long)]
    pub(super) all_isas: bool,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(super) out: PathBuf,
    /// Fixes the inputs
    #[arg(long, default_value = "1")]
    pub(super) seed: u64,
    /// Print one JSON object a line: each case or bar, then a summary
    #[arg(long)]
    pub(super) json: bool,
}

/// One case, still without its memory.
#[derive(Clone, Copy)]
pub(super) enum Case {
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
    pub(super) fn input(self, seed: u64) -> Input {
        match self {
            Self::Function(_, side) => Input::new(side, side, seed),
            Self::Update(_, len) => Input::new(1, len, seed),
        }
    }
}

/// The functions on matrices in and beyond the caches.
pub(super) fn functions(args: &Args) -> anyhow::Result<()> {
    let side = args.side.map_or(1024, |side| side as usize);
    let mut cases: Vec<Case> = Function::ALL.map(|function| Case::Function(function, side)).to_vec();
    if args.side.is_none() {
        let large = Function::ALL
            .into_iter()
            .filter(|function| bars::COPIED.contains(&function.name()));
        cases.extend(large.map(|function| Case::Function(function, 4096)));
    }
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
    let sizes = match args.side {
        Some(side) => vec![side as usize * side as usize],
        None => vec![203_530, 1 << 24],
    };
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
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "then no card is given"))]
    if let Some(ordinal) = super::card(args.device)? {
        #[cfg(feature = "cuda")]
        return super::cuda::arrays(args, ordinal, (name, title), &cases);
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
    let record = keep(&args.out, args.json, recording, &machine, bench)?;
    if args.json {
        for bar in &judged {
            println!("{}", serde_json::to_string(bar)?);
        }
        println!(
            "{}",
            serde_json::json!({"event": "done", "record": record, "bars": judged.len()})
        );
    } else if args.bars {
        println!("{}", bars::table(&judged));
    }
    Ok(())
}
