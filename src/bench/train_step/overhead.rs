//! What a small step spends outside kernels: the session's step beside the same operations called straight, round by round.
//!
//! Straight means: no program, no session, no batch to check; the same kernels, and the same loops for the operations that are
//! no kernels (labels copied, targets written, losses added up), on buffers of the same sizes.

use tilelab_kernels::{
    Activation, Adam, Context, ContextError, Corrections, Epilogue, Gradient, Isa, MatMut, MatRef, ShapeError, Threads,
};

use super::rounds::{by_round, median};
use super::{Case, Data, Ours, numbers};
use crate::bench::bars::{Bar, ROUNDS};
use crate::device::{Device, DeviceError};
use crate::measure::{Bench, Contestant, Lineup};
use crate::mlp::ADAM;
use crate::program::lower::{bias_name, weights_name};

/// Nanoseconds that a step may spend outside kernels.
pub const STEP_OUTSIDE: f64 = 1500.0;
const STEP: &str = "step";
const STRAIGHT: &str = "the same kernels, called straight";
const INPUTS: usize = 20;
const HIDDEN: usize = 64;
const BATCH: usize = 16;

/// The case, with what it needs.
pub struct Overhead {
    case: Case,
    data: Data,
}

/// A parameter with its gradient and moments.
struct Trained {
    value: Vec<f32>,
    gradient: Vec<f32>,
    moments: [Vec<f32>; 2],
}

impl Trained {
    fn new(value: Vec<f32>) -> Self {
        let zeros = || vec![0.0; value.len()];
        let (gradient, moments) = (zeros(), [zeros(), zeros()]);
        Self {
            value,
            gradient,
            moments,
        }
    }

    fn update(&mut self, ctx: &Context, (rule, by): (Adam, Corrections)) -> Result<(), ShapeError> {
        let [first, second] = &mut self.moments;
        ctx.adam_corrected(rule, by, &self.gradient, &mut self.value, [first, second])
    }
}

/// The step of 20-64-1 as calls of kernels.
struct Straight<'a> {
    ctx: Context,
    data: &'a Data,
    rows: Vec<u32>,
    x: Vec<f32>,
    labels: Vec<u8>,
    targets: Vec<f32>,
    hidden: Vec<f32>,
    logits: Vec<f32>,
    losses: Vec<f32>,
    d_logits: Vec<f32>,
    d_hidden: Vec<f32>,
    /// W1, b1, W2, b2
    trained: [Trained; 4],
    adam: Adam,
    loss_sum: f64,
}

impl<'a> Straight<'a> {
    fn new(case: &Case, data: &'a Data) -> Result<Self, ContextError> {
        let weights = |l: u32, n: usize, q: usize| -> Vec<f32> {
            let scale = (4.0 / n as f64).sqrt();
            numbers(n * q, 10 + l).map(|x| (scale * x) as f32).collect()
        };
        let (beta1, beta2, epsilon) = ADAM;
        Ok(Self {
            ctx: Context::new(Isa::selected()?, Threads::one())?,
            data,
            rows: (0..BATCH as u32).collect(),
            x: vec![0.0; BATCH * INPUTS],
            labels: vec![0; BATCH],
            targets: vec![0.0; BATCH],
            hidden: vec![0.0; BATCH * HIDDEN],
            logits: vec![0.0; BATCH],
            losses: vec![0.0; BATCH],
            d_logits: vec![0.0; BATCH],
            d_hidden: vec![0.0; BATCH * HIDDEN],
            trained: [
                Trained::new(weights(1, INPUTS, HIDDEN)),
                Trained::new(vec![0.0; HIDDEN]),
                Trained::new(weights(2, HIDDEN, 1)),
                Trained::new(vec![0.0]),
            ],
            adam: Adam {
                lr: case.lr(),
                beta1,
                beta2,
                epsilon,
                l2: 0.0,
                weight_decay: 0.0,
                step: 0,
            },
            loss_sum: 0.0,
        })
    }

