//! The timing loop: contestants take turns in every round, so that what drifts drifts for all of them.
//!
//! ```text
//! probe  A B C C B A  probe  B C A A C B  probe  ...      mirrored: what drifts evenly cancels within each round
//!        `-- read the environment before and after, judge the round by it and by the probes on either side
//! ```
//!
//! A round that was disturbed from outside is dropped and redone: the hypervisor stole time, another process took the
//! contestant's CPU, or a probe beside it fell below its floor ([`PEAK_FLOOR`], [`CACHE_FLOOR`]) of the best that the run has seen. A round is **never**
//! dropped for its own time, and every sample, dropped or not, stays in the record.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::record::{Bench, Case, Round, Sample};

mod clock;
mod environment;
mod options;
mod order;
mod rounds;
mod summary;
#[cfg(test)]
mod tests;

pub use clock::{Clock, Monotonic};
pub use environment::{Environment, Preempted, Reading, System};
pub use options::Options;
pub use order::Order;
use rounds::{Entry, WARM_BELOW_NS};
pub use summary::{COPY, Unit, drops, paired_rates, rate_shown};

/// A round counts only if the FMA probe on both sides reached this share of the best seen in the run.
pub const PEAK_FLOOR: f64 = 0.9;

/// The same for the cache probe, which is the noisier one: neighbours who take the caches cost it half and more.
pub const CACHE_FLOOR: f64 = 0.8;

/// What the probes gave at one moment.
#[derive(Debug, Clone, Copy)]
struct Probes {
    gflops: f64,
    /// GB/s from the caches, if that is probed.
    cache_gbs: Option<f64>,
}

/// Where a contestant works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In this process.
    Here,
    /// In another process of this machine.
    Process(u32),
    /// On a card, which goes on while this process waits for a CPU.
    Card,
}

/// One who takes part in a case.
pub struct Contestant<'a> {
    name: String,
    error_over_bound: f64,
    place: Place,
    /// The time that it took as the contestant itself measured it, ns, if it does.
    run: Box<dyn FnMut(u64) -> Option<u64> + 'a>,
}

impl<'a> Contestant<'a> {
    /// `run(calls)` runs the case `calls` times. `error_over_bound` is what the check of its answer gave, which the
    /// caller makes before timing.
    pub fn new(name: impl Into<String>, error_over_bound: f64, mut run: impl FnMut(u64) + 'a) -> Self {
        Self {
            name: name.into(),
            error_over_bound,
            place: Place::Here,
            run: Box::new(move |calls| {
                run(calls);
                None
            }),
        }
    }

    /// One who works in another `process`: `run(calls)` gives the time that the calls took there, ns, so that the way there and back
    /// is charged to nobody.
    pub fn elsewhere(
        name: impl Into<String>,
        process: u32,
        error_over_bound: f64,
        run: impl FnMut(u64) -> u64 + 'a,
    ) -> Self {
        Self::timed(Place::Process(process), name, error_over_bound, run)
    }

    /// One who works on a card: `run(calls)` gives the time that the calls took by the card's own clock, ns. What holds this process up
    /// meanwhile is no disturbance.
    pub fn on_card(name: impl Into<String>, error_over_bound: f64, run: impl FnMut(u64) -> u64 + 'a) -> Self {
        Self::timed(Place::Card, name, error_over_bound, run)
    }

    fn timed(
        place: Place,
        name: impl Into<String>,
        error_over_bound: f64,
        mut run: impl FnMut(u64) -> u64 + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            error_over_bound,
            place,
            run: Box::new(move |calls| Some(run(calls))),
        }
    }

    /// Runs it so many times: the time that this took as the contestant itself measured it, ns, if it does.
    pub fn call(&mut self, calls: u64) -> Option<u64> {
        (self.run)(calls)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far its answer lies from the right one, in bounds.
    pub fn error_over_bound(&self) -> f64 {
        self.error_over_bound
    }
}

/// A case and who takes part in it, ours first.
pub struct Lineup<'a> {
    /// Name of the case.
    pub name: String,
    /// Its place on a chart's x axis.
    pub x: f64,
    /// Work of one call, in the [`Unit`] given to [`Contest::finish`].
    pub work: f64,
    /// Who takes part.
    pub contestants: Vec<Contestant<'a>>,
}

