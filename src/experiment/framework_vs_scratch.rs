//! `framework-vs-scratch`: a training step of ours, of the `gemm` crate, of a plain version, and of the frameworks that are installed.
//!
//! The notebook timed NumPy in f64 against PyTorch in f32. Here the plain version runs in both types, so that what the
//! type costs is told apart from what the kernels do. Everybody has one thread; first losses are compared before timing.

mod plain;

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use tilelab_kernels::{Activation, Context, Isa, Threads};

use self::plain::{Plain, Real};
use super::{Entry, Failure, Outcome, Run, notebook, plot};
use crate::bench::frameworks::{self, Frameworks};
use crate::bench::train_step::{Case, Data, Players, lineup};
use crate::bench::{self};
use crate::device::{Batch, Device, ProgramId, Session};
use crate::measure::{
    Bench, Beside, CaseResult, Contest, Contestant, Erratum, Finding, Held, Options, PlotAxis, Trace, Unit,
};
use crate::mlp::{Init, Model, Optimizer};
use crate::program::lower::{Lowering, weights_name};
use crate::program::{Element, LOSS_SUM, Program, StepArgs, fuse};

pub const ENTRY: Entry = Entry {
    name: "framework-vs-scratch",
    title: "Kernels, frameworks, and code from scratch",
    question: "How much faster is a framework than a version from scratch, and how does the gap go with the network's size?",
    expects: "Plain code in f64, as in the notebook, takes nearly twice its own time in f32: much of the factor of 2.1 is the type. Against tuned kernels the gap stays or grows with the network, as products take over.",
    run,
};

const BATCH: usize = 512;
const LR: f64 = 0.1;
const PLAIN: [&str; 2] = ["ndarray-f32", "ndarray-f64"];
/// The notebook's network.
const NOTEBOOK: [usize; 4] = [784, 256, 128, 10];
/// Steps whose losses are compared, and how near they must be.
const CHECKED: usize = 3;
const LOSS_BOUND: f64 = 1e-3;

/// Our f64 step on slices.
struct Double {
    session: Box<dyn Session>,
    program: Program,
    x: Vec<f32>,
    labels: Vec<u8>,
}

impl Double {
    fn new(widths: &[usize], weights: &[Vec<f64>], x: &[f32], labels: &[u8]) -> Result<Self, Failure> {
        let model = Model::new(widths, Activation::Relu)?;
        let lowering = Lowering {
            model: &model,
            float: Element::F64,
            rows: labels.len(),
            byte_scale: 1.0,
        };
        let program = fuse(&lowering.step(Optimizer::Sgd)?)?;
        let mut session = Device::Cpu.open(std::slice::from_ref(&program), &[], Threads::one())?;
        for (l, weights) in weights.iter().enumerate() {
            session.write(&weights_name(l + 1), weights)?;
        }
        Ok(Self {
            session,
            program,
            x: x.to_vec(),
            labels: labels.to_vec(),
        })
    }

    fn step(&mut self) -> Result<f64, Failure> {
        let batch = Batch::of_slices(&self.program, &self.x, &self.labels)?;
        let args = StepArgs {
            lr: LR,
            inverse_rows: 1.0 / self.labels.len() as f64,
            t: 1,
            ..StepArgs::default()
        };
        self.session.run(ProgramId(0), &batch, &args);
        Ok(self.session.metrics()?.get(LOSS_SUM) / self.labels.len() as f64)
    }
}

/// Inputs and first weights of one network.
struct Start {
    widths: Vec<usize>,
    weights: Vec<Vec<f64>>,
    x: Vec<f32>,
    labels: Vec<u8>,
}

impl Start {
    fn new(widths: &[usize], seed: u64) -> Self {
        let pairs = widths.windows(2).enumerate();
        let uniform = Init::Uniform { limit: 0.5 }.weights(seed, 1_000, (BATCH, widths[0]));
        Self {
            widths: widths.to_vec(),
            weights: pairs
                .map(|(l, pair)| Init::He { normal: true }.weights(seed, l + 1, (pair[0], pair[1])))
                .collect(),
            x: uniform.into_iter().map(|x| (x + 0.5) as f32).collect(),
            labels: (0..BATCH).map(|row| (row * 7 % 11 % 10) as u8).collect(),
        }
    }

    fn plain<T: Real>(&self) -> Plain<T> {
        Plain::new(&self.widths, &self.weights, &self.x, &self.labels)
    }

    fn double(&self) -> Result<Double, Failure> {
        Double::new(&self.widths, &self.weights, &self.x, &self.labels)
    }

    /// The first losses of the plain version in this type.
    fn losses<T: Real>(&self) -> Vec<f64> {
        let mut plain = self.plain::<T>();
        (0..CHECKED).map(|_| plain.step(LR)).collect()
    }
}