    fn step(&mut self) -> Result<(), ShapeError> {
        let Self { ctx, data, x, .. } = self;
        self.adam.step += 1;
        ctx.gather_rows_f32(&data.values, &self.rows, MatMut::row_major(x, BATCH, INPUTS)?)?;
        for (to, &row) in self.labels.iter_mut().zip(&self.rows) {
            *to = data.labels[row as usize];
        }
        let [w1, b1, w2, b2] = &mut self.trained;
        let x = MatRef::row_major(x, BATCH, INPUTS)?;
        let first = Epilogue::none().bias(&b1.value).activation(Activation::Relu);
        let w = MatRef::row_major(&w1.value, INPUTS, HIDDEN)?;
        ctx.gemm(
            1.0,
            x,
            w,
            0.0,
            MatMut::row_major(&mut self.hidden, BATCH, HIDDEN)?,
            first,
        )?;
        let hidden = MatRef::row_major(&self.hidden, BATCH, HIDDEN)?;
        let w = MatRef::row_major(&w2.value, HIDDEN, 1)?;
        let out = MatMut::row_major(&mut self.logits, BATCH, 1)?;
        ctx.gemm(1.0, hidden, w, 0.0, out, Epilogue::none().bias(&b2.value))?;
        for (to, &label) in self.targets.iter_mut().zip(&self.labels) {
            *to = f32::from(label);
        }
        let gradient = Gradient {
            scale: 1.0 / BATCH as f32,
            into: MatMut::row_major(&mut self.d_logits, BATCH, 1)?,
        };
        let outputs = MatRef::row_major(&self.logits, BATCH, 1)?;
        let targets = MatRef::row_major(&self.targets, BATCH, 1)?;
        ctx.binary_cross_entropy(outputs, targets, &mut self.losses, Some(gradient))?;
        self.loss_sum += self.losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        let d_logits = MatRef::row_major(&self.d_logits, BATCH, 1)?;
        let dw = MatMut::row_major(&mut w2.gradient, HIDDEN, 1)?;
        ctx.gemm(1.0, hidden.transposed(), d_logits, 0.0, dw, Epilogue::none())?;
        ctx.column_sum(d_logits, &mut b2.gradient)?;
        let slope = Epilogue::none().times_derivative(Activation::Relu, hidden);
        let d_hidden = MatMut::row_major(&mut self.d_hidden, BATCH, HIDDEN)?;
        ctx.gemm(1.0, d_logits, w.transposed(), 0.0, d_hidden, slope)?;
        let d_hidden = MatRef::row_major(&self.d_hidden, BATCH, HIDDEN)?;
        let dw = MatMut::row_major(&mut w1.gradient, INPUTS, HIDDEN)?;
        ctx.gemm(1.0, x.transposed(), d_hidden, 0.0, dw, Epilogue::none())?;
        ctx.column_sum(d_hidden, &mut b1.gradient)?;
        let rule = (self.adam, self.adam.corrections());
        for trained in &mut self.trained {
            trained.update(ctx, rule)?;
        }
        Ok(())
    }
}

impl Default for Overhead {
    fn default() -> Self {
        let case = Case {
            layers: vec![INPUTS, HIDDEN, 1],
            batch: BATCH,
            epochs: 0,
            rows: BATCH,
            value: false,
        };
        let data = Data::of(&case);
        Self { case, data }
    }
}

impl Overhead {
    /// Name of the case.
    pub fn name() -> String {
        format!("{INPUTS}-{HIDDEN}-1 batch {BATCH}: a step and its kernels")
    }

    /// Both, once they have been seen to do the same: after a few steps every parameter has the same bits.
    ///
    /// # Errors
    /// A device that is not there, or a step that does something else; in one line.
    pub fn lineup(&self) -> Result<Lineup<'_>, String> {
        let device = |error: DeviceError| error.to_string();
        let mut ours = Ours::new(&self.case, &self.data, Device::Cpu, Threads::one()).map_err(device)?;
        let mut straight = Straight::new(&self.case, &self.data).map_err(|error| error.to_string())?;
        for _ in 0..5 {
            ours.gathered().map_err(device)?;
            straight.step().map_err(|error| error.to_string())?;
        }
        let names = [weights_name(1), bias_name(1), weights_name(2), bias_name(2)];
        for (name, trained) in names.iter().zip(&straight.trained) {
            let there = ours.read(name).map_err(device)?;
            if there.iter().zip(&trained.value).any(|(a, b)| *a != f64::from(*b)) {
                return Err(format!("{}: the calls do not compute the step's {name}", Self::name()));
            }
        }
        let work = self.case.flops().map_err(|error| error.to_string())?;
        // The shapes were right a moment ago.
        let step = move |calls| (0..calls).for_each(|_| _ = ours.gathered());
        let kernels = move |calls| (0..calls).for_each(|_| _ = straight.step());
        Ok(Lineup {
            name: Self::name(),
            x: BATCH as f64,
            work,
            contestants: vec![
                Contestant::new(STEP, 0.0, step),
                Contestant::new(STRAIGHT, 0.0, kernels),
            ],
        })
    }

    /// The median over rounds of the step less the calls; `None` if the case was not run.
    pub fn bar(bench: &Bench) -> Option<Bar> {
        let name = Self::name();
        bench.cases.iter().find(|case| case.name == name)?;
        let (step, straight) = (by_round(bench, &name, STEP), by_round(bench, &name, STRAIGHT));
        let over = step.iter().filter_map(|(round, ns)| Some(ns - straight.get(round)?));
        let over: Vec<f64> = over.collect();
        let figure = match over.len() {
            rounds if rounds < ROUNDS as usize => Err(format!("{rounds} of {ROUNDS} rounds undisturbed")),
            _ => median(over).ok_or_else(|| "no round".to_owned()),
        };
        Some(Bar::at_most(
            format!("{name}: ns outside kernels"),
            figure,
            STEP_OUTSIDE,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Were a call missing or another, the parameters would differ.
    #[test]
    fn the_calls_are_those_of_the_step() {
        let overhead = Overhead::default();
        assert_eq!(overhead.lineup().unwrap().contestants.len(), 2);
    }
}