/// A case that has been run: its names and errors wait for [`Contest::finish`], since the best probe may still come.
struct Played {
    case: Case,
    contestants: Vec<(String, f64)>,
    /// Why its run ended before all rounds were had.
    ended: Option<String>,
}

/// Runs cases and collects a [`Bench`].
///
/// ```
/// use std::time::Instant;
/// use tilelab::measure::{Contest, Contestant, Lineup, Options, Unit};
/// let sum = |data: Vec<f32>| move |calls| (0..calls).for_each(|_| _ = std::hint::black_box(data.iter().sum::<f32>()));
/// let probe = || 100.0; // stands for the FMA peak, measured
/// let mut contest = Contest::new(Options { rounds: 3, ..Options::quick() }, 1, Instant::now(), probe);
/// let contestants = vec![
///     Contestant::new("short", 0.0, sum(vec![1.0; 1000])),
///     Contestant::new("long", 0.0, sum(vec![1.0; 2000])),
/// ];
/// contest.run(vec![Lineup { name: "sums".into(), x: 1000.0, work: 1000.0, contestants }])?;
/// let bench = contest.finish(Unit::Flop);
/// assert_eq!(bench.cases[0].results[0].ratios[0].peer, "long");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Contest<'a> {
    options: Options,
    threads: usize,
    clock: Box<dyn Clock + 'a>,
    environment: Box<dyn Environment + 'a>,
    probe: Box<dyn FnMut() -> f64 + 'a>,
    best_probe: f64,
    /// GFLOP/s of one thread, and how many times that the probe must give.
    least_probe: Option<(f64, f64)>,
    cache_probe: Option<Box<dyn FnMut() -> f64 + 'a>>,
    best_cache_probe: f64,
    settle: Box<dyn FnMut() + 'a>,
    progress: Box<dyn FnMut(u32, u32) + 'a>,
    played: Vec<Played>,
    rounds: Vec<Round>,
    samples: Vec<Sample>,
}

impl<'a> Contest<'a> {
    /// A contest on this machine, of contestants with `threads` worker threads each. Rounds are dated from `started`,
    /// the record's start. `probe` measures the FMA peak of as many threads, GFLOP/s, in a few hundred microseconds.
    pub fn new(options: Options, threads: usize, started: Instant, probe: impl FnMut() -> f64 + 'a) -> Self {
        Self::with(options, threads, Monotonic::since(started), System::new(), probe)
    }

