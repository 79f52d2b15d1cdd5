//! The same plan gives the same study: in parallel, resumed, after a kill, after a failed trial.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tilelab::search::{Configuration, Outcome, Plan, Sampler, State, Study, Value};

use crate::{essence, grow, objective, plan};

fn jobs(sampler: Sampler, jobs: usize) -> Plan {
    Plan { jobs, ..plan(sampler) }
}

#[test]
fn fifteen_trials_and_fifteen_more_are_thirty() {
    for sampler in Sampler::ALL {
        for jobs in [1, 2] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("study");
            let plan = || self::jobs(sampler, jobs);
            let mut whole = Study::in_memory(plan()).unwrap();
            grow(&mut whole, 30, objective);
            grow(&mut Study::open(&path, plan()).unwrap().0, 15, objective);
            let (mut resumed, notes) = Study::open(&path, plan()).unwrap();
            assert!(notes.is_empty() && resumed.trials().len() == 15, "{notes:?}");
            grow(&mut resumed, 30, objective);
            assert_eq!(essence(&resumed), essence(&whole), "{sampler}, {jobs} jobs");
            drop(resumed);
            assert_eq!(
                essence(&Study::open(&path, plan()).unwrap().0),
                essence(&whole),
                "the file says the same"
            );
        }
    }
}

#[test]
fn trials_that_take_longer_change_nothing() {
    let mut quick = Study::in_memory(jobs(Sampler::Tpe, 3)).unwrap();
    grow(&mut quick, 40, objective);
    let mut slow = Study::in_memory(jobs(Sampler::Tpe, 3)).unwrap();
    grow(&mut slow, 40, |run| {
        std::thread::sleep(Duration::from_millis([0, 9, 3, 1, 7][run.task.number % 5]));
        objective(run)
    });
    assert_eq!(essence(&slow), essence(&quick));
    let mut alone = Study::in_memory(jobs(Sampler::Tpe, 1)).unwrap();
    grow(&mut alone, 40, objective);
    assert_ne!(essence(&alone), essence(&quick), "a trial of one job sees more");
}

/// A process that is killed leaves trials as they were: what a stop does, without writing anything.
#[test]
fn trials_of_a_killed_process_are_done_again_under_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study");
    let mut whole = Study::in_memory(jobs(Sampler::Tpe, 2)).unwrap();
    grow(&mut whole, 25, objective);
    let calls = AtomicUsize::new(0);
    for _ in 0..6 {
        let (mut study, _) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
        let dies = 4 + calls.load(Ordering::Relaxed);
        let limits = tilelab::search::Limits {
            trials: 25,
            retries: 1,
            timeout: None,
        };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let ended = tilelab::search::optimize(&mut study, limits, &stop, &mut |_, _| {}, &|run| {
            if calls.fetch_add(1, Ordering::Relaxed) >= dies {
                run.report(1, 3.0);
                stop.store(true, Ordering::Relaxed);
                return Outcome::Stopped;
            }
            objective(run)
        });
        assert!(ended.is_ok());
    }
    let (mut study, _) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
    assert!(
        study.trials().iter().any(|trial| trial.state == State::Running),
        "one was left"
    );
    grow(&mut study, 25, objective);
    assert_eq!(essence(&study), essence(&whole));
}

#[test]
fn failed_trials_are_kept_and_repeated_and_diverged_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study");
    let (mut study, _) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
    let broken = |run: &tilelab::search::Run<'_>| match run.task.number {
        3 => Outcome::Failed("the disk is full".to_owned()),
        5 => panic!("a trial that panics is a failed one"),
        7 => Outcome::Diverged("not finite".to_owned()),
        _ => objective(run),
    };
    grow(&mut study, 20, broken);
    let trials = study.trials();
    assert_eq!(trials.len(), 22, "twenty, and two again");
    assert!([3, 5, 7].iter().all(|&number| trials[number].state == State::Failed));
    for (again, number) in [(20, 3), (21, 5)] {
        assert_eq!(trials[again].retry_of(), Some(number));
        assert_eq!(trials[again].configuration, trials[number].configuration);
        assert!(trials[again].state.is_finished() && trials[again].state != State::Failed);
    }
    drop(study);
    let (mut study, _) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
    grow(&mut study, 20, |_| panic!("nothing is left to do"));
    assert_eq!(study.trials().len(), 22);
    grow(&mut study, 24, objective);
    assert_eq!(study.trials().len(), 26, "more trials come behind the repeated ones");
}

#[test]
fn one_that_fails_again_is_left_until_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study");
    let fails = |_: &tilelab::search::Run<'_>| Outcome::Failed("no memory".to_owned());
    for attempts in [2, 3] {
        let (mut study, _) = Study::open(&path, plan(Sampler::Random)).unwrap();
        grow(&mut study, 1, fails);
        assert_eq!(study.trials().len(), attempts, "one attempt more a run");
    }
    let (mut study, _) = Study::open(&path, plan(Sampler::Random)).unwrap();
    grow(&mut study, 1, objective);
    assert_eq!(study.best().unwrap().number, 3);
}

#[test]
fn given_configurations_come_first_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study");
    let given: Configuration = [
        ("lr".to_owned(), Value::Float(0.25)),
        ("batch".to_owned(), Value::Int(64)),
    ]
    .into();
    for taken in [1, 0] {
        let (mut study, _) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
        assert_eq!(study.enqueue(std::slice::from_ref(&given)).unwrap(), taken);
        grow(&mut study, 4, objective);
        let first = &study.trials()[0].configuration;
        assert!(given.iter().all(|(name, value)| first[name] == *value) && first.contains_key("epochs"));
        assert_eq!(study.trials().len(), 4);
    }
    let (mut study, _) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
    for (name, value, said) in [
        ("rate", Value::Float(0.1), "no such parameter"),
        ("lr", Value::Float(7.0), "lr=7"),
    ] {
        let error = study
            .enqueue(&[[(name.to_owned(), value)].into()])
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn another_plan_is_refused_by_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study");
    drop(Study::open(&path, plan(Sampler::Tpe)).unwrap());
    let mut other = plan(Sampler::Tpe);
    other.seed = 8;
    let mut lists = vec![(other, "--seed 7, not 8")];
    lists.push((plan(Sampler::Random), "--sampler tpe, not random"));
    let mut other = plan(Sampler::Tpe);
    other.objective.insert("--validation".to_owned(), "0.1".to_owned());
    lists.push((other, "--validation none, not 0.1"));
    let mut other = plan(Sampler::Tpe);
    other.space = tilelab::search::Space::new(other.space.parameters()[..4].to_vec()).unwrap();
    lists.push((other, "units_l1 differs"));
    for (plan, said) in lists {
        let error = Study::open(&path, plan).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("--study"), "{error}");
    }
    let (_, notes) = Study::open(&path, jobs(Sampler::Tpe, 2)).unwrap();
    assert!(notes[0].contains("--jobs 1"), "{notes:?}");
}
