//! From rounds and samples to results: what a reader of the record could compute again.

use std::collections::{BTreeMap, HashMap};

use super::Options;
use crate::measure::record::{Bench, Case, CaseResult, Ratio, Round};
use crate::measure::statistics::{Interval, Ordered, StatisticsError, paired_ratio};

/// The contestant that copies as many bytes as the others move: the peak of a bench in bytes.
pub const COPY: &str = "copy";

/// What work is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Floating-point operations; the peak is the best FMA probe of the run.
    Flop,
    /// Bytes; the peak is the fastest sample of the case's contestant named [`COPY`].
    Byte,
    /// Samples that are learned from; of nothing is there a peak.
    Sample,
}

impl Unit {
    /// As [`Bench::unit`] spells it.
    pub fn id(self) -> &'static str {
        match self {
            Unit::Flop => "flop",
            Unit::Byte => "byte",
            Unit::Sample => "sample",
        }
    }
}

/// How a rate of a bench in `unit` is shown: its name, and what [`CaseResult::rate`] is multiplied by.
pub fn rate_shown(unit: &str) -> (String, f64) {
    match unit {
        "flop" => ("GFLOP/s".to_owned(), 1.0),
        "byte" => ("GB/s".to_owned(), 1.0),
        // Small networks learn from millions.
        "sample" => ("million samples/s".to_owned(), 1e3),
        unit => (format!("G{unit}/s"), 1.0),
    }
}

/// Results of a case over its kept rounds, or over all of them if also the `disturbed` count; one a contestant, none at
/// all if there is no such round.
pub(super) fn results(case: &Case, contestants: &[(String, f64)], bench: &Bench, disturbed: bool) -> Vec<CaseResult> {
    let turns = |(name, _): &(String, f64)| Turns::of(bench, &case.name, name, disturbed);
    let turns: Vec<Turns> = contestants.iter().map(turns).collect();
    let peak = if bench.unit == Unit::Flop.id() {
        Some(bench.peak_gflops)
    } else {
        contestants
            .iter()
            .position(|(name, _)| name == COPY)
            .map(|copy| case.work / turns[copy].min_ns)
    };
    let result = |at: usize| -> Result<CaseResult, StatisticsError> {
        let mine = &turns[at];
        let times = Ordered::new(&mine.times())?;
        let interval = times.median_interval();
        let mut ratios = Vec::new();
        for (peer, theirs) in turns.iter().enumerate().filter(|&(peer, _)| peer != at) {
            let (median, interval) = paired_ratio(&theirs.times(), &mine.times())?;
            ratios.push(Ratio {
                peer: contestants[peer].0.clone(),
                median,
                interval: (interval.low, interval.high),
            });
        }
        Ok(CaseResult {
            contestant: contestants[at].0.clone(),
            samples: mine.samples,
            median_ns: times.median(),
            min_ns: mine.min_ns,
            interval_ns: (interval.low, interval.high),
            rate: case.work / times.median(),
            percent_of_peak: peak.map_or(0.0, |peak| 100.0 * (case.work / mine.min_ns) / peak),
            ratios,
            error_over_bound: contestants[at].1,
        })
    };
    // Every contestant has a turn in every round, so either all have results or none.
    (0..contestants.len())
        .map(result)
        .collect::<Result<_, _>>()
        .unwrap_or_default()
}

