//! What every sampler promises.

use std::collections::BTreeSet;

use tilelab::search::{
    Configuration, Direction, Domain, Outcome, Parameter, Plan, Pruner, Sampler, Space, State, Study, Value,
};

use crate::{grow, objective, objective_of, plan};

#[test]
fn maximising_suggests_what_minimising_the_negative_does() {
    for sampler in Sampler::ALL {
        let mut down = Study::in_memory(plan(sampler)).unwrap();
        grow(&mut down, 40, objective);
        let up = Plan {
            direction: Direction::Maximize,
            ..plan(sampler)
        };
        let mut up = Study::in_memory(up).unwrap();
        grow(&mut up, 40, |run| objective_of(run, -1.0));
        let told = |study: &Study| -> Vec<(State, Configuration)> {
            study
                .trials()
                .iter()
                .map(|trial| (trial.state, trial.configuration.clone()))
                .collect()
        };
        assert_eq!(told(&down), told(&up), "{sampler}");
        assert_eq!(down.best().unwrap().number, up.best().unwrap().number);
        assert!(sampler == Sampler::Grid || told(&down).iter().any(|(state, _)| *state == State::Pruned));
    }
}

#[test]
fn equal_ranges_stay_independent() {
    let float = |name: &str| Parameter {
        name: name.to_owned(),
        domain: Domain::Float {
            low: 0.0,
            high: 1.0,
            log: false,
            step: None,
        },
        when: None,
    };
    const SEEDS: u64 = 40;
    for sampler in [Sampler::Random, Sampler::Tpe] {
        let mut mean = 0.0;
        for seed in 0..SEEDS {
            let space = Space::new(vec![float("a"), float("b")]).unwrap();
            let pruner = Pruner::None;
            let mut study = Study::in_memory(Plan {
                space,
                pruner,
                seed,
                ..plan(sampler)
            })
            .unwrap();
            // Nothing is to be learned, so nothing may tie one to the other.
            grow(&mut study, 30, |run| {
                Outcome::Complete((run.task.number as f64 * 0.7 + seed as f64).sin())
            });
            let pair =
                |trial: &tilelab::search::Trial| ["a", "b"].map(|name| trial.configuration[name].number().unwrap());
            let pairs: Vec<[f64; 2]> = study.trials().iter().map(pair).collect();
            assert!(pairs.iter().all(|[a, b]| a != b), "{sampler}");
            mean += correlation(&pairs) / SEEDS as f64;
        }
        // A correlation is at most 1, so the mean of 40 has a standard error of at most 0.16; equal draws would have 1.
        assert!(mean.abs() < 0.5, "{sampler}: {mean}");
    }
}

fn correlation(pairs: &[[f64; 2]]) -> f64 {
    let mean = |i: usize| pairs.iter().map(|pair| pair[i]).sum::<f64>() / pairs.len() as f64;
    let product = |i: usize, j: usize| pairs.iter().map(|p| (p[i] - mean(i)) * (p[j] - mean(j))).sum::<f64>();
    product(0, 1) / (product(0, 0) * product(1, 1)).sqrt()
}

