//! A training run as a measurement.

use tilelab_kernels::Isa;

use super::{Observer, TrainError, TrainOptions, Trainer, train};
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
    let shape = shape(options);
    let recording = Recording::start(
        &format!("train-{shape}"),
        &format!("Training {shape} on {}", data.name),
        "How do loss and accuracy go while the multilayer perceptron learns, and how fast is it?",
        quick,
    );
    let recording = recording.command(options.command());
    let training = train(options, data, observer)?;
    Ok(recording.finish(&machine(), Body::Training(training)))
}

/// A search for a learning rate as a record: `rates-784-256-10`. It touches no state: no checkpoint is read or written.
///
/// # Errors
/// As [`Trainer::find_rate`] and [`Trainer::new`].
pub fn recorded_rates(
    options: &TrainOptions,
    data: &Dataset,
    observer: &mut Observer<'_>,
) -> Result<Record, TrainError> {
    let shape = shape(options);
    let recording = Recording::start(
        &format!("rates-{shape}"),
        &format!("A learning rate for {shape} on {}", data.name),
        "Which learning rate lets the loss fall fastest?",
        false,
    );
    let recording = recording.command(format!("{} --find-lr", options.command()));
    let search = Trainer::new(options, data)?.find_rate(observer)?;
    Ok(recording.finish(&machine(), Body::Rates(search)))
}

fn shape(options: &TrainOptions) -> String {
    let widths: Vec<String> = options.layers.iter().map(usize::to_string).collect();
    widths.join("-")
}

fn machine() -> Machine {
    Machine::detect(Isa::available().into_iter().map(|isa| isa.id().to_owned()).collect())
}
