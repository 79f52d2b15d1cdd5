//! Contestants timed in turn: rates beside the measured peak, and ratios of rounds.

mod charts;
mod costs;
mod verdict;

use crate::measure::{Bench, Case, CaseResult, Ratio, Record, Round, drops, rate_shown};
use crate::report::format::{fixed, nanoseconds, plural};

use super::{Column, Layout, Section, Table, Tone, outline};

/// A bench. The first contestant is ours; the others are its peers.
pub fn section(record: &Record, bench: &Bench) -> Section {
    let mut section = outline(record, verdict::verdict(bench));
    // Wrong results come before what they cost.
    if let Some(costs) = costs::verdict(bench).filter(|_| section.verdict.tone != Tone::Bad) {
        section.verdict = costs;
    }
    section.headline = verdict::headline(bench);
    section.notes = bench.notes.clone();
    let contestants = contestants(bench);
    if !bench.comparisons.is_empty() {
        // Cases that differ in what is not their size have no place on an axis of sizes.
        section.tables.extend([costs::table(bench), table(bench)]);
    } else if !contestants.is_empty() {
        section.charts.push(charts::rates(bench, &contestants));
        section.charts.extend(charts::ratios(bench));
        section.tables.push(table(bench));
    }
    section.conditions.extend(conditions(bench));
    section
}

/// The unit of rates as they are shown.
fn rate_unit(bench: &Bench) -> String {
    rate_shown(&bench.unit).0
}

/// A rate in that unit.
fn in_unit(bench: &Bench, rate: f64) -> f64 {
    rate_shown(&bench.unit).1 * rate
}

fn is_flops(bench: &Bench) -> bool {
    bench.unit == "flop"
}

/// What [`CaseResult::percent_of_peak`] is a percentage of, if it is one of anything.
fn peak_name(bench: &Bench) -> Option<&'static str> {
    let mut results = bench.cases.iter().flat_map(|case| &case.results);
    match bench.unit.as_str() {
        "flop" => Some("peak"),
        _ => results.any(|result| result.percent_of_peak > 0.0).then_some("copy"),
    }
}

fn contestants(bench: &Bench) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for result in bench.cases.iter().flat_map(|case| &case.results) {
        if !names.contains(&result.contestant.as_str()) {
            names.push(&result.contestant);
        }
    }
    names
}

/// Ours in each case: the first contestant.
fn ours(bench: &Bench) -> impl Iterator<Item = (&Case, &CaseResult)> {
    bench
        .cases
        .iter()
        .filter_map(|case| case.results.first().map(|result| (case, result)))
}

fn peers(bench: &Bench) -> Vec<&str> {
    let mut peers: Vec<&str> = Vec::new();
    for ratio in ours(bench).flat_map(|(_, result)| &result.ratios) {
        if !peers.contains(&ratio.peer.as_str()) {
            peers.push(&ratio.peer);
        }
    }
    peers
}

fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

fn between(low: f64, high: f64, decimals: usize, unit: &str) -> String {
    if low > high {
        return "unknown".to_owned();
    }
    let (low, high) = (fixed(low, decimals), fixed(high, decimals));
    if low == high {
        format!("{low}{unit}")
    } else {
        format!("{low} to {high}{unit}")
    }
}

fn table(bench: &Bench) -> Table {
    let mut head = vec![
        Column::text("case"),
        Column::text("contestant"),
        Column::number("median"),
        Column::number("fastest"),
        Column::number(&rate_unit(bench)),
    ];
    let of_what = peak_name(bench);
    head.extend(of_what.map(|name| Column::number(&format!("% of {name}"))));
    head.extend([
        Column::number("ratio to peer"),
        Column::number("error / bound"),
        Column::number("samples"),
    ]);
    let rows = bench.cases.iter().flat_map(|case| {
        case.results.iter().map(move |result| {
            let mut row = vec![
                case.name.clone(),
                result.contestant.clone(),
                nanoseconds(result.median_ns),
                nanoseconds(result.min_ns),
                fixed(in_unit(bench, result.rate), 2),
            ];
            row.extend(of_what.map(|_| fixed(result.percent_of_peak, 1)));
            row.extend([
                ratio_cell(result),
                fixed(result.error_over_bound, 3),
                result.samples.to_string(),
            ]);
            row
        })
    });
    let results = || bench.cases.iter().flat_map(|case| &case.results);
    let layout = Layout::folded_if(bench.cases.len() > 12 && !results().any(verdict::is_wrong));
    Table {
        caption: "Every case".to_owned(),
        head,
        rows: rows.collect(),
        wrong: (0..)
            .zip(results())
            .filter(|(_, result)| verdict::is_wrong(result))
            .map(|(row, _)| row)
            .collect(),
        layout,
    }
}

fn ratio_cell(result: &CaseResult) -> String {
    let named = result.ratios.len() > 1;
    let text = |ratio: &Ratio| {
        let peer = if named {
            format!("{}: ", ratio.peer)
        } else {
            String::new()
        };
        format!(
            "{peer}{} ({} to {})",
            fixed(ratio.median, 3),
            fixed(ratio.interval.0, 3),
            fixed(ratio.interval.1, 3)
        )
    };
    result.ratios.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn conditions(bench: &Bench) -> Vec<(String, String)> {
    let mut facts = vec![("threads".to_owned(), bench.threads.to_string())];
    facts.push(("rounds".to_owned(), rounds(&bench.rounds)));
    let mut launches: Vec<u32> = bench.samples.iter().map(|sample| sample.launch).collect();
    launches.sort_unstable();
    launches.dedup();
    let samples = plural(bench.samples.len(), "sample");
    facts.push((
        "samples".to_owned(),
        format!("{samples} of {} of the program", plural(launches.len(), "run")),
    ));
    let mut range = |name: &str, value: &dyn Fn(&Round) -> Option<f64>, decimals: usize, unit: &str| {
        let (low, high) = spread(bench.rounds.iter().filter_map(value));
        if low <= high {
            facts.push((name.to_owned(), between(low, high, decimals, unit)));
        }
    };
    range(
        "FMA probe beside the rounds",
        &|round| Some(round.peak_gflops),
        1,
        " GFLOP/s",
    );
    range("cache probe beside the rounds", &|round| round.cache_gbs, 1, " GB/s");
    range(
        "CPU time taken by the hypervisor",
        &|round| Some(100.0 * round.steal?),
        2,
        " %",
    );
    range("load average", &|round| round.load, 2, "");
    facts
}

/// Rounds kept and dropped, with the reasons.
fn rounds(rounds: &[Round]) -> String {
    let reasons = drops(rounds);
    let dropped: usize = reasons.values().sum();
    if dropped == 0 {
        return format!("{}, none dropped", plural(rounds.len(), "round"));
    }
    let why = reasons.iter().map(|(reason, count)| format!("{count} for {reason}"));
    let (kept, why) = (rounds.len() - dropped, why.collect::<Vec<_>>().join(", "));
    format!("{kept} of {} kept; dropped: {why}", plural(rounds.len(), "round"))
}
