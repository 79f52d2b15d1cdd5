//! One round of a [`Contest`], from calibration to judgement.

use anyhow::{Result, ensure};

use super::environment::Elsewhere;
use super::{CACHE_FLOOR, Contest, Contestant, PEAK_FLOOR, Place, Probes, environment, summary};
use crate::measure::record::{Round, Sample};

/// Where every call is faster than this, each sample is preceded by one call that is not timed, which wakes the
/// contestant's threads and takes the caches back. Longer calls do that in a small share of their own time.
pub(super) const WARM_BELOW_NS: f64 = 10e6;

/// Ends calibration of a contestant whose calls take no measurable time.
const MAX_CALLS: u64 = 1 << 30;

/// How often a low probe is tried.
const PROBE_TRIES: usize = 3;

/// A contestant while its case runs.
pub(super) struct Entry<'a> {
    pub case: String,
    pub contestant: Contestant<'a>,
    pub calls: u64,
}

impl Contest<'_> {
    /// Warms a contestant up and sets the calls of a sample. Gives the time of its fastest call, ns.
    pub(super) fn calibrate(&mut self, entry: &mut Entry<'_>) -> f64 {
        let wanted_ns = self.options.min_sample.as_nanos() as f64;
        (entry.contestant.run)(1); // touches pages, starts threads
        let mut call_ns = f64::INFINITY;
        loop {
            let elapsed_ns = self.time(entry) as f64;
            call_ns = call_ns.min(elapsed_ns / entry.calls as f64);
            if elapsed_ns >= wanted_ns || entry.calls >= MAX_CALLS {
                break;
            }
            entry.calls = more_calls(entry.calls, elapsed_ns, wanted_ns);
        }
        // By the fastest, since a disturbed calibration would leave samples too short.
        entry.calls = ((1.1 * wanted_ns / call_ns).ceil() as u64).clamp(1, MAX_CALLS);
        (self.settle)();
        call_ns
    }

    fn time(&mut self, entry: &mut Entry<'_>) -> u64 {
        let before_ns = self.clock.now_ns();
        let told_ns = (entry.contestant.run)(entry.calls);
        told_ns.unwrap_or_else(|| self.clock.now_ns() - before_ns)
    }

    /// One turn: the time that the contestant took, and what it adds to the round's account if it works elsewhere.
    fn turn(&mut self, entry: &mut Entry<'_>, warm: bool, elsewhere: &mut Elsewhere) -> u64 {
        let place = entry.contestant.place;
        let process = match place {
            Place::Process(process) => Some(process),
            Place::Here | Place::Card => None,
        };
        let before = (place != Place::Here).then(|| self.environment.read());
        if warm {
            (entry.contestant.run)(1);
        }
        let spent_before = process.and_then(|process| self.environment.spent_ns(process));
        let elapsed_ns = self.time(entry);
        let spent = process.and_then(|process| self.environment.spent_ns(process));
        if let Some(before) = before {
            elsewhere.excused_ns += environment::waited_ns(&before, &self.environment.read());
        }
        // Several threads have several CPUs: what one lacked can't be told from what it slept.
        if let (Some(before), Some(after), 1) = (spent_before, spent, self.threads) {
            elsewhere.waited_ns += elapsed_ns.saturating_sub(after.saturating_sub(before));
        }
        elapsed_ns
    }

    /// Runs one round and records it. Gives the probe taken after it, which is the one before the next.
    pub(super) fn round(
        &mut self,
        number: u32,
        turns: &[usize],
        entries: &mut [Entry<'_>],
        lead: (bool, Probes),
    ) -> Result<Probes> {
        let (warm, probe_before) = lead;
        let before = self.environment.read();
        let start_ns = self.clock.now_ns();
        let mut elsewhere = Elsewhere::default();
        for (place, &turn) in turns.iter().enumerate() {
            let entry = &mut entries[turn];
            let elapsed_ns = self.turn(entry, warm, &mut elsewhere);
            self.samples.push(Sample {
                case: entry.case.clone(),
                contestant: entry.contestant.name.clone(),
                launch: 0,
                round: number,
                place: place as u32,
                calls: entry.calls,
                elapsed_ns,
            });
            // Kept all the same; the next ones are long enough again.
            let wanted_ns = self.options.min_sample.as_nanos() as f64;
            if (elapsed_ns as f64) < wanted_ns && entry.calls < MAX_CALLS {
                entry.calls = more_calls(entry.calls, elapsed_ns as f64, wanted_ns);
            }
            (self.settle)();
        }
        let elapsed_ns = self.clock.now_ns() - start_ns;
        let after = self.environment.read();
        let probe_after = self.probe()?;
        let disturbance = environment::disturbance(&before, &after, elapsed_ns, self.threads, elsewhere);
        let mut cases: Vec<&String> = entries.iter().map(|entry| &entry.case).collect();
        cases.dedup();
        for case in cases {
            self.rounds.push(Round {
                case: case.clone(),
                round: number,
                at_s: start_ns as f64 / 1e9,
                steal: environment::steal(&before, &after),
                load: after.load,
                peak_gflops: probe_before.gflops.min(probe_after.gflops),
                cache_gbs: match (probe_before.cache_gbs, probe_after.cache_gbs) {
                    (Some(before), Some(after)) => Some(f64::min(before, after)),
                    (before, after) => before.or(after),
                },
                dropped: disturbance.clone(),
            });
        }
        Ok(probe_after)
    }

    /// Takes the probes, again if one is low: one interrupt lasts long beside a few hundred microseconds, and says nothing
    /// about the machine. A lower clock, a busy sibling, an absent core or a neighbour in the caches stays for all tries.
    pub(super) fn probe(&mut self) -> Result<Probes> {
        let least = self.least_probe.map_or(0.0, |(one, times)| one * times);
        let gflops = best_of(&mut *self.probe, f64::max(PEAK_FLOOR * self.best_probe, least));
        ensure!(
            gflops.is_finite() && gflops > 0.0,
            "the FMA probe gave {gflops} GFLOP/s"
        );
        self.best_probe = gflops.max(self.best_probe);
        let mut cache_gbs = None;
        if let Some(probe) = &mut self.cache_probe {
            let gbs = best_of(&mut **probe, CACHE_FLOOR * self.best_cache_probe);
            ensure!(gbs.is_finite() && gbs > 0.0, "the cache probe gave {gbs} GB/s");
            self.best_cache_probe = gbs.max(self.best_cache_probe);
            cache_gbs = Some(gbs);
        }
        Ok(Probes { gflops, cache_gbs })
    }

    /// Drops rounds whose probe is below the floor of the best, which may have come after them.
    pub(super) fn judge_by_best_probe(&mut self, from: usize) {
        for round in self.rounds[from..].iter_mut().filter(|round| round.dropped.is_none()) {
            let share = round.peak_gflops / self.best_probe;
            if share < PEAK_FLOOR {
                round.dropped = Some(format!("FMA probe: {:.0} % of its best", 100.0 * share));
            }
            if let Some((one, times)) = self.least_probe
                && round.peak_gflops < one * times
                && round.dropped.is_none()
            {
                let got = round.peak_gflops / one;
                round.dropped = Some(format!("FMA probe: {got:.2} of one thread's, {times} wanted"));
            }
            let share = round.cache_gbs.map_or(1.0, |gbs| gbs / self.best_cache_probe);
            if share < CACHE_FLOOR && round.dropped.is_none() {
                round.dropped = Some(format!("cache probe: {:.0} % of its best", 100.0 * share));
            }
        }
    }

    pub(super) fn kept(&self, case: &str) -> u32 {
        summary::kept(case, &self.rounds).count() as u32
    }
}

/// The best of a few tries; the first that reaches `enough` ends them. NaN and what is no rate come through.
fn best_of(probe: &mut dyn FnMut() -> f64, enough: f64) -> f64 {
    let mut best = 0.0;
    for _ in 0..PROBE_TRIES {
        let rate = probe();
        if !(rate.is_finite() && rate > 0.0) {
            return rate;
        }
        best = rate.max(best);
        if best >= enough {
            break;
        }
    }
    best
}

/// Calls for the next try, when `calls` took less than the time wanted: at least twice as many.
fn more_calls(calls: u64, elapsed_ns: f64, wanted_ns: f64) -> u64 {
    let estimate = (1.2 * calls as f64 * wanted_ns / elapsed_ns.max(1.0)).ceil() as u64;
    estimate.clamp(calls + 1, calls * 64).min(MAX_CALLS)
}
