//! What each layer does with one batch: the size of its gradient, units that are dead, outputs that are 0.

use super::super::TrainError;
use super::{TRAIN, Trainer};
use crate::device::Batch;
use crate::measure::LayerStats;
use crate::program::StepArgs;
use crate::program::lower::{bias_name, output_name, weights_name};

impl Trainer<'_> {
    /// The first batch of the training rows, forward and back, without an update: the run goes on as if nobody had looked. Empty
    /// if nobody wants to know.
    ///
    /// # Errors
    /// A device that fails.
    pub(super) fn layer_stats(&mut self) -> Result<Vec<LayerStats>, TrainError> {
        let Some(gradients) = &self.looks else {
            return Ok(Vec::new());
        };
        // Batch norm's running statistics learn from every forward pass, this one too.
        let extras = self.model.extras();
        let statistics = extras.iter().filter(|(_, extra)| !extra.trained());
        let mut kept = Vec::new();
        for name in statistics.map(|(l, extra)| extra.name(*l)) {
            kept.push((self.session.read(&name)?, name));
        }
        let rows = &self.rows[0][..self.batch];
        let batch = Batch::of_set(&gradients.program, &self.sets, TRAIN, rows)?;
        let args = StepArgs {
            inverse_rows: 1.0 / rows.len() as f64,
            t: self.progress.steps + 1,
            seed: self.options.seed,
            ..StepArgs::default()
        };
        self.session.run(gradients.id, &batch, &args);
        let mut stats = Vec::new();
        for layer in 1..=self.model.depth() {
            let own = self.model.extras_of(layer).filter(|extra| extra.trained());
            let names = [weights_name(layer), bias_name(layer)].into_iter();
            let mut squares = 0.0;
            for name in names.chain(own.map(|extra| extra.name(layer))) {
                squares += self
                    .session
                    .read(&format!("d{name}"))?
                    .iter()
                    .map(|x| x * x)
                    .sum::<f64>();
            }
            let (mut dead_units, mut sparsity) = (None, None);
            if layer < self.model.depth() {
                let outputs = self.session.read(&output_name(&self.model, layer))?;
                let units = self.model.layer(layer).outputs;
                let dead = (0..units).filter(|&unit| outputs.iter().skip(unit).step_by(units).all(|&x| x == 0.0));
                dead_units = Some(dead.count() as f64 / units as f64);
                sparsity = Some(outputs.iter().filter(|&&x| x == 0.0).count() as f64 / outputs.len() as f64);
            }
            stats.push(LayerStats {
                layer,
                gradient_norm: squares.sqrt(),
                dead_units,
                sparsity,
            });
        }
        for (values, name) in kept {
            self.session.write(&name, &values)?;
        }
        self.session.metrics()?;
        Ok(stats)
    }
}
