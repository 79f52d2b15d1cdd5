//! Hyperparameter search: a space, who suggests, who stops, and the study that keeps it all.
//!
//! ```text
//! Space ── Sampler (random, grid, tpe) ──> Configuration ──> Objective, which reports its curve ──> Outcome
//!             ^                                                  | Pruner (median, halving)
//!             └────────────────── Study: trials, in a Journal that Optuna opens <──┘
//! ```
//! The study decides which trial comes next and what it may see ([`study`]); [`run`] runs trials at once. [`training`] is the
//! search over training runs; [`anova`] says which parameters made the difference.

pub mod anova;
mod clock;
mod forest;
mod given;
mod grid;
pub mod journal;
mod pruner;
mod random;
pub mod recorded;
pub mod run;
mod sampler;
mod space;
pub mod study;
pub mod surrogate;
mod tpe;
pub mod training;
mod trial;

pub use given::{Given, Kind};
pub use grid::Grid;
pub use pruner::Pruner;
pub use run::{Ended, Flow, Limits, Objective, Run, Told, Watcher, optimize};
pub use sampler::{Asked, STARTUP, Sampler, Seen};
pub use space::{Configuration, Domain, Parameter, Space, Value, When};
pub use study::{Outcome, Plan, Study, StudyError, Task};
pub use trial::{DIVERGED, Direction, FAILURE, State, Trial, best};
