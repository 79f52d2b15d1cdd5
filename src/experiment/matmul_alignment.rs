//! `matmul-alignment`: size, distance from row to row, and base address apart, each against its aligned base, round by round.
//!
//! The cases are those of `tilelab bench alignment`, which says more; every product is checked against f64 before it is timed.

use std::time::{Duration, Instant};

use tilelab_kernels::{Context, Isa, Threads};

use super::{Entry, Failure, Outcome, Run, notebook, plot};
use crate::bench::{self, alignment};
use crate::measure::{Bench, Beside, Comparison, Contest, Finding, Held, Options, Order, PlotAxis, Trace, Unit};

pub const ENTRY: Entry = Entry {
    name: "matmul-alignment",
    title: "Aligned and misaligned products",
    question: "What do sizes, row lengths and addresses that fit no vector or cache line cost a matrix product?",
    expects: "Kernels that pack their operands pay a few percent at most, for the edges; the naive loop is slowed by rows of a power of two, whose lines share sets of the cache.",
    run,
};

/// Ours has this id's beginning; the others are peers.
const PEER: &str = "gemm-crate";

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let rounds = run.pick(4, 20);
    let bench = run.once("rounds", |run| {
        let isa = Isa::selected().map_err(|error| Failure::Usage(error.to_string()))?;
        let ctx = Context::new(isa, Threads::one())?;
        let seed = run.options().seed;
        let options = Options {
            rounds,
            budget: Duration::from_secs(run.pick(12, 120)),
            max_redo: rounds,
            order: Order::Random(seed),
            or_disturbed: true,
            min_sample: Duration::from_millis(1),
        };
        let mut contest = Contest::new(options, 1, Instant::now(), bench::fma_probe::<f32>(&ctx));
        let mut all = Vec::new();
        for group in alignment::Group::ALL {
            if run.stopped() {
                return Err(Failure::Interrupted);
            }
            let mut settings = alignment::settings(group, alignment::SIZE, false, seed);
            settings.extend(alignment::settings(group, alignment::NAIVE, true, seed));
            contest.run(alignment::lineups(&settings, std::slice::from_ref(&ctx)))?;
            all.extend(settings);
        }
        let mut bench = contest.finish(Unit::Flop);
        bench.comparisons = alignment::comparisons(&bench, &all);
        // What a finding is made from; the samples would make the state large.
        bench.samples.clear();
        Ok(bench)
    })?;
    Ok(assess(&bench, run.options().full))
}

/// Of one contestant, the comparison with the smallest ratio.
fn dearest(bench: &Bench, is: impl Fn(&str) -> bool) -> Option<&Comparison> {
    let of = bench.comparisons.iter().filter(|it| is(&it.contestant));
    of.min_by(|a, b| a.median.total_cmp(&b.median))
}

fn ours(contestant: &str) -> bool {
    contestant != PEER && contestant != "naive-loop"
}

