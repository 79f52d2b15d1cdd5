//! A training run from its options to its record; what can happen on the way, and what can go wrong.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::checkpoint::{CheckpointError, Folder};
use super::{Summary, TrainOptions, Trainer, number};
use crate::data::Dataset;
use crate::device::DeviceError;
use crate::measure::{Epoch, Training};
use crate::program::ProgramError;

/// What happens while a run trains.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Before everything else: what is about to run.
    Summary(&'a Summary),
    /// Before the first step. All of the record but its epochs.
    Started(&'a Training),
    /// A step has run.
    Batch {
        /// Of this epoch, from 1.
        epoch: usize,
        /// Rows of the epoch so far.
        rows: usize,
    },
    /// An epoch is over, evaluations included. A run that goes on from a checkpoint tells its earlier epochs first.
    Epoch(&'a Epoch),
    /// Something that the user should know, in one line.
    Note(&'a str),
}

/// Is told what happens; [`ControlFlow::Break`] stops the run behind the batch that is done.
pub type Observer<'o> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'o;

/// A run that did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Options that make no sense, alone or for the data. One line that names the option and the way out.
    #[error("{0}")]
    Options(String),
    /// The device is not there, or does not hold the model.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model makes no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The loss, or a parameter, is no finite number any more.
    #[error("the training diverged in epoch {epoch}: {what} is not finite; try a smaller --lr than {}", number(*.lr))]
    Diverged {
        /// Which epoch.
        epoch: usize,
        /// What it was seen in.
        what: String,
        /// The learning rate.
        lr: f64,
    },
    /// The observer stopped it.
    #[error("interrupted in epoch {epoch}, after {rows} of its rows{}", saved.as_ref().map_or(String::new(), |path| format!("; saved in {}", path.display())))]
    Interrupted {
        /// Which epoch.
        epoch: usize,
        /// Rows that were trained on in it.
        rows: usize,
        /// The checkpoint to go on from.
        saved: Option<PathBuf>,
    },
    /// A checkpoint can't be written, read, or gone on from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Trains as `options` say and returns the record of it. `observer` sees it happen.
///
/// With [`TrainOptions::saving`], a run that is interrupted is saved, and one that resumes goes on from its last checkpoint:
/// the same bits, the same table, the same counts as if it had never stopped.
///
/// # Errors
/// Options that do not fit, a device that is not there, a loss that diverges, a checkpoint that can't be written or gone on
/// from, or an observer that stops it.
pub fn train(options: &TrainOptions, data: &Dataset, observer: &mut Observer<'_>) -> Result<Training, TrainError> {
    // What is wrong with the folder is said before anything is computed.
    let folder = options.saving.as_ref().map(Folder::open).transpose()?;
    let resumed = match &folder {
        Some(folder) => folder.last()?,
        None => None,
    };
    let mut trainer = Trainer::new(options, data)?;
    let mut training = trainer.describe(&data.describe())?;
    if let Some((checkpoint, path)) = &resumed {
        let other_kernel = trainer.restore(checkpoint, path)?;
        if let Some(note) = other_kernel {
            let _ = observer(Event::Note(&note));
        }
    } else if options.saving.as_ref().is_some_and(|saving| saving.resume) {
        let _ = observer(Event::Note("nothing was saved yet: the run begins anew"));
    }
    if let Some(folder) = folder {
        trainer.save_into(folder);
    }
    training.first_loss = trainer.first_loss();
    let done = epochs(&mut trainer, &mut training, options.epochs, observer);
    done.map_err(|error| interrupted(error, &mut trainer))?;
    training.classification = Some(trainer.classify(data)?);
    Ok(training)
}

fn epochs(
    trainer: &mut Trainer<'_>,
    training: &mut Training,
    epochs: usize,
    observer: &mut Observer<'_>,
) -> Result<(), TrainError> {
    let _ = observer(Event::Summary(&trainer.summary()));
    go_on(observer(Event::Started(training)), 1, 0)?;
    for epoch in trainer.table().to_vec() {
        let _ = observer(Event::Epoch(&epoch));
        training.epochs.push(epoch);
    }
    while training.epochs.len() < epochs {
        if let Some(best) = trainer.exhausted() {
            let waited = training.epochs.len() - best;
            let note = format!("stopped: the validation loss was smallest in epoch {best}, {waited} epochs ago");
            let _ = observer(Event::Note(&note));
            break;
        }
        let epoch = trainer.epoch(observer)?;
        trainer.save()?;
        let (stopped, number) = (observer(Event::Epoch(&epoch)), epoch.epoch);
        training.epochs.push(epoch);
        if number < epochs {
            go_on(stopped, number, trainer.rows())?;
        }
    }
    Ok(())
}

/// A run that was stopped is saved before it ends.
fn interrupted(error: TrainError, trainer: &mut Trainer<'_>) -> TrainError {
    match error {
        TrainError::Interrupted { epoch, rows, .. } => match trainer.save() {
            Ok(saved) => TrainError::Interrupted { epoch, rows, saved },
            Err(error) => error,
        },
        other => other,
    }
}

/// What an observer's answer means.
pub(super) fn go_on(flow: ControlFlow<()>, epoch: usize, rows: usize) -> Result<(), TrainError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(TrainError::Interrupted {
            epoch,
            rows,
            saved: None,
        }),
    }
}
