//! What a run is before it begins: its layers, and what a step takes.

use super::super::activation_name;
use super::Trainer;
use crate::program::flops;
use crate::program::footprint::Footprint;

/// A run before its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Layers, first to last.
    pub layers: Vec<LayerSummary>,
    /// Bytes of all buffers of all programs; those that programs share count once.
    pub buffer_bytes: u64,
    /// Floating-point operations of a step on a whole batch.
    pub step_flops: u64,
    /// Rows of a batch.
    pub batch: usize,
    /// Steps of an epoch.
    pub epoch_steps: u64,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSummary {
    /// From 1.
    pub number: usize,
    /// Columns that go in and out.
    pub size: (usize, usize),
    /// What follows.
    pub activation: String,
    /// Trained numbers.
    pub parameters: usize,
}

impl Trainer<'_> {
    /// What is about to run.
    pub fn summary(&self) -> Summary {
        let layer = |number: usize| {
            let layer = self.model.layer(number);
            LayerSummary {
                number,
                size: (layer.inputs, layer.outputs),
                activation: activation_name(layer.activation),
                parameters: self.model.parameters_of(number),
            }
        };
        let mut buffers: Vec<(String, u64)> = Vec::new();
        let programs = self.steps.all().into_iter().chain([&self.evaluate.program]);
        for line in programs.flat_map(|program| Footprint::of(program, program.rows()).lines) {
            match buffers.iter_mut().find(|(name, _)| *name == line.name) {
                Some((_, bytes)) => *bytes = line.bytes.max(*bytes),
                None => buffers.push((line.name, line.bytes)),
            }
        }
        let flops = |(i, program): (usize, &&crate::program::Program)| {
            // Gradients run once for each micro-batch; what follows them once.
            let runs = if i == 0 {
                self.batch.div_ceil(program.rows()) as u64
            } else {
                1
            };
            runs * flops::of_program(program, program.rows())
        };
        Summary {
            layers: (1..=self.model.depth()).map(layer).collect(),
            buffer_bytes: buffers.iter().map(|(_, bytes)| bytes).sum(),
            step_flops: self.steps.all().iter().enumerate().map(flops).sum(),
            batch: self.batch,
            epoch_steps: self.span().epoch,
        }
    }
}
