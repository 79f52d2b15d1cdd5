//! Gradients of targets that are drawn from the model's own distribution.

use rand::RngExt;
use rand_distr::StandardNormal;
use tilelab_kernels::Float;

use crate::device::arithmetic::{View, ViewMut};
use crate::mlp::{Purpose, stream};
use crate::program::{StepArgs, TargetLoss};

/// out <- scale times the gradient by the outputs.
///
/// The distribution is the one whose negative log-likelihood the loss is: a class by softmax; a normal target of variance q / 2 for the
/// mean of q squares; a Bernoulli target for each of q binary cross-entropies. Their mean is 1 / q of a log-likelihood, so its gradient
/// enters with 1 / sqrt(q): the expectation of the outer product is then the second derivative of the loss in every case.
pub(super) fn gradient<T: Float>(
    loss: Option<TargetLoss>,
    outputs: View<'_, T>,
    scale: f64,
    args: &StepArgs,
    out: ViewMut<'_, T>,
) {
    let q = outputs.cols;
    // Steps draw anew; 2^64 over the golden ratio keeps neighbours apart.
    let seed = args.seed.wrapping_add(args.t.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let rows = out.data.chunks_exact_mut(q).zip(outputs.data.chunks_exact(q));
    for (i, (out, x)) in rows.enumerate() {
        let mut random = stream(
            seed,
            Purpose::Target {
                row: args.row_offset as usize + i,
            },
        );
        match loss {
            None => {
                let top = x.iter().map(|x| x.to_f64()).fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = x.iter().map(|x| (x.to_f64() - top).exp()).sum();
                let mut left = random.random::<f64>() * total;
                let mut drawn = false;
                for (j, (out, x)) in out.iter_mut().zip(x).enumerate() {
                    let e = (x.to_f64() - top).exp();
                    left -= e;
                    // Rounding may leave something behind the last.
                    let here = !drawn && (left < 0.0 || j + 1 == q);
                    drawn |= here;
                    *out = T::from_f64(scale * (e / total - f64::from(here)));
                }
            }
            Some(TargetLoss::SquaredError) => {
                let factor = scale * (2.0 / q as f64).sqrt();
                for out in out {
                    *out = T::from_f64(-factor * random.sample::<f64, _>(StandardNormal));
                }
            }
            Some(TargetLoss::BinaryCrossEntropy) => {
                let factor = scale / (q as f64).sqrt();
                for (out, x) in out.iter_mut().zip(x) {
                    let y = 1.0 / (1.0 + (-x.to_f64()).exp());
                    let target = f64::from(random.random::<f64>() < y);
                    *out = T::from_f64(factor * (y - target));
                }
            }
        }
    }
}