/// Rate of one (case, contestant) over that of another, paired by round over the rounds that both cases kept and ran
/// together, in one call of [`super::Contest::run`]. Above 1: the first is faster. `None` if there is no such round.
pub fn paired_rates(bench: &Bench, first: (&str, &str), second: (&str, &str)) -> Option<(f64, Interval)> {
    let work = |name: &str| Some(bench.cases.iter().find(|case| case.name == name)?.work);
    let (first_work, second_work) = (work(first.0)?, work(second.0)?);
    let began: HashMap<(&str, u32), f64> = bench
        .rounds
        .iter()
        .map(|round| ((round.case.as_str(), round.round), round.at_s))
        .collect();
    let (mine, theirs) = (
        Turns::of(bench, first.0, first.1, false),
        Turns::of(bench, second.0, second.1, false),
    );
    let together = |round: &u32| began.get(&(first.0, *round)) == began.get(&(second.0, *round));
    let pairs = mine.rounds.iter().filter(|(round, _)| together(round));
    let pairs = pairs.filter_map(|(round, ns)| Some((first_work / ns, second_work / theirs.rounds.get(round)?)));
    let (first_rates, second_rates): (Vec<f64>, Vec<f64>) = pairs.unzip();
    paired_ratio(&first_rates, &second_rates).ok()
}

/// One contestant's turns in one case, in the rounds that count.
struct Turns {
    /// Time of one call, ns, by round: the mean over its turns in that round, which cancels drift when mirrored.
    rounds: BTreeMap<u32, f64>,
    /// Fastest sample's time of one call.
    min_ns: f64,
    samples: usize,
}

impl Turns {
    fn of(bench: &Bench, case: &str, contestant: &str, disturbed: bool) -> Self {
        let mut sums: BTreeMap<u32, (u64, u64)> = bench
            .rounds
            .iter()
            .filter(|round| round.case == case && (disturbed || round.dropped.is_none()))
            .map(|round| (round.round, (0, 0)))
            .collect();
        let (mut min_ns, mut samples) = (f64::INFINITY, 0);
        for sample in bench
            .samples
            .iter()
            .filter(|sample| sample.case == case && sample.contestant == contestant)
        {
            if let Some((elapsed_ns, calls)) = sums.get_mut(&sample.round) {
                *elapsed_ns += sample.elapsed_ns;
                *calls += sample.calls;
                min_ns = min_ns.min(sample.elapsed_ns as f64 / sample.calls as f64);
                samples += 1;
            }
        }
        let rounds = sums
            .into_iter()
            .map(|(round, (ns, calls))| (round, ns as f64 / calls as f64))
            .collect();
        Self {
            rounds,
            min_ns,
            samples,
        }
    }

    fn times(&self) -> Vec<f64> {
        self.rounds.values().copied().collect()
    }
}

/// The kept rounds of a case.
pub(super) fn kept<'a>(case: &'a str, rounds: &'a [Round]) -> impl Iterator<Item = &'a Round> {
    rounds
        .iter()
        .filter(move |round| round.case == case && round.dropped.is_none())
}

/// One sentence if a case has fewer rounds than wanted: how many, why it ended, what disturbed the others.
pub(super) fn shortfall(case: &str, options: &Options, ended: Option<String>, rounds: &[Round]) -> Option<String> {
    let kept = kept(case, rounds).count();
    if kept >= options.rounds as usize {
        return None;
    }
    let ended = ended.unwrap_or_else(|| "a later FMA probe was better".to_owned());
    let mut text = format!("{case}: {kept} of {} rounds, because {ended}", options.rounds);
    let dropped = drops(rounds.iter().filter(|round| round.case == case));
    if !dropped.is_empty() {
        let reasons: Vec<String> = dropped
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        text += &format!("; disturbed: {}", reasons.join(", "));
    }
    if kept == 0 && options.or_disturbed {
        text += "; its figures are those of the disturbed rounds and prove nothing";
    }
    Some(text)
}

/// How many rounds were dropped, by the kind of reason: `steal`, `preempted`, `FMA probe`.
pub fn drops<'a>(rounds: impl IntoIterator<Item = &'a Round>) -> BTreeMap<&'a str, usize> {
    let mut kinds = BTreeMap::new();
    for reason in rounds.into_iter().filter_map(|round| round.dropped.as_deref()) {
        *kinds.entry(reason.split(':').next().unwrap_or(reason)).or_default() += 1;
    }
    kinds
}
