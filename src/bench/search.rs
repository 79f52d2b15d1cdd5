//! Samplers on cheap functions with known optima: how far each is from the best behind so many trials, over many seeds.
//!
//! Optuna stands beside ours where it is installed: the script `benches/search/optuna_tpe.py`, which is part of this program, asks for
//! values over a small protocol of JSON lines, so that both are judged by the same function.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;

use serde_json::{Value as Json, json};

use super::bars::Bar;
use crate::measure::{Quartiles, Regret, Surrogates};
use crate::search::surrogate::Surrogate;
use crate::search::{Configuration, Direction, Limits, Outcome, Plan, Pruner, Sampler, Study, StudyError, optimize};

const SCRIPT: &str = include_str!("../../benches/search/optuna_tpe.py");

/// Trials behind which searches are compared.
pub const TRIALS: [usize; 2] = [30, 60];

/// What is promised: TPE's median regret over random's, behind 30 and 60 trials.
///
/// On the cliff the bounds are wider: beyond the edge every trial is equally bad and says nothing of how far beyond it lies, and the best rate
/// is the edge itself, so that half of what TPE draws near its best trials falls off.
pub fn promised(surrogate: Surrogate) -> [f64; 2] {
    match surrogate {
        Surrogate::Smooth => [0.65, 0.5],
        Surrogate::Cliff => [0.8, 0.65],
    }
}

/// Smallest loss behind each of [`TRIALS`], of one of our samplers.
///
/// # Errors
/// None that a study in memory meets.
pub fn ours(surrogate: Surrogate, sampler: Sampler, seed: u64) -> Result<[f64; 2], StudyError> {
    let mut study = Study::in_memory(Plan {
        space: Surrogate::space(),
        direction: Direction::Minimize,
        sampler,
        grid_points: 1,
        pruner: Pruner::None,
        seed,
        jobs: 1,
        objective: Default::default(),
    })?;
    let limits = Limits {
        trials: TRIALS[1],
        retries: 0,
        timeout: None,
    };
    let stop = AtomicBool::new(false);
    optimize(&mut study, limits, &stop, &mut |_, _| {}, &|run| {
        Outcome::Complete(surrogate.loss(&run.task.configuration))
    })?;
    let losses: Vec<f64> = study.trials().iter().filter_map(|trial| trial.value).collect();
    Ok(smallest(&losses))
}

fn smallest(losses: &[f64]) -> [f64; 2] {
    TRIALS.map(|count| losses.iter().take(count).copied().fold(f64::INFINITY, f64::min))
}

/// Optuna in a process of its own, which ends when this is dropped.
pub struct Optuna {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Such as `Optuna 5.0.0`.
    pub version: String,
}

impl Optuna {
    /// # Errors
    /// One line that says why it is not there.
    pub fn start(python: &str) -> Result<Self, String> {
        let child = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.map_err(|error| {
            format!("optuna: {python} can't be started ({error}); name an interpreter with --python")
        })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("optuna: no pipe to {python}"));
        };
        let from = BufReader::new(from);
        let mut optuna = Self {
            child,
            to,
            from,
            version: String::new(),
        };
        let first = optuna.hear()?;
        match first["ready"].as_str() {
            Some(version) => optuna.version = version.to_owned(),
            None => {
                return Err(format!(
                    "optuna: not installed ({})",
                    first["missing"].as_str().unwrap_or("no answer")
                ));
            }
        }
        Ok(optuna)
    }

    fn say(&mut self, line: &Json) -> Result<(), String> {
        writeln!(self.to, "{line}").map_err(|error| format!("optuna: the process is gone ({error})"))
    }

    fn hear(&mut self) -> Result<Json, String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => Err("optuna: the process ended without an answer".to_owned()),
            Ok(_) => serde_json::from_str(&line).map_err(|error| format!("optuna: {error} in {line:?}")),
            Err(error) => Err(format!("optuna: {error}")),
        }
    }

    /// Smallest loss behind each of [`TRIALS`].
    ///
    /// # Errors
    /// One line when the process is gone or answers something else.
    pub fn run(&mut self, surrogate: Surrogate, seed: u64) -> Result<[f64; 2], String> {
        self.say(&json!({"space": Surrogate::space(), "seed": seed, "trials": TRIALS[1]}))?;
        let mut losses = Vec::new();
        for _ in 0..TRIALS[1] {
            let asked = self.hear()?["ask"].take();
            let tried: Configuration =
                serde_json::from_value(asked).map_err(|error| format!("optuna: {error} in its answer"))?;
            losses.push(surrogate.loss(&tried));
            self.say(&json!({"loss": losses.last()}))?;
        }
        Ok(smallest(&losses))
    }
}

impl Drop for Optuna {
    fn drop(&mut self) {
        // It ends by itself at the end of its input; nothing to do if it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one sampler did on one function, from [`ours`] or [`Optuna::run`] under each seed.
pub fn regrets(surrogate: Surrogate, sampler: &str, runs: &[[f64; 2]]) -> Vec<Regret> {
    let of = |place: usize| {
        let mut losses: Vec<f64> = runs.iter().map(|run| run[place]).collect();
        losses.sort_by(f64::total_cmp);
        // The nearest rank above.
        let at = |share: f64| losses[((share * losses.len() as f64).ceil() as usize).clamp(1, losses.len()) - 1];
        Regret {
            surrogate: surrogate.name().to_owned(),
            sampler: sampler.to_owned(),
            trials: TRIALS[place],
            runs: losses.len(),
            regret: Quartiles {
                lower: at(0.25),
                median: at(0.5),
                upper: at(0.75),
            },
        }
    };
    if runs.is_empty() {
        Vec::new()
    } else {
        (0..TRIALS.len()).map(of).collect()
    }
}

/// Ours against random, and what was promised.
pub fn bars(found: &Surrogates) -> Vec<Bar> {
    let median = |surrogate: Surrogate, sampler: &str, trials: usize| {
        let same = |regret: &&Regret| {
            regret.surrogate == surrogate.name() && regret.sampler == sampler && regret.trials == trials
        };
        found.regrets.iter().find(same).map(|regret| regret.regret.median)
    };
    let mut bars = Vec::new();
    for surrogate in Surrogate::ALL {
        for (trials, threshold) in TRIALS.into_iter().zip(promised(surrogate)) {
            let tpe = median(surrogate, "tpe", trials);
            let figure = tpe
                .zip(median(surrogate, "random", trials))
                .map(|(tpe, random)| tpe / random);
            let name = format!(
                "{}: TPE's median regret over random's behind {trials} trials",
                surrogate.name()
            );
            let figure = figure.ok_or_else(|| "a sampler did not run".to_owned());
            bars.push(Bar::at_most(name, figure, threshold));
        }
    }
    bars
}
