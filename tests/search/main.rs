//! Hyperparameter search: what every sampler promises, studies that are the same whatever happened on the way, and what a user meets.
#![allow(clippy::unwrap_used)] // A test may panic.

mod optuna;
mod report;
mod samplers;
mod studies;
#[path = "../support/mod.rs"]
mod support;
mod user;

use std::sync::atomic::AtomicBool;

use tilelab::search::surrogate::Surrogate;
use tilelab::search::{
    Configuration, Direction, Flow, Limits, Outcome, Plan, Pruner, Run, Sampler, Space, State, Study, optimize,
};

/// A plan over the surrogates' space, whose grid is small enough to be made.
pub fn plan(sampler: Sampler) -> Plan {
    let mut parameters = Surrogate::space().parameters().to_vec();
    if sampler == Sampler::Grid {
        parameters.retain(|parameter| ["lr", "hidden_layers", "units_l0", "units_l1"].contains(&&*parameter.name));
    }
    Plan {
        space: Space::new(parameters).unwrap(),
        direction: Direction::Minimize,
        sampler,
        grid_points: 3,
        pruner: Pruner::Median { warmup: 1 },
        seed: 7,
        jobs: 1,
        objective: Default::default(),
    }
}

/// The surrogate's loss as a curve that falls to it over five steps.
pub fn objective(run: &Run<'_>) -> Outcome {
    objective_of(run, 1.0)
}

/// The same times `sign`.
pub fn objective_of(run: &Run<'_>, sign: f64) -> Outcome {
    let loss = Surrogate::Smooth.loss(&run.task.configuration);
    for step in 1..=5 {
        match run.report(step, sign * (loss + 1.0 / step as f64)) {
            Flow::Prune if step < 5 => return Outcome::Pruned,
            Flow::Stop => return Outcome::Stopped,
            _ => {}
        }
    }
    Outcome::Complete(sign * loss)
}

/// Runs trials until there are as many.
pub fn grow(study: &mut Study, trials: usize, objective: impl Fn(&Run<'_>) -> Outcome + Sync) {
    let limits = Limits {
        trials,
        retries: 1,
        timeout: None,
    };
    let stop = AtomicBool::new(false);
    optimize(study, limits, &stop, &mut |_, _| {}, &objective).unwrap();
}

/// What a study is but for its times: state, parameters, value and curve of each trial, to the bit.
pub fn essence(study: &Study) -> Vec<(State, Configuration, Option<u64>, Vec<(usize, u64)>)> {
    let one = |trial: &tilelab::search::Trial| {
        let curve = trial.curve.iter().map(|(&step, x)| (step, x.to_bits())).collect();
        (
            trial.state,
            trial.configuration.clone(),
            trial.value.map(f64::to_bits),
            curve,
        )
    };
    study.trials().iter().map(one).collect()
}
