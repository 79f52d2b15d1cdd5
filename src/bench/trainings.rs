//! The benches of training steps that `cargo bench` runs: contests over a range of sizes, each a record of its own.
//!
//! `--quick` takes fewer rounds; without `--bench` (as `cargo test` runs benches) each smallest case is run once and nothing is kept. The
//! frameworks are those of the interpreter that `TILELAB_PYTHON` names, else python3, and candle where it is built.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Result, bail};
use tilelab_kernels::{Context, Isa, Threads};

use super::frameworks::{CANDLE, Frameworks};
use super::train_step::{Case, Data, Players, lineup};
use super::{cache_probe, fma_probe};
use crate::measure::{Bench, Body, Contest, Machine, Options, Recording, Unit, bench_table};
use crate::report;

/// A range of cases.
pub struct Range {
    /// Name of the record.
    pub name: &'static str,
    /// The bench that it belongs to.
    pub bench: &'static str,
    /// Heading of its section.
    pub title: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// Its cases, each with its place on the axis; the smallest first.
    pub cases: Vec<(f64, Case)>,
    /// Plain `ndarray` takes part.
    pub scratch: bool,
    /// What is counted.
    pub unit: Unit,
}

/// A single step without its loss.
fn step(layers: Vec<usize>, batch: usize) -> Case {
    Case {
        layers,
        batch,
        epochs: 0,
        rows: batch,
        value: false,
    }
}

/// Growing depth, width and batch: our trainer beside the one that is written first, and the frameworks.
pub fn framework_vs_scratch() -> Vec<Range> {
    let range = |name, title, question, cases| Range {
        name,
        bench: "framework_vs_scratch",
        title,
        question,
        cases,
        scratch: true,
        unit: Unit::Flop,
    };
    let deep = |hidden: usize| [vec![784], vec![256; hidden], vec![10]].concat();
    let at = |x: usize, case: Case| (x as f64, case);
    vec![
        range(
            "framework-vs-scratch-depth",
            "Framework or from scratch: growing depth",
            "How fast is a step by our trainer, plain arrays and the frameworks as hidden layers of 256 are added, at batch 256?",
            [1, 2, 4, 8].map(|hidden| at(hidden, step(deep(hidden), 256))).into(),
        ),
        range(
            "framework-vs-scratch-width",
            "Framework or from scratch: growing width",
            "How fast is a step of 784-width-10 at batch 256 as the hidden layer grows?",
            [32, 128, 512, 2048]
                .map(|width| at(width, step(vec![784, width, 10], 256)))
                .into(),
        ),
        range(
            "framework-vs-scratch-batch",
            "Framework or from scratch: growing batch",
            "How fast is a step of 784-256-10 as the batch grows?",
            [16, 64, 256, 1024].map(|batch| at(batch, step(deep(1), batch))).into(),
        ),
    ]
}

/// Batches of a small network: samples a second, and the time of a batch.
pub fn batch_size() -> Vec<Range> {
    let batches = [16, 32, 64, 128, 256, 512, 1024];
    vec![Range {
        name: "batch-size",
        bench: "batch_size",
        title: "Batch size of a small network",
        question: "How many samples a second does 20-64-1 learn from, and how long does a batch take, as the batch grows?",
        cases: batches.map(|batch| (batch as f64, step(vec![20, 64, 1], batch))).into(),
        scratch: false,
        unit: Unit::Sample,
    }]
}

/// What a bench's `main` does: runs the ranges and keeps their records in `reports/raw`.
///
/// # Errors
/// A wrong flag, a contestant that can't run, or a record that can't be written.
pub fn main(ranges: Vec<Range>) -> Result<()> {
    let (mut measured, mut quick) = (false, false);
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--bench" => measured = true,
            "--quick" => quick = true,
            // A filter for other benches: `cargo bench NAME` and `cargo test NAME` hand it to each.
            _ if !arg.starts_with('-') => {}
            _ => bail!("{arg}: there is --quick, and nothing else"),
        }
    }
    let isa = Isa::selected()?;
    let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
    let pinned = core_affinity::get_core_ids()
        .and_then(|cpus| cpus.into_iter().next())
        .is_some_and(core_affinity::set_for_current);
    let python = std::env::var("TILELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let frameworks = Frameworks::start(&python, Path::new(CANDLE), 1);
    for mut range in ranges {
        let options = match (measured, quick) {
            (false, _) => {
                range.cases.truncate(1);
                Options {
                    rounds: 1,
                    max_redo: 0,
                    ..Options::quick()
                }
            }
            (true, true) => Options::quick(),
            (true, false) => Options::full(),
        };
        let recording = Recording::start(range.name, range.title, range.question, quick);
        let mut bench = run(&range, options, (&frameworks, isa), (&machine, &recording))?;
        bench.notes.extend(frameworks.lines());
        if !pinned {
            bench
                .notes
                .push("this process could not be pinned to one CPU".to_owned());
        }
        println!("{}\n{}", range.title, bench_table(&bench));
        if measured {
            let record = recording
                .command(format!("cargo bench --bench {}", range.bench))
                .finish(&machine, Body::Bench(bench));
            println!(
                "record: {}\n",
                report::save(Path::new("reports/raw"), &record)?.display()
            );
        }
    }
    Ok(())
}

fn run(
    range: &Range,
    options: Options,
    (frameworks, isa): (&Frameworks, Isa),
    (machine, recording): (&Machine, &Recording),
) -> Result<Bench> {
    let probe = Context::new(isa, Threads::one())?;
    let trouble = RefCell::new(None);
    let players = Players {
        frameworks: &frameworks.found,
        scratch: range.scratch,
        threads: Threads::one(),
    };
    let data: Vec<Data> = range.cases.iter().map(|(_, case)| Data::of(case)).collect();
    let mut contest =
        Contest::new(options, 1, recording.started(), fma_probe::<f32>(&probe)).cache_probe(cache_probe(machine));
    for ((x, case), data) in range.cases.iter().zip(&data) {
        let mut lineup = lineup(case, data, players, &trouble).map_err(anyhow::Error::msg)?;
        lineup.x = *x;
        if range.unit == Unit::Sample {
            lineup.work = case.batch as f64;
        }
        contest.run(vec![lineup])?;
    }
    if let Some(trouble) = trouble.borrow_mut().take() {
        bail!("{}: {trouble}", range.name);
    }
    Ok(contest.finish(range.unit))
}
