//! The multilayer perceptron: its layers, how its parameters begin, what a step does to them, and the training loop.
//!
//! The model is only described here. [`crate::program::lower`] turns it into programs, and a [`crate::device::Session`]
//! holds its parameters and runs them.

pub mod checkpoint;
mod init;
mod model;
mod optimizer;
mod options;
mod random;
mod recorded;
mod schedule;
mod train;
mod trainer;

pub use init::Init;
pub(crate) use model::activation_name;
pub use model::{Layer, Model, ModelError, activation_by_name};
pub use optimizer::Optimizer;
pub use options::TrainOptions;
pub use random::{Purpose, stream};
pub use recorded::recorded;
pub use schedule::{Schedule, Span};
pub use train::{Event, Observer, TrainError, train};
pub use trainer::{EVALUATION_ROWS, LayerSummary, Summary, Trainer};

/// The entry of `names` called `name`; else one line that lists them.
fn by_name<T: Copy>(what: &str, name: &str, names: &[(&str, T)]) -> Result<T, String> {
    names
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known: Vec<_> = names.iter().map(|(known, _)| *known).collect();
            format!("no {what} is called `{name}`; there is {}", known.join(", "))
        })
}

/// A number as a command line takes it: `0.1`, `1e-7`.
fn number(x: f64) -> String {
    if x == 0.0 || (1e-5..1e7).contains(&x.abs()) {
        x.to_string()
    } else {
        format!("{x:e}")
    }
}
