//! Optuna loads a study of ours, finds the same best trial, and the same parameters important.

use std::process::Command;

use serde_json::Value as Json;
use tilelab::search::anova::Anova;
use tilelab::search::{Domain, Outcome, Plan, Pruner, Sampler, Space, State, Study, Value};

use crate::support::needs;
use crate::{grow, objective, plan};

/// The interpreter, if it has Optuna and what its importance needs.
fn python() -> Option<String> {
    let python = std::env::var("TILELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import optuna, sklearn"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    needs(
        "Python with optuna and scikit-learn (TILELAB_PYTHON names the interpreter)",
        there,
    )
    .then_some(python)
}

#[test]
fn optuna_finds_the_same_best_trial_and_the_same_importance() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    // Optuna's importance integrates over plain values, ours over the axis that is searched: here they are the same.
    let mut parameters = plan(Sampler::Random).space.parameters().to_vec();
    parameters[0].domain = Domain::Float {
        low: 0.01,
        high: 0.3,
        log: false,
        step: None,
    };
    let space = Space::new(parameters).unwrap();
    let plan = || Plan {
        jobs: 2,
        pruner: Pruner::None,
        space: space.clone(),
        ..plan(Sampler::Random)
    };
    let (mut study, _) = Study::open(&path, plan()).unwrap();
    study
        .enqueue(&[[("lr".to_owned(), Value::Float(0.05))].into()])
        .unwrap();
    grow(&mut study, 150, |run| match run.task.number {
        3 => Outcome::Failed("the disk is full".to_owned()),
        4 => {
            run.report(1, f64::NAN);
            Outcome::Diverged("not finite".to_owned())
        }
        _ => objective(run),
    });
    drop(study);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/search/load_study.py");
    let output = Command::new(python)
        .args([script.as_ref(), path.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Json = serde_json::from_slice(&output.stdout).unwrap();
    let (study, notes) = Study::open(&path, plan()).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    let best = study.best().unwrap();
    assert_eq!(
        (told["best"].as_u64(), told["direction"].as_str()),
        (Some(best.number as u64), Some("MINIMIZE"))
    );
    assert_eq!(told["value"].as_f64().map(f64::to_bits), best.value.map(f64::to_bits));
    let trials = study.trials();
    for (number, state) in told["states"].as_array().unwrap().iter().enumerate() {
        let trial = &trials[number];
        let state = if state == "fail" {
            "failed"
        } else {
            state.as_str().unwrap()
        };
        assert_eq!(state, trial.state.to_string(), "trial {number}");
        let theirs = told["parameters"][number].as_object().unwrap();
        assert_eq!(theirs.len(), trial.configuration.len());
        for (name, value) in &trial.configuration {
            match (value, theirs[name].as_str().unwrap()) {
                (Value::Float(x), text) => assert_eq!(text.parse::<f64>().unwrap(), *x, "trial {number}: {name}"),
                (value, text) => assert_eq!(text, value.to_string(), "trial {number}: {name}"),
            }
        }
        assert_eq!(told["steps"][number].as_u64(), Some(trial.curve.len() as u64));
    }
    assert_eq!(told["nan_steps"][4], 1, "NaN survives");
    // What Optuna adds is taken up: its trial waits, with the rate that it was given.
    let added = trials.last().unwrap();
    assert_eq!(
        (added.state, added.fixed()["lr"].clone()),
        (State::Waiting, Value::Float(0.125))
    );
    compare(&study, &told["importance"]);
}

/// Two forests of other random numbers agree to about a tenth of the variance.
fn compare(study: &Study, theirs: &Json) {
    let anova = Anova::of(&study.plan().space, study.trials()).unwrap();
    let ours = anova.alone();
    assert_eq!(theirs.as_object().unwrap().len(), ours.len());
    for (parameter, ours) in anova.parameters().iter().zip(ours) {
        let theirs = theirs[&parameter.name].as_f64().unwrap();
        println!("{:<14} {ours:.3} here, {theirs:.3} by Optuna", parameter.name);
        assert!(
            (ours - theirs).abs() < 0.1,
            "{}: {ours}, Optuna {theirs}",
            parameter.name
        );
    }
}
