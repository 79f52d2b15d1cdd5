//! What a hyperparameter search leaves behind: its trials, and what they say about the parameters.

use serde::{Deserialize, Serialize};

/// A hyperparameter search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// File of the study.
    pub study: String,
    /// Who suggested.
    pub sampler: String,
    /// Who stopped trials.
    pub pruner: String,
    /// Trials at once.
    pub jobs: usize,
    /// Fixes what was drawn.
    pub seed: u64,
    /// What a trial is judged by, such as `accuracy`.
    pub measure: String,
    /// Whether it is to be large.
    pub maximize: bool,
    /// Where the data came from.
    pub data: String,
    /// Rows that trials learn from and rows that they are judged by.
    pub rows: (usize, usize),
    /// Hyperparameters that are not searched, as flags.
    pub fixed: Vec<(String, String)>,
    /// Those that are.
    pub parameters: Vec<SearchParameter>,
    /// Trials, by number.
    pub trials: Vec<SearchTrial>,
    /// Number of the best trial, if any is complete.
    pub best: Option<usize>,
    /// The command that trains it on all rows; empty without one.
    pub best_command: String,
    /// What it does with the test set, trained on all rows: one entry a seed.
    pub tests: Vec<SearchTest>,
    /// Importance of parameters, if there are enough trials.
    pub importance: Option<Importance>,
}

/// A searched hyperparameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchParameter {
    /// Its name.
    pub name: String,
    /// Smallest and largest value; for choices 0 and the number of the last.
    pub range: (f64, f64),
    /// Searched in the logarithm.
    pub log: bool,
    /// Whole numbers.
    pub whole: bool,
    /// Choices, in order; empty for numbers.
    pub choices: Vec<String>,
    /// There only if another one has a certain value.
    pub conditional: bool,
}

/// A trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchTrial {
    /// From 0.
    pub number: usize,
    /// `complete`, `pruned`, `failed`, `running` or `waiting`.
    pub state: String,
    /// What came out, if it is complete.
    pub value: Option<f64>,
    /// The best value up to this trial.
    pub best: Option<f64>,
    /// Its parameters.
    pub parameters: Vec<SearchValue>,
    /// Epoch and value; `None` where it was no finite number.
    pub curve: Vec<(usize, Option<f64>)>,
    /// When its last attempt began, seconds after the first trial.
    pub started_s: Option<f64>,
    /// When it ended.
    pub ended_s: Option<f64>,
    /// Which of the jobs ran it.
    pub job: Option<u64>,
    /// Why it failed, or which one it repeats; empty as a rule.
    pub note: String,
}

/// A parameter of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchValue {
    /// Name of the parameter.
    pub name: String,
    /// The value, as flags spell it.
    pub text: String,
    /// The number, or that of the choice.
    pub x: f64,
    /// Where it lies on its axis, 0 to 1.
    pub place: f64,
}

/// The best configuration on the test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchTest {
    /// Seed of the training run.
    pub seed: u64,
    /// Share that is right behind the last epoch.
    pub accuracy: f64,
    /// Mean loss there.
    pub loss: f64,
}

/// Functional ANOVA over the complete trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Complete trials it was taken from.
    pub trials: usize,
    /// Parameter and the share of the variance that it explains alone, largest first.
    pub alone: Vec<(String, f64)>,
    /// Two parameters and the share that they explain together, beyond each alone; largest first.
    pub pairs: Vec<(String, String, f64)>,
    /// Parameters that some complete trials do not have: nothing can be said.
    pub left_out: Vec<String>,
    /// The two most important, if there are two.
    pub contour: Option<SearchContour>,
}

/// Expected value over two parameters, all others averaged out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchContour {
    /// Names of the horizontal and the vertical parameter.
    pub parameters: (String, String),
    /// Places along the first: numbers, or numbers of choices.
    pub x: Vec<f64>,
    /// Along the second.
    pub y: Vec<f64>,
    /// One row for each place of the second.
    pub values: Vec<Vec<f64>>,
}

/// Samplers on functions with known optima.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surrogates {
    /// One entry a function, sampler and number of trials.
    pub regrets: Vec<Regret>,
    /// What a reader must know, such as who was not installed.
    pub notes: Vec<String>,
}

/// How far the best of a search is from the optimum, over many seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regret {
    /// The function.
    pub surrogate: String,
    /// Who suggested.
    pub sampler: String,
    /// Trials of each search.
    pub trials: usize,
    /// Searches, one a seed.
    pub runs: usize,
    /// Over them.
    pub regret: Quartiles,
}

/// The middle and the bounds of the middle half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// A quarter lies below.
    pub lower: f64,
    /// Half lies below.
    pub median: f64,
    /// A quarter lies above.
    pub upper: f64,
}
