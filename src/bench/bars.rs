//! What the products of this suite promise, as data, and the verdict on a bench that measured them.
//!
//! ```text
//! ratio     ours to the best peer of the shape (smallest median), median of the ratios round by round; 0.97 is a tie, and met
//! percent   the fastest sample over the fastest FMA probe of the run
//! paired    GFLOP/s at a size to that at 1024, round by round
//! work      useful over issued FMAs: counted, no clock
//! ```

use tilelab_kernels::Isa;
use tilelab_kernels::gemm::{Shape as Sizes, Work};

use super::elementwise::STREAMED_COPY;
use crate::cli::shapes::{Product, Shape};
use crate::measure::{Bench, COPY, Case, Table, paired_rates};

/// A ratio from here on is a tie, and counts as met.
pub(super) const TIE: f64 = 0.97;

/// Rounds that a verdict needs.
pub const ROUNDS: u32 = 40;
/// Rounds that are asked for: a later and better probe drops some that were kept.
pub const ASKED: u32 = 48;

/// The same with two threads: their rounds are rarer.
const ROUNDS_OF_TWO: u32 = 20;

/// A round of two threads counts where their FMA peak, before and after, is this many times one thread's.
pub const CORES_OF_TWO: f64 = 1.9;

/// Ours on one thread, beside ours on several: no peer.
pub const ONE_THREAD: &str = "ours-on-one-thread";

/// A library whose code is made for one shape has a bar of its own, and counts as no peer.
fn is_made_for_shapes(contestant: &str) -> bool {
    contestant.contains("xsmm")
}

/// The squares that are held against every peer in f64.
pub fn squares() -> Vec<Shape> {
    [64, 128, 256, 512, 1024, 2048].map(Shape::cube).to_vec()
}

/// The size that others are held against.
const ALIGNED: usize = 1024;

/// Sizes that must cost no more, per operation, than [`ALIGNED`].
const MISALIGNED: [usize; 6] = [1023, 1025, 1026, 1028, 1031, 1032];

/// The products that are held against every peer, with the least percent of the peak where one is asked for.
pub fn products() -> Vec<(Product, Option<f64>)> {
    let cube = |side| Product::from(Shape::cube(side));
    let plain = |m, n, k| Product::from(Shape { m, n, k });
    let a_transposed = Product {
        a_transposed: true,
        ..plain(784, 256, 256)
    };
    let b_transposed = Product {
        b_transposed: true,
        ..plain(256, 784, 256)
    };
    vec![
        (cube(64), None),
        (cube(128), None),
        (cube(256), Some(97.0)),
        (cube(512), Some(93.0)),
        (cube(1024), Some(93.0)),
        (cube(1025), Some(93.0)),
        (cube(1026), Some(93.0)),
        (cube(1028), Some(93.0)),
        (cube(1032), Some(93.0)),
        (cube(2048), Some(93.0)),
        (plain(256, 256, 784), Some(95.0)),
        (plain(256, 10, 256), None),
        (a_transposed, Some(95.0)),
        (plain(256, 784, 256), Some(95.0)),
        (b_transposed, Some(95.0)),
        (plain(32, 512, 784), Some(88.0)),
        (plain(16, 64, 20), None),
        (plain(16, 1, 64), None),
        (plain(128, 8192, 784), Some(88.0)),
    ]
}

/// The sizes of the alignment bars, the aligned one first.
pub fn alignment() -> Vec<Shape> {
    let sizes = [ALIGNED].into_iter().chain(MISALIGNED);
    sizes.map(Shape::cube).collect()
}

/// What came out of a bar.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At least the threshold, or a tie.
    Met,
    /// Below it.
    Missed,
    /// No figure, and why.
    NotMeasurable(String),
}

/// A promise, its figure and its verdict.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Bar {
    /// What is promised of what.
    pub name: String,
    /// What was measured.
    pub figure: Option<f64>,
    /// What is promised: at least this, or at most.
    pub threshold: f64,
    /// Whether it is at most.
    pub at_most: bool,
    /// Met or not.
    pub verdict: Verdict,
}

impl Bar {
    /// Met from `least` on, which lies below the threshold where a tie counts.
    pub(super) fn judge(name: String, figure: Result<f64, String>, threshold: f64, least: f64) -> Self {
        let (figure, verdict) = match figure {
            Ok(figure) if figure >= least => (Some(figure), Verdict::Met),
            // A NaN too.
            Ok(figure) => (Some(figure), Verdict::Missed),
            Err(why) => (None, Verdict::NotMeasurable(why)),
        };
        Self {
            name,
            figure,
            threshold,
            at_most: false,
            verdict,
        }
    }

    /// Met up to `most`.
    pub(super) fn at_most(name: String, figure: Result<f64, String>, most: f64) -> Self {
        let figure = figure.map(|figure| -figure);
        let judged = Self::judge(name, figure, most, -most);
        Self {
            figure: judged.figure.map(|figure| -figure),
            at_most: true,
            ..judged
        }
    }
}

