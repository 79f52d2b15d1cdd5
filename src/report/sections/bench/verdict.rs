//! A bench in one sentence, and in one figure.

use crate::measure::{Bench, Case, CaseResult, Ratio};
use crate::report::format::{fixed, plural};
use crate::report::sections::{Headline, Tone, Verdict};

use super::{between, in_unit, is_flops, ours, peers, rate_unit, spread};

/// How ours did against every peer and the peak; wrong results before all else.
pub fn verdict(bench: &Bench) -> Verdict {
    let Some((_, first)) = ours(bench).next() else {
        let text = if bench.cases.is_empty() {
            "Nothing was timed."
        } else {
            "No round was left undisturbed, so there is no answer."
        };
        return Verdict::new(Tone::Bad, text);
    };
    let wrong = bench
        .cases
        .iter()
        .flat_map(|case| case.results.iter().map(move |result| (case, result)));
    let wrong: Vec<String> = wrong
        .filter(|(_, result)| is_wrong(result))
        .map(|(case, result)| format!("{} at {}", result.contestant, case.name))
        .collect();
    if !wrong.is_empty() {
        let text = format!(
            "Wrong results, so the times mean nothing: {} beyond the error bound.",
            wrong.join(", ")
        );
        return Verdict::new(Tone::Bad, text);
    }
    let mut clauses: Vec<String> = peers(bench).into_iter().map(|peer| against(bench, peer)).collect();
    if is_flops(bench) {
        let (low, high) = spread(ours(bench).map(|(_, result)| result.percent_of_peak));
        clauses.push(format!("{} of the measured FMA peak", between(low, high, 0, " %")));
    }
    Verdict::new(Tone::Plain, format!("{} {}.", first.contestant, clauses.join("; ")))
}

/// Whether a contestant computed something else than the oracle.
pub fn is_wrong(result: &CaseResult) -> bool {
    result.error_over_bound.is_nan() || result.error_over_bound > 1.0
}

/// How ours did against one peer, case by case: an interval that holds 1 decides nothing.
fn against(bench: &Bench, peer: &str) -> String {
    let ratios: Vec<(&Case, &Ratio)> = ours(bench)
        .flat_map(|(case, result)| result.ratios.iter().map(move |ratio| (case, ratio)))
        .filter(|(_, ratio)| ratio.peer == peer)
        .collect();
    let names = |pick: &dyn Fn(&Ratio) -> bool| -> Vec<&str> {
        ratios
            .iter()
            .filter(|(_, ratio)| pick(ratio))
            .map(|(case, _)| case.name.as_str())
            .collect()
    };
    let faster = names(&|ratio| ratio.interval.0 > 1.0);
    let slower = names(&|ratio| ratio.interval.1 < 1.0);
    let open = ratios.len() - faster.len() - slower.len();
    let (low, high) = spread(ratios.iter().map(|(_, ratio)| ratio.median));
    let outcome = |names: &[&str], word: &str| match names.len() {
        0 => None,
        all if all == ratios.len() => Some(format!("{word} in every case")),
        few if few <= 2 => Some(format!("{word} at {}", names.join(" and "))),
        many => Some(format!("{word} in {many} of {} cases", ratios.len())),
    };
    let open = (open > 0).then(|| format!("undecided in {}", plural(open, "case")));
    let parts: Vec<String> = [outcome(&faster, "faster"), outcome(&slower, "slower"), open]
        .into_iter()
        .flatten()
        .collect();
    let (parts, spread) = (parts.join(", "), between(low, high, 2, ""));
    format!("against {peer}: {parts} (median speed ratio {spread})")
}

/// Our best rate.
pub fn headline(bench: &Bench) -> Option<Headline> {
    let (case, best) = ours(bench)
        .filter(|(_, result)| result.rate.is_finite())
        .max_by(|a, b| a.1.rate.total_cmp(&b.1.rate))?;
    let rate = format!("{} {}", fixed(in_unit(bench, best.rate), 1), rate_unit(bench));
    Some(Headline {
        value: rate,
        label: format!("{}, {}", best.contestant, case.name),
    })
}
