//! A trainer's checkpoints: when one is saved, what goes into it, and how a run goes on from it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::TrainError;
use super::super::checkpoint::{Checkpoint, CheckpointError, Folder, Moment, SavedModel, State, hex};
use super::Trainer;
use crate::device::{Device, Set};
use crate::program::lower::{bias_name, weights_name};
use crate::program::{Element, LOSS_SUM, Role};

/// Where a run saves.
pub(super) struct Saver {
    folder: Folder,
    every: Option<u64>,
    /// SHA-256 of the data.
    data: String,
}

impl Trainer<'_> {
    /// Saves into `folder` from now on.
    pub fn save_into(&mut self, folder: Folder) {
        let every = self.options.saving.as_ref().and_then(|saving| saving.every);
        let data = fingerprint(&self.sets);
        self.saver = Some(Saver { folder, every, data });
    }

    /// Saves if a checkpoint is due behind this step. The last one of an epoch waits for its evaluations.
    pub(super) fn save_if_due(&mut self) -> Result<(), TrainError> {
        let every = self.saver.as_ref().and_then(|saver| saver.every);
        let due = every.is_some_and(|every| self.progress.steps.is_multiple_of(every));
        if due && self.progress.rows < self.order.len() {
            self.save()?;
        }
        Ok(())
    }

    /// Saves all of the run as it stands; where it lies, if the run saves at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn save(&mut self) -> Result<Option<PathBuf>, TrainError> {
        let Some(saver) = self.saver.take() else {
            return Ok(None);
        };
        let saved = self
            .checkpoint(saver.data.clone())
            .and_then(|checkpoint| Ok(saver.folder.save(&checkpoint)?));
        self.saver = Some(saver);
        saved.map(Some)
    }

    fn checkpoint(&mut self, data: String) -> Result<Checkpoint, TrainError> {
        let mut layers = Vec::new();
        for l in 1..=self.model.depth() {
            layers.push((self.session.read(&weights_name(l))?, self.session.read(&bias_name(l))?));
        }
        let mut extras = Vec::new();
        for (l, extra) in self.model.extras() {
            extras.push(self.session.read(&extra.name(l))?);
        }
        let mut moments = Vec::new();
        for name in self.moments() {
            let values = self.session.read(&name)?;
            moments.push(Moment { name, values });
        }
        // In the middle of an epoch the sum goes on; between two it has been taken.
        let loss_sum = if self.progress.rows == 0 {
            0.0
        } else {
            self.session.read(LOSS_SUM)?[0]
        };
        // A model that diverged would push those that did not out of the folder.
        let epoch = self.progress.table.len() + 1;
        self.finite(epoch, "the train loss", &[loss_sum])?;
        for (l, (weights, bias)) in (1..).zip(&layers) {
            self.finite(epoch, &weights_name(l), weights)?;
            self.finite(epoch, &bias_name(l), bias)?;
        }
        for ((l, extra), values) in self.model.extras().into_iter().zip(&extras) {
            self.finite(epoch, &extra.name(l), values)?;
        }
        let wide = self.options.float == Element::F64 || self.options.device == Device::Reference;
        let state = State {
            schema: State::SCHEMA,
            step: self.progress.steps,
            epochs_done: self.progress.table.len(),
            rows_done: self.progress.rows,
            loss_sum,
            seconds: self.progress.seconds(),
            seed: self.options.seed,
            first_loss: self.progress.first_loss,
            epochs: self.progress.table.clone(),
            best: self.progress.best,
            settings: self.options.settings(),
            device: self.options.device.to_string(),
            kernel: self.session.kernel(),
            data,
            model_sha256: String::new(),
        };
        Ok(Checkpoint {
            model: SavedModel::new(&self.model, (layers, extras), wide, self.data),
            moments,
            order: self.order.clone(),
            state,
        })
    }

    /// What the optimizer keeps from step to step.
    fn moments(&self) -> Vec<String> {
        let buffers = self.steps.updated().iter();
        let kept = buffers.filter(|buffer| buffer.role == Role::OptimizerState);
        kept.map(|buffer| buffer.name.clone()).collect()
    }

    /// Goes on from `checkpoint`, which lies at `path`. Returns a note where the bits may differ from those of a run that
    /// never stopped: another kernel rounds its sums in another order.
    ///
    /// # Errors
    /// Other options or other data than those of the run that was saved, or a checkpoint that doesn't fit them.
    pub fn restore(&mut self, checkpoint: &Checkpoint, path: &Path) -> Result<Option<String>, TrainError> {
        self.same_run(&checkpoint.state, path)?;
        self.complete(checkpoint).map_err(|problem| CheckpointError::Foreign {
            path: path.display().to_string(),
            problem,
            way_out: format!("remove {} to go on from the one before", path.display()),
        })?;
        for (name, values) in checkpoint.model.buffers() {
            self.session.write(&name, values)?;
        }
        for moment in &checkpoint.moments {
            self.session.write(&moment.name, &moment.values)?;
        }
        let state = &checkpoint.state;
        self.session.metrics()?;
        self.session.write(LOSS_SUM, &[state.loss_sum])?;
        self.order.copy_from_slice(&checkpoint.order);
        let progress = &mut self.progress;
        (progress.steps, progress.rows, progress.seconds) = (state.step, state.rows_done, state.seconds);
        (progress.first_loss, progress.best) = (state.first_loss, state.best);
        progress.table.clone_from(&state.epochs);
        let (there, here) = (&state.kernel, self.session.kernel());
        let note = format!("the checkpoint was computed by {there}, this is {here}: the last bits may differ");
        Ok((*there != here).then_some(note))
    }

    /// The options and the data decide what a run computes; how long it goes on and on how many threads does not.
    fn same_run(&self, state: &State, path: &Path) -> Result<(), CheckpointError> {
        let differs = |name: &str, there: &str, here: &str| CheckpointError::Differs {
            path: path.display().to_string(),
            there: format!("{name} {there}"),
            here: format!("{name} {here}"),
        };
        for (name, here) in self.options.settings() {
            let there = state.settings.iter().find(|(known, _)| *known == name);
            let there = there.map_or("not given", |(_, value)| value.as_str());
            let matters = name != "epochs" || self.options.schedule.sees_the_end();
            if matters && there != here {
                return Err(differs(&format!("--{name}"), there, &here));
            }
        }
        let here = self.options.settings();
        let more = state
            .settings
            .iter()
            .find(|(name, _)| here.iter().all(|(known, _)| known != name));
        if let Some((name, there)) = more {
            return Err(differs(&format!("--{name}"), there, "not given"));
        }
        let others = [
            ("--seed", state.seed.to_string(), self.options.seed.to_string()),
            ("--device", state.device.clone(), self.options.device.to_string()),
            ("data with the SHA-256", state.data.clone(), fingerprint(&self.sets)),
        ];
        let other = others.iter().find(|(_, there, here)| there != here);
        other.map_or(Ok(()), |(name, there, here)| Err(differs(name, there, here)))
    }

    /// Whether everything is there that the run needs, in the right sizes.
    fn complete(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        let state = &checkpoint.state;
        if !checkpoint.fits(&self.model) {
            return Err(format!("holds a model of the widths {:?}", checkpoint.model.widths()));
        }
        let mut rows = checkpoint.order.clone();
        rows.sort_unstable();
        if rows != self.rows[0] || state.rows_done > rows.len() {
            return Err(format!(
                "holds an order of other rows than the {} to train on",
                self.order.len()
            ));
        }
        if state.epochs.len() != state.epochs_done {
            return Err(format!("holds {} epochs of {}", state.epochs.len(), state.epochs_done));
        }
        let names: Vec<&str> = checkpoint.moments.iter().map(|moment| moment.name.as_str()).collect();
        let mut expected = self.moments();
        expected.retain(|name| !names.contains(&name.as_str()));
        match expected.first() {
            Some(name) => Err(format!("has no `{name}` of the optimizer")),
            None => Ok(()),
        }
    }
}

/// SHA-256 of all rows and labels.
fn fingerprint(sets: &[Set<'_>]) -> String {
    let mut hash = Sha256::new();
    for set in sets {
        hash.update((set.rows() as u64).to_le_bytes());
        set.for_each_byte(|bytes| hash.update(bytes));
    }
    hex(hash)
}