/// Our result of a case, and its ratio to the best peer, if it has the rounds that a verdict needs.
/// The peer of the smallest median, and ours to it.
pub(super) fn against_best<'a>(case: &'a Case, bench: &Bench) -> Result<(&'a str, f64), String> {
    let kept = kept(case, bench)?;
    let [ours, peers @ ..] = &case.results[..] else {
        return Err(format!("{kept} rounds, no result"));
    };
    let others = peers
        .iter()
        .filter(|peer| peer.contestant != ONE_THREAD && !is_made_for_shapes(&peer.contestant));
    let best = others.min_by(|a, b| a.median_ns.total_cmp(&b.median_ns));
    let best = best.ok_or("no peer on this machine")?;
    let ratio = ours.ratios.iter().find(|ratio| ratio.peer == best.contestant);
    let ratio = ratio.ok_or("no ratio to the best peer")?;
    Ok((&best.contestant, ratio.median))
}

pub(super) fn kept(case: &Case, bench: &Bench) -> Result<usize, String> {
    let rounds = || bench.rounds.iter().filter(|round| round.case == case.name);
    let kept = rounds().filter(|round| round.dropped.is_none()).count();
    let needed = if bench.threads == 1 { ROUNDS } else { ROUNDS_OF_TWO };
    if kept < needed as usize {
        return Err(format!(
            "{kept} of {needed} rounds undisturbed, {} tried",
            rounds().count()
        ));
    }
    Ok(kept)
}

/// The bars of [`products`] from a bench of them, ours first in every case.
pub fn against_peers(bench: &Bench, threads: usize) -> Vec<Bar> {
    let mut bars = Vec::new();
    let mut logs = Vec::new();
    for (product, percent) in products() {
        let name = product.to_string();
        let Some(case) = bench.cases.iter().find(|case| case.name == name) else {
            continue;
        };
        let (bar, ratio) = to_best(case, bench, &name);
        bars.push(bar);
        logs.extend(ratio.map(f64::ln));
        if threads > 1 {
            bars.push(scaling(case, bench, threads));
            continue;
        }
        for ratio in case.results.first().into_iter().flat_map(|ours| &ours.ratios) {
            if is_made_for_shapes(&ratio.peer) {
                let figure = kept(case, bench).map(|_| ratio.median);
                bars.push(Bar::judge(format!("{name}: ratio to {}", ratio.peer), figure, 0.9, 0.9));
            }
        }
        if let Some(least) = percent {
            let ours = case.results.first().map(|ours| ours.percent_of_peak);
            let figure = kept(case, bench).and_then(|_| ours.ok_or("no result".to_owned()));
            let name = format!("{name}: percent of the FMA peak");
            bars.push(Bar::judge(name, figure, least, least));
        }
    }
    let figure = if logs.is_empty() {
        Err("no ratio".to_owned())
    } else {
        Ok((logs.iter().sum::<f64>() / logs.len() as f64).exp())
    };
    let name = format!("geometric mean of {} ratios", logs.len());
    let least = if threads == 1 { 1.06 } else { 1.05 };
    bars.push(Bar::judge(name, figure, least, least));
    bars
}

/// The bars of [`squares`] from a bench of them in f64, ours first in every case.
pub fn squares_in_f64(bench: &Bench) -> Vec<Bar> {
    let bars = bench.cases.iter().map(|case| to_best(case, bench, &case.name).0);
    bars.collect()
}

/// Ours to the best peer of a case, and the ratio.
fn to_best(case: &Case, bench: &Bench, name: &str) -> (Bar, Option<f64>) {
    let best = against_best(case, bench);
    let peer = best.as_ref().map_or("the best peer", |(peer, _)| peer).to_owned();
    let figure = best.map(|(_, ratio)| ratio);
    let ratio = figure.clone().ok();
    (Bar::judge(format!("{name}: ratio to {peer}"), figure, 1.0, TIE), ratio)
}

/// How many times one thread's rate several have, over how many times its peak they have.
fn scaling(case: &Case, bench: &Bench, threads: usize) -> Bar {
    let figure = kept(case, bench).and_then(|_| {
        let ours = case.results.first().ok_or("no result")?;
        let one = ours.ratios.iter().find(|ratio| ratio.peer == ONE_THREAD);
        // Rounds that count have nearly the whole peak, so that the threads are what it scales by.
        Ok(one.ok_or("not run on one thread")?.median / threads as f64)
    });
    Bar::judge(format!("{}: scaling over the peak's", case.name), figure, 0.95, 0.95)
}

