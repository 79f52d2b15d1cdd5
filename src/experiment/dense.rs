//! A small network in f64 on our kernels, one product and one activation at a time, so that every sum can be looked at.

use tilelab_kernels::{Activation, Context, Epilogue, MatMut, MatRef};

use super::Failure;
use crate::mlp::Init;

/// Layers with an activation behind all but the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Net {
    /// Widths, input first.
    pub widths: Vec<usize>,
    /// Behind each hidden layer.
    pub activation: Activation,
    /// Of each layer, \[inputs, outputs\] row-major.
    pub weights: Vec<Vec<f64>>,
    /// Of each layer, one an output.
    pub biases: Vec<Vec<f64>>,
}

impl Net {
    /// Weights from He's normal distribution, biases normal with sigma 0.5.
    pub fn random(widths: &[usize], activation: Activation, seed: u64) -> Self {
        let pairs = || widths.windows(2).enumerate();
        let bias = Init::Normal { sigma: 0.5 };
        Self {
            widths: widths.to_vec(),
            activation,
            weights: pairs()
                .map(|(l, pair)| Init::He { normal: true }.weights(seed, l + 1, (pair[0], pair[1])))
                .collect(),
            // Layers of a second seed, so that no weight is a bias too.
            biases: pairs()
                .map(|(l, pair)| bias.weights(seed.wrapping_add(1_000_000), l + 1, (1, pair[1])))
                .collect(),
        }
    }

    /// Layers that have parameters.
    pub fn depth(&self) -> usize {
        self.weights.len()
    }

    /// The sums Z = H W + b of every layer, `[rows, outputs]`, for the rows of `x`; the last are the network's outputs.
    ///
    /// # Errors
    /// Rows of another width.
    pub fn sums(&self, ctx: &Context, x: &[f64], rows: usize) -> Result<Vec<Vec<f64>>, Failure> {
        let mut sums: Vec<Vec<f64>> = Vec::new();
        for l in 0..self.depth() {
            let (inputs, outputs) = (self.widths[l], self.widths[l + 1]);
            let hidden = match sums.last() {
                None => x.to_vec(),
                Some(z) => {
                    let mut h = vec![0.0; z.len()];
                    ctx.activate(self.activation, z, &mut h)?;
                    h
                }
            };
            let mut z = vec![0.0; rows * outputs];
            ctx.gemm(
                1.0,
                MatRef::row_major(&hidden, rows, inputs)?,
                MatRef::row_major(&self.weights[l], inputs, outputs)?,
                0.0,
                MatMut::row_major(&mut z, rows, outputs)?,
                Epilogue::none(),
            )?;
            ctx.add_bias(&self.biases[l], MatMut::row_major(&mut z, rows, outputs)?)?;
            sums.push(z);
        }
        Ok(sums)
    }

    /// The outputs alone.
    ///
    /// # Errors
    /// As [`Net::sums`].
    pub fn outputs(&self, ctx: &Context, x: &[f64], rows: usize) -> Result<Vec<f64>, Failure> {
        Ok(self.sums(ctx, x, rows)?.pop().unwrap_or_default())
    }
}