/// Outcomes that must not count as good, whatever their place: TPE must then stay away from where they are.
#[test]
fn pruned_failed_and_nan_trials_never_count_as_good() {
    let x = Domain::Float {
        low: 0.0,
        high: 1.0,
        log: false,
        step: None,
    };
    let space = Space::new(vec![Parameter {
        name: "x".to_owned(),
        domain: x,
        when: None,
    }])
    .unwrap();
    let bad: [fn(&tilelab::search::Run<'_>) -> Outcome; 4] = [
        |run| {
            // The best curve of all, and pruned nevertheless.
            run.report(1, -100.0);
            Outcome::Pruned
        },
        |_| Outcome::Complete(f64::NAN),
        |_| Outcome::Complete(f64::NEG_INFINITY),
        |_| Outcome::Diverged("nan".to_owned()),
    ];
    for (case, bad) in bad.into_iter().enumerate() {
        let plan = Plan {
            space: space.clone(),
            pruner: Pruner::None,
            ..plan(Sampler::Tpe)
        };
        let mut study = Study::in_memory(plan).unwrap();
        grow(&mut study, 80, |run| {
            let x = run.task.configuration["x"].number().unwrap();
            if x < 0.5 {
                bad(run)
            } else {
                Outcome::Complete((x - 0.9).abs())
            }
        });
        let low = |from: usize, to: usize| {
            let low = study.trials()[from..to].iter();
            low.filter(|trial| trial.configuration["x"].number().unwrap() < 0.5)
                .count()
        };
        assert!(
            low(0, 10) > 0 && low(40, 80) < 12,
            "case {case}: {} and {}",
            low(0, 10),
            low(40, 80)
        );
        let best = study.best().unwrap();
        assert!(
            best.state == State::Complete && best.value.unwrap() >= 0.0,
            "case {case}"
        );
    }
    // Where all fail there is no best, and no end without an answer.
    let mut study = Study::in_memory(plan(Sampler::Tpe)).unwrap();
    grow(&mut study, 15, |_| Outcome::Complete(f64::NAN));
    assert!(study.best().is_none() && study.trials().len() == 15);
}

#[test]
fn suggestions_lie_in_the_space_and_absent_parameters_are_not_sampled() {
    for sampler in Sampler::ALL {
        let mut study = Study::in_memory(plan(sampler)).unwrap();
        grow(&mut study, 60, objective);
        let space = study.plan().space.clone();
        for trial in study.trials() {
            let tried = &trial.configuration;
            for parameter in space.parameters() {
                let there = parameter.when.as_ref().is_none_or(|when| when.holds(tried));
                assert_eq!(
                    tried.contains_key(&parameter.name),
                    there,
                    "{sampler}: {}",
                    parameter.name
                );
                if let Some(value) = tried.get(&parameter.name) {
                    assert!(
                        parameter.domain.place(value).is_some(),
                        "{sampler}: {} {value}",
                        parameter.name
                    );
                }
            }
        }
    }
}

#[test]
fn logarithms_and_steps_are_uniform() {
    let mut study = Study::in_memory(Plan {
        pruner: Pruner::None,
        ..plan(Sampler::Random)
    })
    .unwrap();
    grow(&mut study, 800, |_| Outcome::Complete(0.0));
    let share = |inside: &dyn Fn(&Configuration) -> bool| {
        study
            .trials()
            .iter()
            .filter(|trial| inside(&trial.configuration))
            .count() as f64
            / 800.0
    };
    // Five standard errors of a share of 800.
    let near = |share: f64, known: f64| (share - known).abs() < 5.0 * (known * (1.0 - known) / 800.0).sqrt();
    for (from, to) in [(1e-4, 1e-3), (1e-3, 1e-2), (1e-2, 1e-1), (1e-1, 1.0)] {
        let inside = share(&|tried| (from..to).contains(&tried["lr"].number().unwrap()));
        assert!(near(inside, 0.25), "{from}..{to}: {inside}");
    }
    for units in (64..=512).step_by(64) {
        let inside = share(&|tried| tried["units_l0"] == Value::Int(units));
        assert!(near(inside, 0.125), "{units}: {inside}");
    }
}

#[test]
fn the_grid_visits_each_cell_once() {
    let mut study = Study::in_memory(Plan {
        pruner: Pruner::None,
        ..plan(Sampler::Grid)
    })
    .unwrap();
    // 3 rates x 8 units x (1 layer: none; 2 or 3 layers: 8 units more).
    assert_eq!(study.cells(), Some(3 * 8 * (1 + 2 * 8)));
    grow(&mut study, usize::MAX, |_| Outcome::Complete(0.0));
    let cells: BTreeSet<String> = study
        .trials()
        .iter()
        .map(|trial| format!("{:?}", trial.configuration))
        .collect();
    assert_eq!((study.trials().len(), cells.len()), (408, 408));
    let again = Study::in_memory(plan(Sampler::Grid)).unwrap();
    assert_eq!(again.cells(), study.cells());
}

#[test]
fn tpe_learns() {
    let best = |sampler| {
        let mut study = Study::in_memory(Plan {
            pruner: Pruner::None,
            ..plan(sampler)
        })
        .unwrap();
        grow(&mut study, 60, objective);
        study.best().unwrap().value.unwrap()
    };
    let (tpe, random) = (best(Sampler::Tpe), best(Sampler::Random));
    assert!(tpe < random, "{tpe} with TPE, {random} at random");
}
