//! Some of a model's layers as programs of their own: a stage of a pipeline.
//!
//! A stage of the layers a to b knows what is ahead of it and behind it by two buffers, which are written from outside
//! ([`crate::device::Session::write`]): H(a-1), unless it is the first, which loads rows, and dJ/dH(b), unless it is the last, which
//! has the loss. What it leaves for its neighbours lies in two more:
//!
//! | program | is given | leaves |
//! |---|---|---|
//! | `forward` | H(a-1) | H(b) |
//! | `gradients` | H(a-1), dJ/dH(b) | dW and db of its layers, dJ/dH(a-1) |
//! | `update` | | W and b of its layers |
//!
//! `gradients` begins with the way forward, so that of a micro-batch that is under way nothing has to be kept but H(a-1): Huang et al.,
//! GPipe, 2019, section 2.3. Names of the buffers: [`handed_name`] and [`handed_gradient_name`]. Together the stages do what the
//! programs of the whole model do, operation by operation. Batch norm would be given its statistics twice, and those of
//! micro-batches: it has no stages.

use std::ops::RangeInclusive;

use tilelab_kernels::Activation;

use super::writer::{Writer, output_name};
use super::{Field, Lifetime, Lowering, Op, Scalar};
use crate::mlp::{Model, Optimizer};
use crate::program::{Program, ProgramError};

/// Name of the buffer that layer l hands on to the next.
pub fn handed_name(model: &Model, l: usize) -> String {
    if model.dropout() > 0.0 {
        format!("r{l}")
    } else {
        output_name(model, l)
    }
}

/// Name of the buffer that the next layer hands back to layer l: the derivative by what it was handed.
pub fn handed_gradient_name(model: &Model, l: usize) -> String {
    match model.layer(l).activation {
        _ if model.dropout() > 0.0 => format!("dr{l}"),
        Activation::Identity => format!("dz{l}"),
        _ => format!("dh{l}"),
    }
}

impl Lowering<'_> {
    /// `forward` of a stage, as it trains. `layers` count from 1.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn stage_forward(&self, layers: RangeInclusive<usize>) -> Result<Program, ProgramError> {
        let mut writer = Writer::of_stage(*self, layers);
        writer.stage_layers();
        writer.finish("forward")
    }

    /// `gradients` of a stage, added to those that are there when [`crate::program::StepArgs::accumulate`] is 1.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn stage_gradients(&self, layers: RangeInclusive<usize>) -> Result<Program, ProgramError> {
        let (last, accumulate) = (*layers.end(), Scalar::field(Field::Accumulate));
        let mut writer = Writer::of_stage(*self, layers);
        writer.stage_layers();
        if last == self.model.depth() {
            let out = writer.labels();
            writer.operations.push(Op::LoadLabels { out });
            writer.loss_backward();
        } else {
            let handed = writer.handed_gradient(last);
            writer.keep(handed);
            writer.activation_backward(last, accumulate, Lifetime::Kept);
        }
        writer.layers_backward(accumulate, Lifetime::Kept);
        writer.finish("gradients")
    }

    /// `update` of a stage's parameters from the gradients that are there.
    ///
    /// # Errors
    /// As [`Lowering::step`].
    pub fn stage_update(&self, layers: RangeInclusive<usize>, optimizer: Optimizer) -> Result<Program, ProgramError> {
        let mut writer = Writer::of_stage(*self, layers);
        writer.update(optimizer, Lifetime::Kept);
        writer.finish("update")
    }
}

impl<'a> Writer<'a> {
    fn of_stage(with: Lowering<'a>, layers: RangeInclusive<usize>) -> Self {
        let mut writer = Self::new(with);
        (writer.layers, writer.training) = (layers, true);
        writer
    }

    /// The way forward from what the stage is handed.
    fn stage_layers(&mut self) {
        let ahead = *self.layers.start() - 1;
        if ahead == 0 {
            self.load_rows();
        } else {
            let handed = self.handed(ahead);
            self.keep(handed);
        }
        self.layers();
    }
}
