//! The loop in a synthetic world: time passes only when a contestant, a probe or a settle says so.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::measure::{CaseResult, Sample};

mod disturbed;

/// A machine whose clock, noise and surroundings a test sets.
struct World {
    now_ns: Cell<u64>,
    rng: RefCell<ChaCha8Rng>,
    /// Readings of the environment so far: two a round.
    readings: Cell<u64>,
    /// Rounds, from 0, in which the hypervisor steals.
    stolen_rounds: Box<dyn Fn(u64) -> bool>,
    stolen: Cell<u64>,
}

impl World {
    fn new(stolen_rounds: impl Fn(u64) -> bool + 'static) -> Rc<Self> {
        let rng = RefCell::new(ChaCha8Rng::seed_from_u64(11));
        let (now_ns, readings, stolen) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Rc::new(Self {
            now_ns,
            rng,
            readings,
            stolen_rounds: Box::new(stolen_rounds),
            stolen,
        })
    }

    fn pass(&self, ns: f64) {
        self.now_ns.set(self.now_ns.get() + ns.round() as u64);
    }

    /// A contestant of `call_ns` a call, slowed by `drift(now in s)` and 1 percent of skewed noise a sample.
    fn contestant(self: &Rc<Self>, name: &str, call_ns: f64, drift: fn(f64) -> f64) -> Contestant<'static> {
        let world = Rc::clone(self);
        Contestant::new(name, 0.5, move |calls| {
            let noise = 1.0 - 0.01 * (1.0 - world.rng.borrow_mut().random::<f64>()).ln();
            world.pass(calls as f64 * call_ns * noise * drift(world.now_ns.get() as f64 / 1e9));
        })
    }

    fn contest(self: &Rc<Self>, options: Options, probe: impl FnMut() -> f64 + 'static) -> Contest<'static> {
        Contest::with(options, 1, Rc::clone(self), Rc::clone(self), probe)
    }
}

impl Clock for Rc<World> {
    fn now_ns(&mut self) -> u64 {
        self.now_ns.get()
    }
}

impl Environment for Rc<World> {
    fn read(&mut self) -> Reading {
        let reading = self.readings.replace(self.readings.get() + 1);
        if reading % 2 == 1 && (self.stolen_rounds)(reading / 2) {
            self.stolen.set(self.stolen.get() + 10);
        }
        Reading {
            stolen_of_wanted: Some((self.stolen.get(), 20 * reading)),
            ..Reading::default()
        }
    }

    fn spent_ns(&mut self, _: u32) -> Option<u64> {
        None
    }
}

fn steady(_at_s: f64) -> f64 {
    1.0
}

fn case<'a>(name: &str, contestants: Vec<Contestant<'a>>) -> Vec<Lineup<'a>> {
    vec![Lineup {
        name: name.into(),
        x: 1.0,
        work: 1e6,
        contestants,
    }]
}

fn ratio(results: &[CaseResult], contestant: &str, peer: &str) -> (f64, (f64, f64)) {
    let result = results.iter().find(|result| result.contestant == contestant).unwrap();
    let ratio = result.ratios.iter().find(|ratio| ratio.peer == peer).unwrap();
    (ratio.median, ratio.interval)
}

#[test]
fn finds_three_percent_under_a_drift_that_misleads_one_after_the_other() {
    // The machine is half as fast after a second.
    let drift = |at_s: f64| 1.0 + at_s;
    for order in [Order::Mirrored, Order::Random(3)] {
        let world = World::new(|_| false);
        let mut contest = world.contest(
            Options {
                order,
                ..Options::full()
            },
            || 100.0,
        );
        let fast = world.contestant("fast", 100e3, drift);
        contest
            .run(case("c", vec![fast, world.contestant("slow", 103e3, drift)]))
            .unwrap();
        let bench = contest.finish(Unit::Flop);
        let (median, (low, high)) = ratio(&bench.cases[0].results, "fast", "slow");
        assert!((median - 1.03).abs() < 0.006, "{order:?}: {median}");
        assert!(1.0 < low && low <= median && median <= high, "{order:?}: {low} {high}");
        let (inverse, _) = ratio(&bench.cases[0].results, "slow", "fast");
        assert!((inverse - 1.0 / 1.03).abs() < 0.006, "{order:?}: {inverse}");
    }

    // All samples of one, then all of the other, as sequential benches do: the slower one, first, looks faster.
    let world = World::new(|_| false);
    let block_ns = |contestant: &mut Contestant<'_>| {
        let before_ns = world.now_ns.get();
        (0..40).for_each(|_| _ = (contestant.run)(20));
        world.now_ns.get() - before_ns
    };
    let slow_ns = block_ns(&mut world.contestant("slow", 103e3, drift));
    assert!(slow_ns < block_ns(&mut world.contestant("fast", 100e3, drift)));
}

