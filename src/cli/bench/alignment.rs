//! `tilelab bench alignment`: what the size's remainder, the distance from row to row and the base address cost whom.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tilelab_kernels::{Context, Threads};

use super::pin;
use crate::bench;
use crate::bench::alignment::{self, Group, Setting};
use crate::cli::self_test;
use crate::measure::{Bench, Body, Contest, Machine, Options, Order, Progress, Recording, Table, Unit, bench_table};
use crate::report;

/// Least size of the main cases: the naive loop's is a quarter of it, and both have smaller neighbours.
const LEAST: i64 = 8;

/// What the user typed behind `bench alignment`.
#[derive(clap::Args)]
pub struct Args {
    /// The size whose neighbours, rows and addresses are tried; the naive loop gets a quarter of it
    #[arg(long, default_value_t = alignment::SIZE as u32, value_parser = clap::value_parser!(u32).range(LEAST..=4096))]
    size: u32,
    /// Undisturbed rounds of each group
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Folder of the report, whose raw/ takes the record
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Fixes the operands and the order of turns
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print one JSON object a line: each comparison, then a summary
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let isas = self_test::isas()?;
    let machine = Machine::detect(isas.iter().map(|isa| isa.id().to_owned()).collect());
    let mut notes: Vec<String> = pin().into_iter().collect();
    let contexts = isas.iter().map(|&isa| Context::new(isa, Threads::one()));
    let contexts = contexts.collect::<Result<Vec<_>, _>>()?;
    if !args.json {
        println!("{machine}\n");
    }
    let recording = Recording::start(
        "alignment",
        "Alignment: remainder, rows and base address apart",
        "What do a size off every tile, rows of another length and a base off a cache line cost, and whom?",
        false,
    );
    let mut progress = Progress::new(u64::from(args.rounds) * Group::ALL.len() as u64, "rounds");
    progress.label("alignment");
    let mut done = 0;
    let options = Options {
        rounds: args.rounds,
        budget: Duration::from_secs(120),
        // In proportion, as in a full run: rounds hold many cases, and a busy machine would redo 80 of them for two.
        max_redo: 2 * args.rounds,
        // One turn each: rounds of many cases are long, and the shuffle is new in each.
        order: Order::Random(args.seed),
        ..Options::full()
    };
    let mut contest = Contest::new(options, 1, recording.started(), bench::fma_probe::<f32>(&contexts[0]))
        .cache_probe(bench::cache_probe(&machine))
        .progress(|kept, wanted| {
            progress.set(done + u64::from(kept));
            if kept == wanted {
                done += u64::from(wanted);
            }
        });
    let size = args.size as usize;
    let naive = size * alignment::NAIVE / alignment::SIZE;
    let mut all: Vec<Setting> = Vec::new();
    for group in Group::ALL {
        let mut settings = alignment::settings(group, size, false, args.seed);
        settings.extend(alignment::settings(group, naive, true, args.seed));
        contest.run(alignment::lineups(&settings, &contexts))?;
        all.extend(settings);
    }
    let mut bench = contest.finish(Unit::Flop);
    bench.comparisons = alignment::comparisons(&bench, &all);
    notes.push(format!(
        "the naive loop's cases lie round {naive}, not {size}: there it would take nearly all of the time"
    ));
    bench.notes.extend(notes);
    tell(args, &bench)?;
    let raw = args.out.join("raw");
    let comparisons = bench.comparisons.len();
    let record = recording.finish(&machine, Body::Bench(bench));
    let file = report::save(&raw, &record).with_context(|| format!("can't write into {}", raw.display()))?;
    if args.json {
        let line = serde_json::json!({"event": "done", "record": file, "comparisons": comparisons});
        println!("{line}");
    } else {
        println!("record: {}", file.display());
    }
    Ok(())
}

fn tell(args: &Args, bench: &Bench) -> anyhow::Result<()> {
    if args.json {
        for comparison in &bench.comparisons {
            println!("{}", serde_json::to_string(comparison)?);
        }
        return Ok(());
    }
    println!("{}", bench_table(bench));
    let mut table = Table::new(&["rate against its base", "contestant", "ratio", "95 % interval"]);
    for it in &bench.comparisons {
        table.row(vec![
            format!("{} / {}", it.case, it.base),
            it.contestant.clone(),
            format!("{:.3}", it.median),
            format!("{:.3} .. {:.3}", it.interval.0, it.interval.1),
        ]);
    }
    println!("{}", table.render());
    Ok(())
}
