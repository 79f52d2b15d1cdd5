//! What is promised of training steps: the cases, and the verdict on a bench that measured them.

use std::collections::BTreeMap;

use tilelab_kernels::{Context, ContextError, Isa, Threads};

use super::Case;
use super::rounds::{by_round, median};
use crate::bench::bars::{self, Bar, TIE};
use crate::bench::fma_probe;
use crate::device::Device;
use crate::measure::Bench;

/// Ours to the best framework, at least.
#[derive(Debug, Clone, PartialEq)]
struct Promise {
    case: Case,
    least: f64,
    /// Whether it is promised of two threads too.
    threaded: bool,
}

fn promises() -> Vec<Promise> {
    let step = |layers: &[usize], batch, least, threaded| {
        [true, false].map(|value| Promise {
            case: Case {
                layers: layers.to_vec(),
                batch,
                epochs: 0,
                rows: batch,
                value,
            },
            least,
            threaded,
        })
    };
    let small = |batch| Promise {
        case: Case {
            layers: vec![20, 64, 1],
            batch,
            epochs: 10,
            rows: 8000,
            value: false,
        },
        least: 4.0,
        threaded: false,
    };
    let mut promises = Vec::new();
    promises.extend(step(&[784, 256, 10], 256, 1.1, true));
    promises.extend(step(&[784, 256, 128, 10], 512, 1.15, false));
    promises.extend(step(&[784, 512, 256, 10], 32, 1.3, false));
    promises.extend([16, 64, 256, 1024].map(small));
    promises
}

/// The cases of the bars; of two threads and more those that are promised of them.
pub fn cases(threads: usize) -> Vec<Case> {
    let asked = promises()
        .into_iter()
        .filter(|promise| threads == 1 || promise.threaded);
    asked.map(|promise| promise.case).collect()
}

/// Verdicts on the cases that `bench` has: ours to the best framework. `baseline` is our own trainer on another product, and no peer.
pub fn bars(bench: &Bench) -> Vec<Bar> {
    let judge = |Promise { case, least, .. }: Promise| {
        let mut measured = bench
            .cases
            .iter()
            .find(|measured| measured.name == case.name())?
            .clone();
        let baseline = Device::Baseline.to_string();
        measured.results.retain(|result| result.contestant != baseline);
        let best = bars::against_best(&measured, bench);
        let peer = best.as_ref().map_or("the best framework", |(peer, _)| peer).to_owned();
        let name = format!("{}: ratio to {peer}", case.name());
        let figure = best.map(|(_, ratio)| ratio);
        Some(Bar::judge(name, figure, least, least * TIE))
    };
    promises().into_iter().filter_map(judge).collect()
}

/// Rounds of two threads that a verdict needs.
const THREADED_ROUNDS: usize = 20;
/// A second core is there where two threads reach this many times one thread's FMA peak.
const SECOND_CORE: f64 = 1.9;

/// The FMA peak of one thread, to tell the rounds in which the second core was there.
#[derive(Debug, Clone, Copy)]
pub struct SecondCore {
    single_gflops: f64,
}

impl SecondCore {
    /// Takes the best of a few probes.
    ///
    /// # Errors
    /// A CPU that lacks the ISA.
    pub fn probe(isa: Isa) -> Result<Self, ContextError> {
        let ctx = Context::new(isa, Threads::one())?;
        let mut probe = fma_probe::<f32>(&ctx);
        let single_gflops = (0..20).map(|_| probe()).fold(0.0, f64::max);
        Ok(Self { single_gflops })
    }

    /// As [`bars()`], over the rounds in which two threads' peak before and after was high enough.
    pub fn bars(&self, bench: &Bench) -> Vec<Bar> {
        let asked = promises().into_iter().filter(|promise| promise.threaded);
        asked.filter_map(|promise| self.judge(bench, &promise)).collect()
    }

    fn judge(&self, bench: &Bench, promise: &Promise) -> Option<Bar> {
        let name = promise.case.name();
        let case = bench.cases.iter().find(|case| case.name == name)?;
        let there = |round: u32| {
            let mut rounds = bench.rounds.iter().filter(|it| it.case == name && it.round == round);
            rounds
                .next()
                .is_some_and(|it| it.peak_gflops >= SECOND_CORE * self.single_gflops)
        };
        let times = |contestant: &str| {
            let mut times = by_round(bench, &name, contestant);
            times.retain(|&round, _| there(round));
            times
        };
        let baseline = Device::Baseline.to_string();
        let peers = case.results.iter().skip(1).filter(|it| it.contestant != baseline);
        let peers = peers.map(|it| (it.contestant.as_str(), times(&it.contestant)));
        let middle = |times: &BTreeMap<u32, f64>| median(times.values().copied().collect()).unwrap_or(f64::INFINITY);
        let best = peers.min_by(|(_, a), (_, b)| middle(a).total_cmp(&middle(b)));
        let ours = case
            .results
            .first()
            .map(|ours| times(&ours.contestant))
            .unwrap_or_default();
        let (peer, figure) = match best {
            None => ("the best framework", Err("no peer on this machine".to_owned())),
            Some((peer, theirs)) => {
                let ratios = ours.iter().filter_map(|(round, ns)| Some(theirs.get(round)? / ns));
                let ratios: Vec<f64> = ratios.collect();
                let figure = match ratios.len() {
                    rounds if rounds < THREADED_ROUNDS => Err(format!(
                        "the second core was there in {rounds} rounds of the {THREADED_ROUNDS} that a verdict needs"
                    )),
                    _ => median(ratios).ok_or_else(|| "no round".to_owned()),
                };
                (peer, figure)
            }
        };
        let bar = format!("{name}, 2 threads: ratio to {peer}");
        Some(Bar::judge(bar, figure, promise.least, promise.least * TIE))
    }
}
