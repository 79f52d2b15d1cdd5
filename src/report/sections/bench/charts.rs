//! Charts of a bench.

use crate::measure::Bench;
use crate::report::chart::{Axis, Chart, Join, Point, Rule, Series};
use crate::report::ticks::Scale;

use super::{in_unit, is_flops, ours, peers, rate_unit, spread};

/// How to read them.
const MEDIANS: &str = "Points are medians over the rounds, whiskers their 95 % intervals.";

/// Cases by their x; a log axis once sizes differ by much.
fn x_axis(bench: &Bench) -> Axis {
    let at: Vec<f64> = bench.cases.iter().map(|case| case.x).collect();
    let (low, high) = spread(at.iter().copied());
    let scale = if low > 0.0 && high / low >= 10.0 {
        Scale::Log
    } else {
        Scale::Linear
    };
    let whole = at.iter().all(|x| x.fract() == 0.0);
    Axis {
        scale,
        whole,
        at,
        ..Axis::new("size", "")
    }
}

/// Rates of all contestants, with the measured peak.
pub fn rates(bench: &Bench, contestants: &[&str]) -> Chart {
    let series = contestants.iter().map(|contestant| {
        let points = bench.cases.iter().flat_map(|case| {
            let results = case.results.iter().filter(|result| result.contestant == **contestant);
            results.map(move |result| Point {
                x: case.x,
                y: in_unit(bench, result.rate),
                // The same interval in the unit of the axis: work over its bounds, the slower one first.
                interval: Some((
                    in_unit(bench, case.work / result.interval_ns.1),
                    in_unit(bench, case.work / result.interval_ns.0),
                )),
            })
        });
        Series {
            name: (*contestant).to_owned(),
            join: Join::Apart,
            points: points.collect(),
        }
    });
    let peak = Rule {
        label: "FMA peak".to_owned(),
        y: bench.peak_gflops,
    };
    Chart {
        title: "Rate by size".to_owned(),
        note: MEDIANS.to_owned(),
        x: x_axis(bench),
        // Dots, not bars: nothing is read from their length, so the axis need not hold zero.
        y: Axis {
            decimals: Some(2),
            ..Axis::new("rate", &rate_unit(bench))
        },
        series: series.collect(),
        rules: if is_flops(bench) { vec![peak] } else { Vec::new() },
        ..Chart::default()
    }
}

/// Ours over each peer; `None` without a peer.
pub fn ratios(bench: &Bench) -> Option<Chart> {
    let name = ours(bench).next().map(|(_, result)| result.contestant.clone())?;
    let series: Vec<Series> = peers(bench)
        .into_iter()
        .map(|peer| {
            let points = ours(bench).flat_map(|(case, result)| {
                let ratios = result.ratios.iter().filter(|ratio| ratio.peer == peer);
                ratios.map(move |ratio| Point {
                    x: case.x,
                    y: ratio.median,
                    interval: Some(ratio.interval),
                })
            });
            Series {
                name: format!("{name} over {peer}"),
                join: Join::Apart,
                points: points.collect(),
            }
        })
        .collect();
    (!series.is_empty()).then(|| Chart {
        title: "Ratio of speeds in the same round".to_owned(),
        note: MEDIANS.to_owned(),
        x: x_axis(bench),
        y: Axis {
            decimals: Some(3),
            ..Axis::new(&format!("{name} over its peer"), "")
        },
        series,
        rules: vec![Rule {
            label: "equal".to_owned(),
            y: 1.0,
        }],
        ..Chart::default()
    })
}