/// The bars of [`alignment`] from a bench in which all its sizes ran together.
pub fn misalignment(bench: &Bench) -> Vec<Bar> {
    let aligned = Product::from(Shape::cube(ALIGNED)).to_string();
    let ours = bench.cases.first().and_then(|case| case.results.first());
    let mut bars = Vec::new();
    for size in MISALIGNED {
        let name = Product::from(Shape::cube(size)).to_string();
        let figure = match (ours, bench.cases.iter().find(|case| case.name == name)) {
            (Some(ours), Some(case)) => kept(case, bench).and_then(|_| {
                let id = ours.contestant.as_str();
                let paired = paired_rates(bench, (&name, id), (&aligned, id));
                paired.map(|(median, _)| median).ok_or("no round in common".to_owned())
            }),
            _ => Err("no undisturbed round".to_owned()),
        };
        bars.push(Bar::judge(
            format!("{name}: rate to that at {ALIGNED}"),
            figure,
            0.98,
            0.98,
        ));
    }
    bars
}

/// Useful over issued FMAs at the misaligned sizes, every ISA: counted from the plan.
pub fn work() -> Vec<Bar> {
    let mut bars = Vec::new();
    for isa in [Isa::Avx512, Isa::Avx2, Isa::Portable] {
        for size in MISALIGNED {
            let sizes = Sizes {
                m: size,
                n: size,
                k: size,
            };
            let work = Work::of::<f32>(sizes, isa);
            let figure = work.useful as f64 / work.issued as f64;
            let name = format!("{size} cubed, {isa}: useful over issued FMAs");
            bars.push(Bar::judge(name, Ok(figure), 0.985, 0.985));
        }
    }
    bars
}

/// GFLOP/s of the machine whose nanoseconds the elementwise bars are given in.
const SCALE_GFLOPS: f64 = 98.0;

/// Nanoseconds an element at most, 1024 x 1024, one thread, scaled by the FMA peak.
const ELEMENTWISE: [(&str, f64); 7] = [
    ("softmax", 0.5),
    ("log-softmax", 0.45),
    ("gelu", 0.6),
    ("gelu-tanh", 0.5),
    ("tanh", 0.35),
    ("sigmoid", 0.35),
    ("cross-entropy", 0.6),
];

/// What may take at most this much longer than the faster copy, 4096 x 4096.
const OVER_COPY: f64 = 1.15;

/// The functions of that bar.
pub const COPIED: [&str; 3] = ["relu", "softmax", "sigmoid"];

/// Whether a case of `bench elementwise` has a bar.
pub fn is_elementwise(case: &str) -> bool {
    let timed = ELEMENTWISE.iter().any(|(name, _)| *case == format!("{name} 1024x1024"));
    timed || COPIED.iter().any(|name| *case == format!("{name} 4096x4096"))
}

/// The bars of elementwise kernels from a bench of them, ours first in every case.
pub fn elementwise(bench: &Bench) -> Vec<Bar> {
    let find = |name: &str| bench.cases.iter().find(|case| case.name == name);
    let mut bars = Vec::new();
    for (function, most) in ELEMENTWISE {
        let Some(case) = find(&format!("{function} 1024x1024")) else {
            continue;
        };
        let figure = kept(case, bench).and_then(|_| {
            let ours = case.results.first().ok_or("no result")?;
            Ok(ours.median_ns / case.x * bench.peak_gflops / SCALE_GFLOPS)
        });
        let name = format!("{}: ns an element at {SCALE_GFLOPS} GFLOP/s", case.name);
        bars.push(Bar::at_most(name, figure, most));
    }
    for function in COPIED {
        let Some(case) = find(&format!("{function} 4096x4096")) else {
            continue;
        };
        let figure = kept(case, bench).and_then(|_| {
            let ours = case.results.first().ok_or("no result")?;
            let copies = ours
                .ratios
                .iter()
                .filter(|ratio| [COPY, STREAMED_COPY].contains(&ratio.peer.as_str()));
            // A ratio is the copy's time over ours.
            let fastest = copies.map(|ratio| 1.0 / ratio.median).reduce(f64::max);
            fastest.ok_or_else(|| "no copy beside it".to_owned())
        });
        let name = format!("{}: time over the faster copy's", case.name);
        bars.push(Bar::at_most(name, figure, OVER_COPY));
    }
    bars
}