#[test]
fn the_order_of_a_round_favours_nobody() {
    // Who comes first after the probe finds a rested CPU: 6 percent faster. In a fixed order it is always the same one.
    let world = World::new(|_| false);
    let rested = Rc::new(Cell::new(true));
    let contestant = |name| {
        let (world, rested) = (Rc::clone(&world), Rc::clone(&rested));
        Contestant::new(name, 0.0, move |calls| {
            let noise = 1.0 + 0.02 * world.rng.borrow_mut().random::<f64>();
            world.pass(calls as f64 * 30e6 * noise * if rested.replace(false) { 0.94 } else { 1.0 });
        })
    };
    let after_probe = Rc::clone(&rested);
    let probe = move || {
        after_probe.set(true);
        100.0
    };
    let mut contest = world.contest(Options::full(), probe);
    contest.run(case("c", vec![contestant("a"), contestant("b")])).unwrap();
    let bench = contest.finish(Unit::Flop);
    let (median, (low, high)) = ratio(&bench.cases[0].results, "a", "b");
    assert!(
        (median - 1.0).abs() < 0.01 && low < 1.0 && 1.0 < high,
        "{median} {low} {high}"
    );
}

#[test]
fn samples_are_long_enough_and_settling_is_not_timed() {
    let world = World::new(|_| false);
    let settled = Rc::new(Cell::new(0));
    let mut contest = world
        .contest(
            Options {
                rounds: 8,
                ..Options::full()
            },
            || 100.0,
        )
        .settle({
            let (world, settled) = (Rc::clone(&world), Rc::clone(&settled));
            move || {
                settled.set(settled.get() + 1);
                world.pass(5e6);
            }
        });
    // Calibrated while slow: the first samples come out short, and the calls grow.
    let hurrying = |at_s: f64| if at_s < 0.02 { 4.0 } else { 1.0 };
    let contestants = vec![
        world.contestant("a", 50.0, hurrying),
        world.contestant("b", 7e6, steady),
    ];
    contest.run(case("c", contestants)).unwrap();
    let bench = contest.finish(Unit::Flop);
    assert_eq!(settled.get(), 2 + 8 * 4);
    let long_enough = |sample: &&Sample| sample.round == 0 || sample.elapsed_ns >= 2_000_000;
    assert_eq!(bench.samples.iter().filter(long_enough).count(), bench.samples.len());
    let [a, b] = bench.cases[0].results.as_slice() else {
        panic!("two results")
    };
    assert!(
        (50.0..53.0).contains(&a.min_ns) && (7e6..7.3e6).contains(&b.median_ns),
        "{a:?} {b:?}"
    );
    assert!(
        bench
            .samples
            .iter()
            .filter(|sample| sample.contestant == "b")
            .all(|sample| sample.calls == 1)
    );
}

#[test]
fn cases_run_together_can_be_compared() {
    let drift = |at_s: f64| 1.0 + at_s / 3.0;
    let world = World::new(|round| round == 2);
    let lineup = |name: &str, work, call_ns| Lineup {
        name: name.into(),
        x: work,
        work,
        contestants: vec![world.contestant("ours", call_ns, drift)],
    };
    let mut contest = world.contest(Options::full(), || 100.0);
    contest
        .run(vec![lineup("1024", 2e6, 20e3), lineup("1025", 2.02e6, 20.6e3)])
        .unwrap();
    contest.run(vec![lineup("alone", 2e6, 20e3)]).unwrap();
    let bench = contest.finish(Unit::Flop);
    let (median, interval) = paired_rates(&bench, ("1025", "ours"), ("1024", "ours")).unwrap();
    assert!((median - 1.01 / 1.03).abs() < 0.006 && interval.high < 1.0, "{median}");
    assert_eq!(
        paired_rates(&bench, ("alone", "ours"), ("1024", "ours")),
        None,
        "not in the same rounds"
    );
    assert_eq!(paired_rates(&bench, ("1024", "ours"), ("1024", "theirs")), None);
    assert_eq!(
        bench.rounds.iter().filter(|round| round.dropped.is_some()).count(),
        2,
        "one round, two cases"
    );
}

#[test]
fn bytes_are_measured_against_the_copy() {
    let world = World::new(|_| false);
    let mut contest = world.contest(Options::quick(), || 100.0);
    let contestants = vec![
        world.contestant("relu", 125e3, steady),
        world.contestant(COPY, 100e3, steady),
    ];
    contest.run(case("c", contestants)).unwrap();
    contest
        .run(case("d", vec![world.contestant("relu", 125e3, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Byte);
    let percent = |case: usize| bench.cases[case].results[0].percent_of_peak;
    assert!((percent(0) - 80.0).abs() < 0.5 && percent(1) == 0.0, "{}", percent(0));
}

#[test]
fn runs_on_the_real_machine() {
    let mut kept = 0;
    let options = Options {
        rounds: 3,
        budget: Duration::from_secs(2),
        ..Options::quick()
    };
    let mut contest = Contest::new(options, 1, Instant::now(), || 1.0).progress(|done, _| kept = done);
    let spin = |calls: u64| (0..calls).for_each(|call| _ = std::hint::black_box(call));
    contest
        .run(case("spin", vec![Contestant::new("spin", 0.0, spin)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    assert!(!bench.samples.is_empty());
    assert!(bench.rounds.windows(2).all(|pair| pair[0].at_s < pair[1].at_s));
    assert!(kept <= 3);
}
