//! What a contestant took in each undisturbed round.

use std::collections::BTreeMap;

use crate::measure::Bench;

/// Nanoseconds of one call by round: the mean over the contestant's turns in it.
pub(super) fn by_round(bench: &Bench, case: &str, contestant: &str) -> BTreeMap<u32, f64> {
    let kept = |round: u32| {
        let mut rounds = bench.rounds.iter().filter(|it| it.case == case && it.round == round);
        rounds.next().is_some_and(|it| it.dropped.is_none())
    };
    let mut turns: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    let samples = bench.samples.iter();
    for sample in samples.filter(|it| it.case == case && it.contestant == contestant && kept(it.round)) {
        let ns = sample.elapsed_ns as f64 / sample.calls as f64;
        turns.entry(sample.round).or_default().push(ns);
    }
    let mean = |turns: Vec<f64>| turns.iter().sum::<f64>() / turns.len() as f64;
    turns.into_iter().map(|(round, turns)| (round, mean(turns))).collect()
}

/// The median; `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    let upper = *values.get(middle)?;
    Some(if odd { upper } else { (values[middle - 1] + upper) / 2.0 })
}
