//! A training run as a measurement.

use tilelab_kernels::Isa;

use super::{Observer, TrainError, TrainOptions, train};
use crate::data::Dataset;
use crate::measure::{Body, Machine, Record, Recording};

/// [`train`], and its record: `train-784-256-10`. `quick` tells readers that something was shrunk to be quick.
///
/// # Errors
/// As [`train`].
pub fn recorded(
    options: &TrainOptions,
    data: &Dataset,
    quick: bool,
    observer: &mut Observer<'_>,
) -> Result<Record, TrainError> {
    let widths: Vec<String> = options.layers.iter().map(usize::to_string).collect();
    let shape = widths.join("-");
    let recording = Recording::start(
        &format!("train-{shape}"),
        &format!("Training {shape} on {}", data.name),
        "How do loss and accuracy go while the multilayer perceptron learns, and how fast is it?",
        quick,
    );
    let recording = recording.command(options.command());
    let training = train(options, data, observer)?;
    let isas = Isa::available().into_iter().map(|isa| isa.id().to_owned()).collect();
    Ok(recording.finish(&Machine::detect(isas), Body::Training(training)))
}