/// Bars as a table, and a line that counts them.
pub fn table(bars: &[Bar]) -> String {
    let mut table = Table::new(&["bar", "figure", "promised", ""]);
    for bar in bars {
        let verdict = match &bar.verdict {
            Verdict::Met => "met".to_owned(),
            Verdict::Missed => "MISSED".to_owned(),
            Verdict::NotMeasurable(why) => format!("not measurable here: {why}"),
        };
        let figure = bar.figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
        let least = if bar.at_most { "<=" } else { ">=" };
        table.row(vec![
            bar.name.clone(),
            figure,
            format!("{least} {:.3}", bar.threshold),
            verdict,
        ]);
    }
    let count = |wanted: fn(&Verdict) -> bool| bars.iter().filter(|bar| wanted(&bar.verdict)).count();
    format!(
        "{}{} bars: {} met, {} missed, {} not measurable here\n",
        table.render(),
        bars.len(),
        count(|verdict| *verdict == Verdict::Met),
        count(|verdict| *verdict == Verdict::Missed),
        count(|verdict| matches!(verdict, Verdict::NotMeasurable(_))),
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::measure::{Clock, Contest, Contestant, Environment, Lineup, Options, Reading, Unit};

    /// Time that contestants pass themselves.
    struct Hand<'a>(&'a Cell<u64>);

    impl Clock for Hand<'_> {
        fn now_ns(&mut self) -> u64 {
            self.0.get()
        }
    }

    struct Quiet;

    impl Environment for Quiet {
        fn read(&mut self) -> Reading {
            Reading::default()
        }

        fn spent_ns(&mut self, _: u32) -> Option<u64> {
            None
        }
    }

    /// These shapes, all in one run, each contestant doing `gflops` of them.
    fn bench(shapes: &[Shape], gflops: &[(&str, f64)], rounds: u32) -> Bench {
        let now = Cell::new(0);
        let options = Options {
            rounds,
            budget: std::time::Duration::MAX,
            ..Options::full()
        };
        let mut contest = Contest::with(options, 1, Hand(&now), Quiet, || 100.0);
        let lineups = shapes.iter().map(|shape| Lineup {
            name: shape.to_string(),
            x: 0.0,
            work: shape.flops(),
            contestants: gflops
                .iter()
                .map(|&(name, rate)| {
                    let (now, ns) = (&now, shape.flops() / rate);
                    Contestant::new(name, 0.0, move |calls| now.set(now.get() + (calls as f64 * ns) as u64))
                })
                .collect(),
        });
        contest.run(lineups.collect()).unwrap();
        contest.finish(Unit::Flop)
    }

    fn verdicts(bars: &[Bar]) -> Vec<&Verdict> {
        bars.iter().map(|bar| &bar.verdict).collect()
    }

    #[test]
    fn a_ratio_is_held_against_the_best_peer_and_a_tie_is_met() {
        use Verdict::{Met, Missed};
        let cube = [Shape::cube(256)];
        for (ours, verdict, percent, mean) in [
            (99.0, Met, Met, Met),
            (97.5, Met, Met, Met),
            (88.0, Met, Missed, Missed),
            (80.0, Missed, Missed, Missed),
        ] {
            let bars = against_peers(
                &bench(&cube, &[("ours", ours), ("slow", 50.0), ("fast", 90.0)], ROUNDS),
                1,
            );
            assert_eq!(verdicts(&bars), [&verdict, &percent, &mean], "{ours}: {bars:?}");
            assert!(bars[0].name.contains("ratio to fast") && (bars[0].figure.unwrap() - ours / 90.0).abs() < 1e-3);
        }
    }

    #[test]
    fn without_peers_or_rounds_nothing_is_claimed() {
        let cube = [Shape::cube(64)];
        let alone = against_peers(&bench(&cube, &[("ours", 90.0)], ROUNDS), 1);
        assert_eq!(
            *verdicts(&alone)[0],
            Verdict::NotMeasurable("no peer on this machine".into())
        );
        let short = against_peers(&bench(&cube, &[("ours", 90.0), ("peer", 80.0)], ROUNDS - 1), 1);
        assert!(matches!(&short[0].verdict, Verdict::NotMeasurable(why) if why.starts_with("39 of 40")));
        assert!(matches!(short[1].verdict, Verdict::NotMeasurable(_)), "{short:?}");
        assert!(table(&short).ends_with("2 bars: 0 met, 0 missed, 2 not measurable here\n"));
    }

    #[test]
    fn misaligned_sizes_are_paired_with_the_aligned_one() {
        let bars = misalignment(&bench(&alignment(), &[("ours", 90.0)], ROUNDS));
        assert_eq!(bars.len(), 6);
        assert!(
            bars.iter()
                .all(|bar| bar.verdict == Verdict::Met && (bar.figure.unwrap() - 1.0).abs() < 1e-3)
        );
        let missing = misalignment(&bench(&[Shape::cube(1024)], &[("ours", 90.0)], ROUNDS));
        assert!(matches!(missing[0].verdict, Verdict::NotMeasurable(_)));
    }

    #[test]
    fn the_work_of_every_isa_is_useful() {
        let bars = work();
        assert_eq!(bars.len(), 18);
        for bar in bars {
            let figure = bar.figure.unwrap();
            assert!(figure > 0.9 && figure <= 1.0, "{}", bar.name);
            assert_eq!(bar.verdict == Verdict::Met, figure >= 0.985);
        }
    }
}
