//! A model's way forward and back in a session of its own, with parameters and gradients that can be read and written.

use tilelab_kernels::Threads;

use super::Failure;
use crate::device::{Batch, Device, ProgramId, Session};
use crate::mlp::{Init, Model};
use crate::program::lower::{Lowering, bias_name, weights_name};
use crate::program::{Element, LOSS_SUM, Program, StepArgs};

/// Forward, loss, backward; no update.
pub struct Passes {
    session: Box<dyn Session>,
    program: Program,
    model: Model,
}

impl Passes {
    /// Of batches of up to `rows` rows, in f64.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn open(device: Device, threads: Threads, model: Model, rows: usize) -> Result<Self, Failure> {
        let lowering = Lowering {
            model: &model,
            float: Element::F64,
            rows,
            byte_scale: 1.0,
        };
        let program = lowering.gradients()?;
        let session = device.open(std::slice::from_ref(&program), &[], threads)?;
        Ok(Self {
            session,
            program,
            model,
        })
    }

    /// The program of both ways.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The first parameters.
    ///
    /// # Errors
    /// A device that fails.
    pub fn init(&mut self, init: Init, seed: u64) -> Result<(), Failure> {
        for l in 1..=self.model.depth() {
            let layer = self.model.layer(l);
            let sizes = (layer.inputs, layer.outputs);
            self.write(&weights_name(l), &init.weights(seed, l, sizes))?;
            self.write(&bias_name(l), &init.biases(seed, l, sizes))?;
        }
        for (l, extra) in self.model.extras() {
            let count = extra.count(self.model.layer(l).outputs);
            let first = extra.first(self.model.activation());
            self.session.write(&extra.name(l), &vec![first; count])?;
        }
        Ok(())
    }

    /// The mean loss of these rows; every gradient is in its buffer behind it.
    ///
    /// # Errors
    /// Rows or labels that do not fit.
    pub fn run(&mut self, values: &[f32], labels: &[u8]) -> Result<f64, Failure> {
        let batch = Batch::of_slices(&self.program, values, labels)?;
        let args = StepArgs {
            inverse_rows: 1.0 / labels.len() as f64,
            t: 1,
            ..StepArgs::default()
        };
        self.session.metrics()?;
        self.session.run(ProgramId(0), &batch, &args);
        Ok(self.session.metrics()?.get(LOSS_SUM) / labels.len() as f64)
    }

    /// The values of a buffer.
    ///
    /// # Errors
    /// No buffer of that name.
    pub fn read(&mut self, name: &str) -> Result<Vec<f64>, Failure> {
        Ok(self.session.read(name)?)
    }

    /// Overwrites a buffer.
    ///
    /// # Errors
    /// No buffer of that name, or another length.
    pub fn write(&mut self, name: &str, values: &[f64]) -> Result<(), Failure> {
        Ok(self.session.write(name, values)?)
    }

    /// Euclidean norm of the gradient of each layer's weights, first layer first.
    ///
    /// # Errors
    /// A device that fails.
    pub fn gradient_norms(&mut self) -> Result<Vec<f64>, Failure> {
        let layers = 1..=self.model.depth();
        layers
            .map(|l| {
                let gradient = self.read(&format!("d{}", weights_name(l)))?;
                Ok(gradient.iter().map(|x| x * x).sum::<f64>().sqrt())
            })
            .collect()
    }

    /// Central differences of the mean loss by every number of the buffer `name`.
    ///
    /// # Errors
    /// As [`Passes::run`].
    pub fn differences(&mut self, name: &str, values: &[f32], labels: &[u8]) -> Result<Vec<f64>, Failure> {
        const STEP: f64 = 1e-5;
        let whole = self.read(name)?;
        let mut differences = Vec::with_capacity(whole.len());
        for at in 0..whole.len() {
            let mut loss = |by: f64| {
                let mut moved = whole.clone();
                moved[at] += by;
                self.write(name, &moved)?;
                self.run(values, labels)
            };
            differences.push((loss(STEP)? - loss(-STEP)?) / (2.0 * STEP));
        }
        self.write(name, &whole)?;
        Ok(differences)
    }
}

/// Largest |a - b|; NaN if any is, infinite for lists of different lengths.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}