fn assess(bench: &Bench, full: bool) -> Outcome {
    let (us, peer) = (dearest(bench, ours), dearest(bench, |name| name == PEER));
    let median = |it: Option<&Comparison>| it.map_or(f64::NAN, |it| it.median);
    let mut outcome = Outcome::new(match us {
        Some(it) if it.interval.1 < 1.0 => Finding::AlignmentCosts {
            ours: it.median,
            case: it.case.clone(),
            peer: median(peer),
        },
        _ => Finding::AlignmentIsFree { ours: median(us) },
    });
    let results = || bench.cases.iter().flat_map(|case| &case.results);
    let wrong = results().map(|result| result.error_over_bound);
    let wrong = wrong.fold(0.0, |most, e| if e > most || e.is_nan() { e } else { most });
    outcome.at_most("largest error of a product over its bound", wrong, 1.0);
    outcome.at_least("comparisons that were made", bench.comparisons.len() as f64, 1.0);
    outcome.at_least("our rate at the dearest case over the base's", median(us), 0.5);
    for size in [1024, 1025, 1026, 1028, 1032] {
        let case = bench.cases.iter().find(|case| case.name == format!("{size} cubed"));
        let result = case.and_then(|case| case.results.iter().find(|result| ours(&result.contestant)));
        if let Some(result) = result {
            outcome.beside(Beside {
                of: format!("{size} cubed, one thread"),
                figure: "ms".to_owned(),
                notebook: notebook::figure(&format!("/matmul_alignment_cpu_ms/{size}")),
                ours: result.median_ns / 1e6,
                deviation: None,
                seeds: 1,
                held: Held::Nothing,
            });
        }
    }
    for group in alignment::Group::ALL {
        let of: Vec<&Comparison> = bench.comparisons.iter().filter(|it| it.group == group.name()).collect();
        let mut names: Vec<&str> = of.iter().map(|it| it.contestant.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let trace = |name: &&str| {
            let mine: Vec<&&Comparison> = of.iter().filter(|it| it.contestant == *name).collect();
            let points = mine.iter().enumerate().map(|(at, it)| ((at + 1) as f64, it.median));
            let error = mine.iter().map(|it| (it.interval.1 - it.interval.0) / 2.0).collect();
            Trace::points(*name, points).with_error(error)
        };
        let (x, y) = (
            PlotAxis::new("case, as in the table", "").whole(),
            PlotAxis::new("rate over the base's", ""),
        );
        let mut costs = plot(
            &format!("Cost of the {}", group.name()),
            x,
            y,
            names.iter().map(trace).collect(),
        );
        costs.rules.push(("no cost".to_owned(), 1.0));
        outcome.plot(costs);
    }
    let row = |it: &Comparison| {
        vec![
            it.group.clone().into(),
            it.case.clone().into(),
            it.base.clone().into(),
            it.contestant.clone().into(),
            it.median.into(),
            it.interval.0.into(),
            it.interval.1.into(),
        ]
    };
    let head = ["varied", "case", "against", "who", "rate / base's", "from", "to"];
    outcome.sheet(
        "Every case against its base",
        &head,
        bench.comparisons.iter().map(row).collect(),
    );
    for note in &bench.notes {
        outcome.setting("note", note.clone());
    }
    if !full {
        outcome.shrunk("4 rounds of 20.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{assert_holds, failed};
    use crate::measure::{Case, CaseResult};

    fn made(ours: f64, high: f64, error_over_bound: f64) -> Bench {
        let comparison = |contestant: &str, median, high| Comparison {
            group: "base address".to_owned(),
            case: "1024, 4 bytes off a line".to_owned(),
            base: "1024, 0 bytes off a line".to_owned(),
            contestant: contestant.to_owned(),
            median,
            interval: (median - 0.01, high),
        };
        let result = CaseResult {
            contestant: "sgemm-avx2-6x16".to_owned(),
            samples: 4,
            median_ns: 1e7,
            min_ns: 1e7,
            interval_ns: (1e7, 1e7),
            rate: 100.0,
            percent_of_peak: 90.0,
            ratios: Vec::new(),
            error_over_bound,
        };
        Bench {
            threads: 1,
            unit: "flop".to_owned(),
            peak_gflops: 100.0,
            cases: vec![Case {
                name: "1025 cubed".to_owned(),
                x: 1025.0,
                work: 1.0,
                results: vec![result],
            }],
            rounds: Vec::new(),
            samples: Vec::new(),
            comparisons: vec![comparison("sgemm-avx2-6x16", ours, high), comparison(PEER, 0.8, 0.81)],
            notes: Vec::new(),
        }
    }

    #[test]
    fn branches_and_breaks() {
        let costs = assess(&made(0.9, 0.91, 0.1), true);
        assert_holds(&costs);
        assert!(matches!(
            costs.finding(),
            Finding::AlignmentCosts {
                ours: 0.9,
                peer: 0.8,
                ..
            }
        ));
        let free = assess(&made(0.99, 1.01, 0.1), true);
        assert_eq!(free.finding(), Finding::AlignmentIsFree { ours: 0.99 });
        // A wrong product, NaN, and a contest that compared nothing.
        assert_eq!(failed(&assess(&made(0.9, 0.91, 1.5), true)).len(), 1);
        assert_eq!(failed(&assess(&made(0.9, 0.91, f64::NAN), true)).len(), 1);
        let mut none = made(0.9, 0.91, 0.1);
        none.comparisons.clear();
        assert_eq!(failed(&assess(&none, true)).len(), 2);
    }
}
