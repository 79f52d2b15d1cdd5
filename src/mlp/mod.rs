//! The multilayer perceptron: its layers, how its parameters begin, what a step does to them, and the training loop.
//!
//! The model is only described here. [`crate::program::lower`] turns it into programs, and a [`crate::device::Session`]
//! holds its parameters and runs them.

pub mod checkpoint;
mod classified;
mod extra;
mod init;
mod loss;
mod model;
mod optimizer;
mod options;
mod random;
mod recorded;
mod schedule;
mod train;
mod trainer;

pub use extra::Extra;
pub use init::Init;
pub use loss::Loss;
pub(crate) use model::activation_name;
pub use model::{Layer, Model, ModelError, activation_by_name};
pub(crate) use optimizer::ADAM;
pub use optimizer::Optimizer;
pub use options::TrainOptions;
pub use random::{Purpose, stream};
pub use recorded::{recorded, recorded_rates};
pub use schedule::{Schedule, Span};
pub use train::{Event, Observer, TrainError, train};
pub use trainer::{EVALUATION_ROWS, LayerSummary, RATE_STEPS, Summary, Trainer};

/// A number as a command line takes it: `0.1`, `1e-7`.
pub(crate) fn number(x: f64) -> String {
    if x == 0.0 || (1e-5..1e7).contains(&x.abs()) {
        x.to_string()
    } else {
        format!("{x:e}")
    }
}