    /// [`Contest::new`] under another clock and environment, as tests need.
    pub fn with(
        options: Options,
        threads: usize,
        clock: impl Clock + 'a,
        environment: impl Environment + 'a,
        probe: impl FnMut() -> f64 + 'a,
    ) -> Self {
        Self {
            options,
            threads,
            clock: Box::new(clock),
            environment: Box::new(environment),
            probe: Box::new(probe),
            best_probe: 0.0,
            least_probe: None,
            cache_probe: None,
            best_cache_probe: 0.0,
            settle: Box::new(|| ()),
            progress: Box::new(|_, _| ()),
            played: Vec::new(),
            rounds: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Takes this probe beside the other: GB/s from a buffer that lives in the caches, in a few hundred microseconds.
    /// Neighbours that take the caches leave the FMA rate as it was.
    pub fn cache_probe(mut self, probe: impl FnMut() -> f64 + 'a) -> Self {
        self.cache_probe = Some(Box::new(probe));
        self
    }

    /// Drops rounds whose probes gave less than `times` what one thread gives, `one_gflops`: a machine's second core comes
    /// and goes.
    pub fn at_least(mut self, times: f64, one_gflops: f64) -> Self {
        self.least_probe = Some((one_gflops, times));
        self
    }

    /// Runs `settle` after each turn, not timed: it parks a contestant's threads before the next one's turn.
    pub fn settle(mut self, settle: impl FnMut() + 'a) -> Self {
        self.settle = Box::new(settle);
        self
    }

    /// Calls `progress(kept, wanted)` after each round, not timed.
    pub fn progress(mut self, progress: impl FnMut(u32, u32) + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Runs these cases together, all contestants of all of them in every round, until each has the rounds wanted.
    ///
    /// One case at a time keeps rounds short. Several at once can be compared with one another by [`paired_rates`].
    ///
    /// # Errors
    /// If there is no contestant, a name is there twice, no round is wanted, or the probe gives no rate.
    pub fn run(&mut self, lineups: Vec<Lineup<'_>>) -> Result<()> {
        ensure!(self.options.rounds > 0, "a contest needs at least one round");
        let start_ns = self.clock.now_ns();
        let first_round = self.rounds.len();
        let first_played = self.played.len();
        let mut entries = Vec::new();
        for lineup in lineups {
            self.enter(lineup, &mut entries)?;
        }
        ensure!(!entries.is_empty(), "a contest needs contestants");
        let mut fastest_ns = f64::INFINITY;
        for entry in &mut entries {
            fastest_ns = fastest_ns.min(self.calibrate(entry));
        }
        let warm = fastest_ns < WARM_BELOW_NS;

        let mut probe = self.probe()?;
        let mut longest_ns = 0;
        let mut number = 0;
        let ended = loop {
            let kept = self.kept(&entries[0].case);
            (self.progress)(kept, self.options.rounds);
            let spent = Duration::from_nanos(self.clock.now_ns() - start_ns + longest_ns);
            if kept >= self.options.rounds {
                break None;
            } else if number - kept > self.options.max_redo {
                break Some(format!(
                    "{} rounds were redone, which is all that may be",
                    self.options.max_redo
                ));
            } else if number > 0 && spent > self.options.budget {
                break Some(format!("its {} s were over", self.options.budget.as_secs_f64()));
            }
            let turns = self.options.order.turns(entries.len(), number);
            let round_ns = self.clock.now_ns();
            probe = self.round(number, &turns, &mut entries, (warm, probe))?;
            longest_ns = longest_ns.max(self.clock.now_ns() - round_ns);
            number += 1;
            self.judge_by_best_probe(first_round);
        };
        self.played[first_played..]
            .iter_mut()
            .for_each(|played| played.ended.clone_from(&ended));
        Ok(())
    }

    /// Computes the results over the kept rounds, by the best probe of the whole run.
    pub fn finish(mut self, unit: Unit) -> Bench {
        self.judge_by_best_probe(0);
        let mut bench = Bench {
            threads: self.threads,
            unit: unit.id().to_owned(),
            peak_gflops: self.best_probe,
            cases: Vec::new(),
            rounds: self.rounds,
            samples: self.samples,
            comparisons: Vec::new(),
            notes: Vec::new(),
        };
        for mut played in self.played {
            let name = &played.case.name;
            let disturbed = self.options.or_disturbed && summary::kept(name, &bench.rounds).next().is_none();
            let note = summary::shortfall(name, &self.options, played.ended, &bench.rounds);
            played.case.results = summary::results(&played.case, &played.contestants, &bench, disturbed);
            bench.notes.extend(note);
            bench.cases.push(played.case);
        }
        bench
    }

    /// Takes a case apart into entries, checking its names.
    fn enter<'b>(&mut self, lineup: Lineup<'b>, entries: &mut Vec<Entry<'b>>) -> Result<()> {
        let Lineup {
            name,
            x,
            work,
            contestants,
        } = lineup;
        ensure!(
            self.played.iter().all(|played| played.case.name != name),
            "the case {name} is there twice"
        );
        ensure!(!contestants.is_empty(), "the case {name} has no contestants");
        let mut names: Vec<(String, f64)> = Vec::new();
        for contestant in contestants {
            let taken = names.iter().any(|(other, _)| *other == contestant.name);
            ensure!(!taken, "{} is there twice in the case {name}", contestant.name);
            names.push((contestant.name.clone(), contestant.error_over_bound));
            entries.push(Entry {
                case: name.clone(),
                contestant,
                calls: 1,
            });
        }
        let case = Case {
            name,
            x,
            work,
            results: Vec::new(),
        };
        self.played.push(Played {
            case,
            contestants: names,
            ended: None,
        });
        Ok(())
    }
}