/// Largest relative difference over its bound; NaN stays.
fn error_over_bound(got: &[f64], wanted: &[f64]) -> f64 {
    let errors = got
        .iter()
        .zip(wanted)
        .map(|(got, wanted)| (got - wanted).abs() / (LOSS_BOUND * wanted.abs()));
    errors.fold(0.0, |most, e| if e > most || e.is_nan() { e } else { most })
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let rounds = run.pick(4, 20);
    let networks: &[&[usize]] = run.pick(
        &[&[784, 64, 10], &NOTEBOOK, &[784, 512, 256, 10]],
        &[
            &[784, 64, 10],
            &[784, 256, 10],
            &NOTEBOOK,
            &[784, 512, 256, 10],
            &[784, 1024, 512, 256, 10],
        ],
    );
    let (bench, missing) = run.once("rounds", |run| {
        let isa = Isa::selected().map_err(|error| Failure::Usage(error.to_string()))?;
        let ctx = Context::new(isa, Threads::one())?;
        let python = std::env::var("TILELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let Frameworks { found: there, missing } = Frameworks::start(&python, Path::new(frameworks::CANDLE), 1);
        let options = Options {
            rounds,
            budget: Duration::from_secs(run.pick(10, 60)),
            max_redo: rounds,
            or_disturbed: true,
            ..Options::full()
        };
        let mut contest = Contest::new(options, 1, Instant::now(), bench::fma_probe::<f32>(&ctx));
        let trouble = RefCell::new(None);
        for &widths in networks {
            if run.stopped() {
                return Err(Failure::Interrupted);
            }
            let case = Case {
                layers: widths.to_vec(),
                batch: BATCH,
                epochs: 0,
                rows: BATCH,
                value: true,
            };
            let data = Data::of(&case);
            let players = Players {
                frameworks: &there,
                scratch: false,
                threads: Threads::one(),
            };
            let mut lineup = lineup(&case, &data, players, &trouble).map_err(Failure::Failed)?;
            let start = Start::new(widths, run.options().seed);
            let wanted = start.losses::<f64>();
            let (mut single, mut double, mut ours) = (start.plain::<f32>(), start.plain::<f64>(), start.double()?);
            let mut checked = start.double()?;
            let got: Result<Vec<f64>, Failure> = (0..CHECKED).map(|_| checked.step()).collect();
            let step =
                |plain: &mut dyn FnMut() -> f64, calls: u64| (0..calls).for_each(|_| _ = std::hint::black_box(plain()));
            lineup.contestants.extend([
                Contestant::new("cpu-f64", error_over_bound(&got?, &wanted), move |calls| {
                    step(&mut || ours.step().unwrap_or(f64::NAN), calls);
                }),
                Contestant::new(
                    PLAIN[0],
                    error_over_bound(&start.losses::<f32>(), &wanted),
                    move |calls| {
                        step(&mut || single.step(LR), calls);
                    },
                ),
                Contestant::new(PLAIN[1], 0.0, move |calls| step(&mut || double.step(LR), calls)),
            ]);
            // By the size of its products.
            lineup.x = widths.windows(2).map(|pair| (pair[0] * pair[1]) as f64).sum();
            lineup.name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
            contest.run(vec![lineup])?;
            if let Some(why) = trouble.borrow_mut().take() {
                return Err(Failure::Failed(why));
            }
        }
        let mut bench = contest.finish(Unit::Flop);
        bench.samples.clear();
        Ok((bench, missing))
    })?;
    Ok(assess(&bench, &missing, run.options().full))
}

/// One contestant's time over another's in a case, median of the rounds.
fn times(case: &crate::measure::Case, who: &str, base: &str) -> f64 {
    let base = case.results.iter().find(|result| result.contestant == base);
    let ratio = base.and_then(|base| base.ratios.iter().find(|ratio| ratio.peer == who));
    ratio.map_or(f64::NAN, |ratio| ratio.median)
}

fn assess(bench: &Bench, missing: &[String], full: bool) -> Outcome {
    let ours = Device::Cpu.to_string();
    let end = |case: Option<&crate::measure::Case>| case.map_or(f64::NAN, |case| times(case, PLAIN[0], &ours));
    let gap = (end(bench.cases.first()), end(bench.cases.last()));
    let shape = NOTEBOOK.map(|width| width.to_string()).join("-");
    let notebooks = bench.cases.iter().find(|case| case.name == shape);
    let f64_over_f32 = notebooks.map_or(f64::NAN, |case| times(case, PLAIN[1], PLAIN[0]));
    let mut outcome = Outcome::new(if gap.0 > 1.0 && gap.1 > 1.0 {
        Finding::ScratchIsSlower {
            times: gap,
            f64_over_f32,
        }
    } else {
        Finding::ScratchIsAsFast { times: gap }
    });
    let results = || bench.cases.iter().flat_map(|case| &case.results);
    let wrong = results().map(|result| result.error_over_bound);
    let wrong = wrong.fold(0.0, |most, e| if e > most || e.is_nan() { e } else { most });
    outcome.at_most("first losses: largest difference over its bound", wrong, 1.0);
    outcome.at_least("the plain version in f64 over itself in f32", f64_over_f32, 1.0);
    let factor = notebook::figure("/framework_vs_scratch/numpy_seconds")
        / notebook::figure("/framework_vs_scratch/pytorch_seconds");
    if f64_over_f32 > 1.0 {
        outcome.erratum(Erratum::ScratchInF64 {
            f64_over_f32,
            notebook_factor: factor,
        });
    }
    if let Some(case) = notebooks {
        let mut row = |figure: &str, notebook: f64, ours: f64| {
            outcome.beside(Beside {
                of: format!("{shape}, batch {BATCH}"),
                figure: figure.to_owned(),
                notebook,
                ours,
                deviation: None,
                seeds: 1,
                held: Held::Nothing,
            });
        };
        row(
            "scratch in f64 over kernels or framework in f32",
            factor,
            times(case, PLAIN[1], &ours),
        );
        row(
            "scratch in f32 over our kernels in f32",
            f64::NAN,
            times(case, PLAIN[0], &ours),
        );
    }
    let mut names: Vec<&str> = results().map(|result| result.contestant.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let trace = |name: &&str| {
        let points = bench.cases.iter().filter_map(|case| {
            let result: &CaseResult = case.results.iter().find(|result| result.contestant == *name)?;
            Some((case.x, result.median_ns / 1e6))
        });
        Trace::line(*name, points)
    };
    let (x, y) = (
        PlotAxis::new("weights", "").log(),
        PlotAxis::new("time of a step", "ms").log(),
    );
    outcome.plot(plot(
        "A training step by the network's size",
        x,
        y,
        names.iter().map(trace).collect(),
    ));
    let rows = bench.cases.iter().flat_map(|case| {
        case.results.iter().map(|result| {
            let over = if result.contestant == ours {
                1.0
            } else {
                times(case, &result.contestant, &ours)
            };
            vec![
                case.name.clone().into(),
                result.contestant.clone().into(),
                (result.median_ns / 1e6).into(),
                over.into(),
                result.samples.into(),
            ]
        })
    });
    outcome.sheet(
        "Every step, one thread, batch 512",
        &["network", "who", "ms", "over ours", "samples"],
        rows.collect(),
    );
    missing.iter().for_each(|why| outcome.setting("framework", why.clone()));
    bench
        .notes
        .iter()
        .for_each(|note| outcome.setting("note", note.clone()));
    if !full {
        outcome.shrunk("3 networks of 5, 4 rounds of 20.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{assert_holds, failed};
    use crate::measure::{Case, Ratio};

    fn made(plain: f64, double: f64, error_over_bound: f64) -> Bench {
        let result = |name: &str, ratios: &[(&str, f64)]| CaseResult {
            contestant: name.to_owned(),
            samples: 4,
            median_ns: 1e7,
            min_ns: 1e7,
            interval_ns: (1e7, 1e7),
            rate: 100.0,
            percent_of_peak: 90.0,
            ratios: ratios
                .iter()
                .map(|&(peer, median)| Ratio {
                    peer: peer.to_owned(),
                    median,
                    interval: (median, median),
                })
                .collect(),
            error_over_bound,
        };
        let case = Case {
            name: "784-256-128-10".to_owned(),
            x: 1e5,
            work: 1.0,
            results: vec![
                result("cpu", &[(PLAIN[0], plain), (PLAIN[1], plain * double)]),
                result(PLAIN[0], &[(PLAIN[1], double)]),
            ],
        };
        Bench {
            threads: 1,
            unit: "flop".to_owned(),
            peak_gflops: 100.0,
            cases: vec![case],
            rounds: Vec::new(),
            samples: Vec::new(),
            comparisons: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn branches_and_breaks() {
        let slower = assess(&made(2.0, 1.9, 0.1), &[], true);
        assert_holds(&slower);
        assert!(matches!(
            slower.finding(),
            Finding::ScratchIsSlower { f64_over_f32: 1.9, .. }
        ));
        let level = assess(&made(0.9, 1.9, 0.1), &[], true);
        assert!(matches!(level.finding(), Finding::ScratchIsAsFast { .. }));
        assert_eq!(failed(&assess(&made(2.0, 1.9, f64::NAN), &[], true)).len(), 1);
        assert_eq!(failed(&assess(&made(2.0, f64::NAN, 0.1), &[], true)).len(), 1);
    }

    /// Both plain versions and our f64 step compute one thing; with a wrong rate they part.
    #[test]
    fn all_versions_learn_alike() {
        let start = Start::new(&[6, 5, 4, 10], 1);
        let (single, double) = (start.losses::<f32>(), start.losses::<f64>());
        assert!(error_over_bound(&single, &double) <= 1.0 && double[2] < double[0]);
        let mut ours = start.double().unwrap();
        let got: Vec<f64> = (0..CHECKED).map(|_| ours.step().unwrap()).collect();
        assert!(error_over_bound(&got, &double) <= 1e-6, "{got:?} {double:?}");
        let mut wrong = start.plain::<f64>();
        let wrong: Vec<f64> = (0..CHECKED).map(|_| wrong.step(2.0 * LR)).collect();
        assert!(error_over_bound(&wrong, &double) > 1.0);
    }
}
