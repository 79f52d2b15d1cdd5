//! `partition`: data-parallel and pipeline splits of one network over workers: same result, bytes sent, time.
//!
//! What is checked is computed in f64, where rounding is so small that nothing else can hide in it ([`rounding`]); what is timed
//! and what is sent is f32.

mod measured;
mod rounding;

use super::{Entry, Failure, Outcome, Run, plot};
use crate::measure::{Cell, Finding, Ordered, PlotAxis, SplitGain, Trace};
use measured::{Seen, Split, Way, measure};

pub const ENTRY: Entry = Entry {
    name: "partition",
    title: "One network over several workers",
    question: "Does a network that is split over workers, by rows or by layers, learn the same, what do the workers send each other, and what does it gain?",
    expects: "The same to rounding. By rows all workers send 2 (W - 1) times the parameters a step, by layers twice the activations at each cut. A pipeline of S stages and M micro-batches is idle for (S - 1) / (M + S - 1) of its time, and no split is faster than its machine has cores for.",
    run,
};

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let seen = measure(run)?;
    Ok(assess(&seen, run.options().full))
}

/// Bytes of a step by the formulas of [`ENTRY`]: of all workers, in f32.
fn formula(seen: &Seen, way: &Way) -> f64 {
    4.0 * match way {
        Way::Whole { .. } => 0.0,
        Way::Rows { workers } => 2.0 * (*workers as f64 - 1.0) * seen.parameters as f64,
        Way::Layers { cuts, .. } => {
            let widths: usize = cuts.iter().map(|&cut| seen.layers[cut]).sum();
            2.0 * (seen.batch * widths) as f64
        }
    }
}

/// Share of the time that a pipeline's workers wait, were all stages alike.
fn bubble(way: &Way) -> f64 {
    match way {
        Way::Layers { cuts, micro_batches } => cuts.len() as f64 / (micro_batches + cuts.len()) as f64,
        _ => f64::NAN,
    }
}

/// Median, least and most; NaN of nothing.
fn range(values: &[f64]) -> [f64; 3] {
    Ordered::new(values).map_or([f64::NAN; 3], |ordered| {
        [ordered.median(), ordered.min(), ordered.max()]
    })
}

fn assess(seen: &Seen, full: bool) -> Outcome {
    let splits: Vec<&Split> = seen.splits.iter().filter(|split| split.workers() > 1).collect();
    let most = |figure: &dyn Fn(&Split) -> f64| {
        let all = splits.iter().map(|split| figure(split));
        let most = all.reduce(|most, x| if x > most || x.is_nan() { x } else { most });
        most.unwrap_or(f64::NAN)
    };
    let fastest = splits
        .iter()
        .max_by(|a, b| range(&a.gains)[0].total_cmp(&range(&b.gains)[0]));
    let [gain, least, highest] = fastest.map_or([f64::NAN; 3], |split| range(&split.gains));
    let name = fastest.map_or(String::new(), |split| split.name());
    let wholes = seen.splits.iter().filter(|split| split.workers() == 1);
    let threaded = wholes.map(|split| range(&split.gains)[0]).fold(1.0, f64::max);
    let gains = SplitGain {
        name,
        gain,
        range: (least, highest),
        threaded,
        cores: seen.cores,
    };
    let mut outcome = Outcome::new(if least > 1.0 {
        Finding::SplitIsFaster(gains)
    } else if highest < 1.0 {
        Finding::SplitIsSlower(gains)
    } else {
        Finding::SplitIsEven(gains)
    });
    outcome.at_most(
        "gradient, f64: largest difference from the whole's over its bound",
        most(&|s| s.gradient),
        1.0,
    );
    outcome.at_most(
        "weights after some steps, f64: distance from the whole's over its bound",
        most(&|s| s.weights),
        1.0,
    );
    outcome.at_most(
        "that bound over the way that the weights went",
        seen.bound_over_way,
        1e-3,
    );
    outcome.at_most(
        "gradient, f32: distance from f64's over the whole's",
        most(&|s| s.single),
        4.0,
    );
    outcome.equals(
        "workers that have the same rows' network: largest difference",
        most(&|s| s.apart),
        0.0,
    );
    let off = |split: &Split| (split.bytes - formula(seen, &split.way)).abs();
    outcome.equals("bytes of a step: counted less formula, largest", most(&off), 0.0);
    plots(&mut outcome, seen, &splits);
    let row = |split: &Split| -> Vec<Cell> {
        let [ms, ..] = range(&split.ms);
        let [gain, least, highest] = range(&split.gains);
        let dash = |value: f64| if value.is_nan() { Cell::from("-") } else { value.into() };
        vec![
            split.name().into(),
            split.bytes.into(),
            formula(seen, &split.way).into(),
            ms.into(),
            gain.into(),
            format!("{least:.2} to {highest:.2}").into(),
            dash(if split.workers() > 1 {
                range(&split.idle)[0]
            } else {
                f64::NAN
            }),
            dash(bubble(&split.way)),
            split.gradient.into(),
        ]
    };
    let head = [
        "split",
        "bytes a step",
        "by formula",
        "ms a step",
        "whole's time over it",
        "over the rounds",
        "idle",
        "by formula",
        "gradient's error over its bound",
    ];
    outcome.sheet("Every split", &head, seen.splits.iter().map(row).collect());
    outcome.setting("network", seen.shape());
    outcome.setting("cores", seen.cores.to_string());
    outcome.setting("a step's rows", seen.batch.to_string());
    if !full {
        outcome.shrunk("three hidden layers of 256 units in place of 512, 5 rounds of 9, fewer splits.");
    }
    outcome
}

