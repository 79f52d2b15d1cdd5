//! What is promised of the cases.

use super::{Case, What, cases};
use crate::bench::bars::{self, Bar, kept};
use crate::measure::{Bench, Case as Measured};

/// The bars of the cases that were measured.
pub fn bars(bench: &Bench) -> Vec<Bar> {
    let mut all = Vec::new();
    for case in cases() {
        let name = case.name();
        let Some(measured) = bench.cases.iter().find(|measured| measured.name == name) else {
            continue;
        };
        of_case(&case, measured, bench, &mut all);
    }
    all
}

/// Median of the first contestant, in units of so many ns.
fn median(measured: &Measured, bench: &Bench, unit_ns: f64) -> Result<f64, String> {
    kept(measured, bench)?;
    let ours = measured.results.first().ok_or("no result")?;
    Ok(ours.median_ns / unit_ns)
}

fn of_case(case: &Case, measured: &Measured, bench: &Bench, all: &mut Vec<Bar>) {
    let name = case.name();
    let ours = measured
        .results
        .first()
        .map(|ours| ours.contestant.clone())
        .unwrap_or_default();
    match case.what {
        What::Dense {
            most_ms, most_of_best, ..
        } => {
            if let Some(most) = most_ms {
                all.push(Bar::at_most(
                    format!("{name}: {ours}, ms"),
                    median(measured, bench, 1e6),
                    most,
                ));
            }
            // Against frameworks alone: the others are ours.
            let mut frameworks = measured.clone();
            let own = ["products", "double-loop"];
            frameworks
                .results
                .retain(|result| result.contestant == ours || !own.contains(&&result.contestant[..]));
            let best = bars::against_best(&frameworks, bench);
            let peer = best.as_ref().map_or("the best framework", |(peer, _)| peer).to_owned();
            let figure = best.map(|(_, ratio)| ratio);
            let least = most_of_best.map_or(1.0, |most| 1.0 / most);
            all.push(Bar::judge(format!("{name}: ratio to {peer}"), figure, least, least));
        }
        What::Gradient { most_us } => {
            all.push(Bar::at_most(
                format!("{name}: {ours}, us"),
                median(measured, bench, 1e3),
                most_us,
            ));
        }
        What::Product { most } => {
            for (contestant, most) in [("linearised-and-product", most.0), ("product", most.1)] {
                let figure = kept(measured, bench).and_then(|_| {
                    let result = measured.results.iter().find(|result| result.contestant == contestant);
                    let ratio = result.and_then(|result| result.ratios.iter().find(|ratio| ratio.peer == "gradient"));
                    // A ratio says how many times as fast the first is.
                    ratio
                        .map(|ratio| 1.0 / ratio.median)
                        .ok_or_else(|| "no ratio to a gradient".to_owned())
                });
                all.push(Bar::at_most(format!("{name}: {contestant}, gradients"), figure, most));
            }
        }
        What::Many { least, .. } => {
            let figure = kept(measured, bench).and_then(|_| {
                let ours = measured.results.first().map(|ours| ours.percent_of_peak);
                ours.ok_or_else(|| "no result".to_owned())
            });
            all.push(Bar::judge(
                format!("{name}: percent of the FMA peak"),
                figure,
                least,
                least,
            ));
        }
    }
}
