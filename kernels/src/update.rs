//! Parameter updates, each in one pass over its arrays.
//!
//! SGD with weight decay: w <- decay w - lr g, with decay = 1 - lr * l2.

use crate::elementwise::{length, zip_in_place};
use crate::simd::Simd;
use crate::vector_loops::Zip;
use crate::{Context, Float, ShapeError};

#[derive(Clone, Copy)]
struct Sgd<T> {
    decay: T,
    lr: T,
}

impl<T: Float> Zip<T> for Sgd<T> {
    /// (g, w) -> decay w - lr g.
    #[inline(always)]
    fn zip<S: Simd<T>>(self, s: S, g: S::V, w: S::V) -> S::V {
        s.sub(s.mul(s.splat(self.decay), w), s.mul(s.splat(self.lr), g))
    }
}

impl Context {
    /// weights <- decay * weights - lr * gradient; `decay` is 1 without weight decay, else 1 - lr * l2.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn sgd<T: Float>(&self, decay: T, lr: T, gradient: &[T], weights: &mut [T]) -> Result<(), ShapeError> {
        length("sgd", "gradient", gradient.len(), weights.len())?;
        zip_in_place(self, Sgd { decay, lr }, gradient, weights);
        Ok(())
    }
}