fn plots(outcome: &mut Outcome, seen: &Seen, splits: &[&Split]) {
    let pipelines = || {
        let two = splits.iter().filter_map(|split| match &split.way {
            Way::Layers { cuts, micro_batches } if cuts.len() == 1 => Some((*micro_batches as f64, *split)),
            _ => None,
        });
        two.collect::<Vec<_>>()
    };
    let traces = vec![
        Trace::line(
            "measured",
            pipelines().iter().map(|(m, split)| (*m, range(&split.idle)[0])),
        ),
        Trace::line(
            "by formula",
            pipelines().iter().map(|(m, split)| (*m, bubble(&split.way))),
        ),
    ];
    let x = PlotAxis::new("micro-batches", "").log().whole();
    let mut idle = plot(
        "Idle share of a pipeline of two stages",
        x,
        PlotAxis::new("idle share", ""),
        traces,
    );
    idle.note = "The formula is that of stages which take equally long, and send in no time.".to_owned();
    outcome.plot(idle);
    let by_rows = splits.iter().filter_map(|split| match split.way {
        Way::Rows { workers } => Some((workers as f64, split.bytes)),
        _ => None,
    });
    let by_layers = splits.iter().filter_map(|split| match &split.way {
        Way::Layers { cuts, .. } => Some((cuts.len() as f64 + 1.0, split.bytes)),
        _ => None,
    });
    let mut by_layers: Vec<_> = by_layers.collect();
    by_layers.dedup_by_key(|(workers, _)| *workers);
    let traces = vec![Trace::line("rows", by_rows), Trace::line("layers", by_layers)];
    let (x, y) = (
        PlotAxis::new("workers", "").whole(),
        PlotAxis::new("sent in a step", "B").log(),
    );
    let mut sent = plot("Bytes of a step by workers", x, y, traces);
    sent.note = format!(
        "Of all workers together, at {} rows a step: by layers they grow with the rows, by rows they do not.",
        seen.batch
    );
    outcome.plot(sent);
    let gain = |(at, split): (usize, &&Split)| {
        let [median, least, highest] = range(&split.gains);
        let half = (median - least).max(highest - median);
        Trace::points(split.name(), [(at as f64 + 1.0, median)]).with_error(vec![half])
    };
    let traces = splits.iter().enumerate().map(gain).collect();
    let (x, y) = (
        PlotAxis::new("split", "").whole(),
        PlotAxis::new("whole's time over it", ""),
    );
    let mut time = plot("What a split gains", x, y, traces);
    time.rules = vec![("the whole on one thread".to_owned(), 1.0)];
    time.note = format!(
        "Bars reach to the furthest round. Workers are threads on {} cores and share their memory: with more workers than cores this says what sharing a core costs, and with none of them does it say what a network between machines would.",
        seen.cores
    );
    outcome.plot(time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    /// 784-256-10 whole, by rows and by layers, whose gains go from `least` to `most`.
    fn made(least: f64, most: f64) -> Seen {
        let split = |way: Way, bytes: f64, gains: [f64; 3]| Split {
            way,
            gradient: 0.1,
            weights: 0.1,
            single: 1.1,
            apart: 0.0,
            bytes,
            ms: vec![2.0; 3],
            gains: gains.to_vec(),
            idle: vec![0.5; 3],
        };
        let parameters = 784 * 256 + 256 + 2570;
        let layers = Way::Layers {
            cuts: vec![1],
            micro_batches: 4,
        };
        Seen {
            layers: vec![784, 256, 10],
            parameters,
            batch: 256,
            cores: 2,
            bound_over_way: 1e-6,
            splits: vec![
                split(Way::Whole { threads: 1 }, 0.0, [1.0; 3]),
                split(Way::Whole { threads: 2 }, 0.0, [1.75; 3]),
                split(Way::Rows { workers: 2 }, 8.0 * parameters as f64, [least, most, most]),
                split(layers, f64::from(4 * 2 * 256 * 256), [0.5 * least; 3]),
            ],
        }
    }

    #[test]
    fn branches_and_breaks() {
        let faster = assess(&made(1.25, 1.5), true);
        assert_holds(&faster);
        let gains = SplitGain {
            name: "rows, 2 workers".to_owned(),
            gain: 1.5,
            range: (1.25, 1.5),
            threaded: 1.75,
            cores: 2,
        };
        assert_eq!(faster.finding(), Finding::SplitIsFaster(gains));
        assert!(matches!(
            assess(&made(0.9, 1.1), true).finding(),
            Finding::SplitIsEven(_)
        ));
        assert!(matches!(
            assess(&made(0.5, 0.75), false).finding(),
            Finding::SplitIsSlower(_)
        ));
        // Each check finds what it is for.
        let breaks: [fn(&mut Seen); 8] = [
            |seen| seen.splits[2].gradient = 1.5,
            |seen| seen.splits[3].gradient = f64::NAN,
            |seen| seen.splits[3].weights = 2.0,
            |seen| seen.bound_over_way = 0.5,
            |seen| seen.splits[2].single = 100.0,
            |seen| seen.splits[2].apart = 1e-17,
            |seen| seen.splits[3].bytes += 4.0,
            |seen| seen.splits[2].bytes = f64::NAN,
        ];
        for (at, break_it) in breaks.iter().enumerate() {
            let mut seen = made(1.25, 1.5);
            break_it(&mut seen);
            assert_eq!(failed(&assess(&seen, true)).len(), 1, "{at}");
        }
        let mut none = made(1.0, 1.0);
        none.splits.clear();
        assert_eq!(failed(&assess(&none, true)).len(), 5);
        assert!((bubble(&made(1.0, 1.0).splits[3].way) - 0.2).abs() < 1e-15);
    }

    /// A network of its own kind, small: every split is right; with one label that is another, none is.
    #[test]
    fn a_wrong_row_is_found() {
        let bed = Bed::new();
        let seen = bed.run(|run| measured::small(run, false)).unwrap();
        assert!(
            failed(&assess(&seen, false)).is_empty(),
            "{:#?}",
            assess(&seen, false).checks()
        );
        let bed = Bed::new();
        let seen = bed.run(|run| measured::small(run, true)).unwrap();
        assert!(failed(&assess(&seen, false)).len() >= 3);
    }
}
