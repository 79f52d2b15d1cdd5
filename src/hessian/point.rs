//! Where second derivatives are taken: the parameters' values, and the rows of the data.

use tilelab_kernels::Float;

use super::HessianError;
use crate::device::{Session, Set};
use crate::mlp::{Init, Model};
use crate::program::lower::{bias_name, weights_name};

/// Values of everything that a model has, trained or not, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Point(Vec<(String, Vec<f64>)>);

impl Point {
    /// A model as it is before training.
    pub fn first(model: &Model, init: Init, seed: u64) -> Self {
        let mut all = Vec::new();
        for l in 1..=model.depth() {
            let layer = model.layer(l);
            let sizes = (layer.inputs, layer.outputs);
            all.push((weights_name(l), init.weights(seed, l, sizes)));
            all.push((bias_name(l), init.biases(seed, l, sizes)));
            for extra in model.extras_of(l) {
                let first = extra.first(model.activation());
                all.push((extra.name(l), vec![first; extra.count(layer.outputs)]));
            }
        }
        Self(all)
    }

    /// Values by name, as a checkpoint or a test has them.
    pub fn of(values: impl IntoIterator<Item = (String, Vec<f64>)>) -> Self {
        Self(values.into_iter().collect())
    }

    /// The values of one name.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.0
            .iter()
            .find(|(there, _)| there == name)
            .map(|(_, values)| &values[..])
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Vec<f64>> {
        self.0
            .iter_mut()
            .find(|(there, _)| there == name)
            .map(|(_, values)| values)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.0.iter().map(|(name, values)| (&name[..], &values[..]))
    }

    /// Into the buffers of a session; what it has no buffer for is left out.
    pub(crate) fn write(&self, session: &mut (dyn Session + '_)) -> Result<(), HessianError> {
        for (name, values) in self.iter() {
            if session.read(name).is_ok() {
                session.write(name, values)?;
            }
        }
        Ok(())
    }
}

/// The rows that the objective is the mean over.
#[derive(Debug, Clone)]
pub struct Data<'a> {
    /// A set.
    pub set: Set<'a>,
    /// Which of its rows.
    pub rows: Vec<u32>,
    /// What bytes are multiplied by.
    pub byte_scale: f64,
}

impl<'a> Data<'a> {
    /// The first `rows` of a set, or all of it.
    pub fn first(set: Set<'a>, rows: usize) -> Self {
        let rows = (0..rows.min(set.rows()) as u32).collect();
        Self {
            set,
            rows,
            byte_scale: 1.0 / 255.0,
        }
    }

    /// The rows' numbers as a program loads them, row-major, and their labels.
    pub fn values<T: Float>(&self) -> (Vec<T>, Vec<u8>) {
        self.set.gathered(&self.rows, self.byte_scale)
    }
}
