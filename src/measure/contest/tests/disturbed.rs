//! Rounds dropped, redone and given up, and contests that are none.

use super::*;

#[test]
fn disturbed_rounds_are_dropped_redone_and_counted() {
    let world = World::new(|round| [0, 3, 4].contains(&round));
    let options = Options {
        rounds: 10,
        ..Options::full()
    };
    let mut contest = world.contest(options, || 100.0);
    contest
        .run(case("c", vec![world.contestant("a", 1e6, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    let dropped: Vec<u32> = bench
        .rounds
        .iter()
        .filter(|round| round.dropped.is_some())
        .map(|r| r.round)
        .collect();
    assert_eq!((bench.rounds.len(), dropped), (13, vec![0, 3, 4]));
    assert_eq!(drops(&bench.rounds).get("steal"), Some(&3));
    assert_eq!(
        bench.cases[0].results[0].samples, 20,
        "two turns in each of ten kept rounds"
    );
    assert_eq!(bench.samples.len(), 26, "the record keeps what was dropped");
    assert!(bench.notes.is_empty());
}

#[test]
fn nothing_is_ever_dropped_for_its_own_time() {
    let world = World::new(|_| false);
    let wild = {
        let world = Rc::clone(&world);
        Contestant::new("wild", 0.0, move |calls| {
            let slow = if world.readings.get() % 10 == 1 { 500.0 } else { 1.0 };
            world.pass(calls as f64 * 3e6 * slow);
        })
    };
    let mut contest = world.contest(
        Options {
            rounds: 20,
            ..Options::full()
        },
        || 100.0,
    );
    contest.run(case("c", vec![wild])).unwrap();
    let bench = contest.finish(Unit::Flop);
    assert_eq!(bench.rounds.len(), 20);
    assert!(bench.rounds.iter().all(|round| round.dropped.is_none()));
    assert!(
        bench
            .samples
            .iter()
            .any(|sample| sample.elapsed_ns / sample.calls > 1_000_000_000)
    );
    assert_eq!(bench.cases[0].results[0].samples, bench.samples.len());
}

#[test]
fn a_better_probe_later_drops_what_came_before_it() {
    let world = World::new(|_| false);
    let mut count = 0;
    let mut contest = world.contest(
        Options {
            rounds: 10,
            ..Options::full()
        },
        move || {
            count += 1;
            if count <= 5 { 80.0 } else { 100.0 }
        },
    );
    contest
        .run(case("c", vec![world.contestant("a", 1e6, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    // Probes 1 to 5 stand beside rounds 0 to 4: round 4 has one of each on its sides.
    let dropped: Vec<u32> = bench
        .rounds
        .iter()
        .filter(|round| round.dropped.is_some())
        .map(|r| r.round)
        .collect();
    assert_eq!(
        (bench.rounds.len(), dropped, bench.peak_gflops),
        (15, vec![0, 1, 2, 3, 4], 100.0)
    );
    assert_eq!(bench.rounds[4].peak_gflops, 80.0);
    let result = &bench.cases[0].results[0];
    assert!((result.percent_of_peak - 100.0 * (1e6 / result.min_ns) / 100.0).abs() < 1e-9);
}

#[test]
fn gives_up_in_a_storm_and_says_so() {
    let world = World::new(|round| round % 4 != 0);
    let options = Options {
        rounds: 10,
        max_redo: 6,
        ..Options::full()
    };
    let mut contest = world.contest(options, || 100.0);
    contest
        .run(case("c", vec![world.contestant("a", 1e6, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    assert_eq!(bench.cases[0].results[0].samples, 2 * 3);
    assert_eq!(
        bench.notes,
        ["c: 3 of 10 rounds, because 6 rounds were redone, which is all that may be; disturbed: steal 7"]
    );

    let world = World::new(|_| true);
    let mut contest = world.contest(
        Options {
            rounds: 10,
            max_redo: 2,
            ..Options::full()
        },
        || 100.0,
    );
    contest
        .run(case("c", vec![world.contestant("a", 1e6, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    assert!(bench.cases[0].results.is_empty() && bench.notes[0].starts_with("c: 0 of 10"));
    let json = serde_json::to_string(&bench).unwrap();
    assert_eq!(
        serde_json::from_str::<Bench>(&json).unwrap(),
        bench,
        "no NaN, which JSON would lose"
    );
}

#[test]
fn keeps_its_budget() {
    let world = World::new(|_| false);
    let options = Options {
        budget: Duration::from_millis(100),
        ..Options::full()
    };
    let mut contest = world.contest(options.clone(), || 100.0);
    contest
        .run(case("c", vec![world.contestant("a", 12e6, steady)]))
        .unwrap();
    assert!(world.now_ns.get() <= 100_000_000, "{} ns", world.now_ns.get());
    contest
        .run(case("slow", vec![world.contestant("a", 1e9, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    assert!(
        bench.rounds.len() > 2 && bench.notes[0].contains("because its 0.1 s were over"),
        "{:?}",
        bench.notes
    );
    assert_eq!(bench.cases[1].results[0].samples, 2, "one round in any case");
}

#[test]
fn what_makes_no_contest_is_refused() {
    let world = World::new(|_| false);
    let a = || world.contestant("a", 1e6, steady);
    let mut contest = world.contest(
        Options {
            rounds: 2,
            ..Options::full()
        },
        || 100.0,
    );
    contest.run(case("c", vec![a()])).unwrap();
    let told = |result: Result<()>| result.unwrap_err().to_string();
    assert_eq!(told(contest.run(case("c", vec![a()]))), "the case c is there twice");
    assert_eq!(
        told(contest.run(case("d", vec![a(), a()]))),
        "a is there twice in the case d"
    );
    assert_eq!(told(contest.run(case("e", vec![]))), "the case e has no contestants");
    assert_eq!(told(contest.run(vec![])), "a contest needs contestants");
    let mut blind = world.contest(Options::full(), || f64::NAN);
    assert_eq!(told(blind.run(case("c", vec![a()]))), "the FMA probe gave NaN GFLOP/s");
}

#[test]
fn a_first_look_shows_disturbed_rounds_only_if_there_is_nothing_else() {
    for (stolen_to, kept) in [(u64::MAX, 0), (3, 2)] {
        let world = World::new(move |round| round < stolen_to);
        let options = Options {
            rounds: 2,
            max_redo: 4,
            ..Options::quick()
        };
        let mut contest = world.contest(options, || 100.0);
        contest
            .run(case("c", vec![world.contestant("a", 1e6, steady)]))
            .unwrap();
        let bench = contest.finish(Unit::Flop);
        assert_eq!(
            bench.rounds.iter().filter(|round| round.dropped.is_none()).count(),
            kept
        );
        assert_eq!(
            bench.cases[0].results[0].samples,
            if kept == 0 { 2 * 5 } else { 2 * kept }
        );
        assert_eq!(
            bench.notes.iter().any(|note| note.ends_with("prove nothing")),
            kept == 0,
            "{:?}",
            bench.notes
        );
    }
}

#[test]
fn one_low_probe_is_tried_again_and_a_lasting_one_believed() {
    let dropped = |low: fn(u32) -> bool| {
        let world = World::new(|_| false);
        let mut count = 0;
        let mut contest = world.contest(
            Options {
                rounds: 10,
                ..Options::full()
            },
            move || {
                count += 1;
                if low(count) { 70.0 } else { 100.0 }
            },
        );
        contest
            .run(case("c", vec![world.contestant("a", 1e6, steady)]))
            .unwrap();
        contest
            .finish(Unit::Flop)
            .rounds
            .iter()
            .filter(|round| round.dropped.is_some())
            .count()
    };
    assert_eq!(dropped(|probe| probe % 4 == 3), 0);
    assert_eq!(
        dropped(|probe| (5..8).contains(&probe)),
        2,
        "the rounds before and after it"
    );
}

#[test]
fn neighbours_in_the_caches_drop_rounds_that_the_fma_probe_leaves() {
    let world = World::new(|_| false);
    let mut count = 0;
    let options = Options {
        rounds: 10,
        ..Options::full()
    };
    // Tries 4 to 6 are those of one probe, between the third round and the fourth.
    let caches = move || {
        count += 1;
        if (4..=6).contains(&count) { 30.0 } else { 50.0 }
    };
    let mut contest = world.contest(options, || 100.0).cache_probe(caches);
    contest
        .run(case("c", vec![world.contestant("a", 1e6, steady)]))
        .unwrap();
    let bench = contest.finish(Unit::Flop);
    let dropped: Vec<u32> = bench
        .rounds
        .iter()
        .filter(|round| round.dropped.is_some())
        .map(|round| round.round)
        .collect();
    assert_eq!((bench.rounds.len(), dropped), (12, vec![2, 3]));
    assert_eq!(bench.rounds[2].cache_gbs, Some(30.0));
    assert_eq!(drops(&bench.rounds).get("cache probe"), Some(&2));
}
