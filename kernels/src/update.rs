//! Parameter updates, each in one pass over its arrays. g is the gradient, w a weight; l2 is added to g as l2 w.
//!
//! | update | state | formula |
//! |---|---|---|
//! | SGD | | w <- decay w - lr g, decay = 1 - lr l2 |
//! | momentum | v | v <- mu v + g + l2 w, w <- w - lr v |
//! | Nesterov | v | v as above, w <- w - lr (g + l2 w + mu v) |
//! | Adam | a, b | a <- b1 a + (1 - b1) g', b <- b2 b + (1 - b2) g'^2, g' = g + l2 w; w <- w - step a / (sqrt(b) / root + eps) |
//! | AdamW | a, b | the same with g' = g, after w <- decay w, decay = 1 - lr weight_decay |
//!
//! A moment or velocity is rounded to a multiple of the smallest normal number (which changes none above 2^-79, f64 2^-917). Those of a unit
//! that died would become denormal and stay so: 0.9 times a few times the smallest number rounds to itself. A vector with such numbers in it
//! takes three times as long, and at 20-64-1 every other vector had some.
//!
//! For Adam step = lr / (1 - b1^t) and root = sqrt(1 - b2^t), t counting from 1: computed once a step in f64.
//!
//! References: 1. I. Sutskever et al., *On the importance of initialization and momentum*, 2013, in the form of PyTorch's SGD. 2. D. Kingma, J. Ba,
//! *Adam*, 2015. 3. I. Loshchilov, F. Hutter, *Decoupled Weight Decay Regularization*, 2019.

use crate::elementwise::{Shared, length, over_chunks};
use crate::simd::{Arithmetic, Kernel, Simd};
use crate::{Context, Float, ShapeError};

/// A rule that changes N arrays in place, the weights first, by a gradient.
trait Update<T: Float, const N: usize>: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn at<S: Arithmetic<T>>(self, s: S, g: S::V, state: [S::V; N]) -> [S::V; N];
}

/// Elements `0..len` from these addresses on.
struct Run<U, T, const N: usize> {
    update: U,
    gradient: *const T,
    arrays: [*mut T; N],
    len: usize,
}

impl<T: Float, U: Update<T, N>, const N: usize> Kernel<T> for Run<U, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let mut i = 0;
        while i < self.len {
            let left = self.len - i;
            let mut state = [s.splat(T::ZERO); N];
            // SAFETY: all arrays have `len` elements.
            unsafe {
                for (v, array) in state.iter_mut().zip(&self.arrays) {
                    *v = s.load_up_to(array.add(i), left);
                }
                let g = s.load_up_to(self.gradient.add(i), left);
                for (v, array) in self.update.at(s, g, state).into_iter().zip(&self.arrays) {
                    s.store_up_to(array.add(i), left, v);
                }
            }
            i += S::LANES;
        }
    }
}

/// Runs `update` over all of them, after their lengths were found equal.
fn update<T: Float, const N: usize>(
    ctx: &Context,
    operation: &'static str,
    update: impl Update<T, N>,
    gradient: &[T],
    arrays: [(&'static str, &mut [T]); N],
) -> Result<(), ShapeError> {
    for (name, array) in &arrays {
        length(operation, name, array.len(), gradient.len())?;
    }
    let isa = ctx.isa();
    let arrays = arrays.map(|(_, array)| Shared::new(array.as_mut_ptr()));
    over_chunks(ctx, gradient.len(), &|start, len| {
        T::run_on(
            isa,
            Run {
                update,
                gradient: gradient[start..].as_ptr(),
                // SAFETY: the chunk lies within all of them; chunks do not overlap.
                arrays: arrays.map(|array| unsafe { array.at(start) }),
                len,
            },
        );
    });
    Ok(())
}

/// x as a multiple of the smallest normal number: added to one whose last bit that is, and taken from it again.
#[inline(always)]
fn normal<T: Float, S: Arithmetic<T>>(s: S, x: S::V) -> S::V {
    let unit = s.splat(T::from_f64(T::SMALLEST_NORMAL.to_f64() / T::EPSILON));
    s.sub(s.add(x, unit), unit)
}

#[derive(Clone, Copy)]
struct Sgd<T> {
    decay: T,
    lr: T,
}

impl<T: Float> Update<T, 1> for Sgd<T> {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(self, s: S, g: S::V, [w]: [S::V; 1]) -> [S::V; 1] {
        [s.sub(s.mul(s.splat(self.decay), w), s.mul(s.splat(self.lr), g))]
    }
}

/// The numbers of an update with momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Momentum {
    /// Learning rate.
    pub lr: f64,
    /// mu, 0.9 by custom.
    pub momentum: f64,
    /// Added to the gradient times the weight.
    pub l2: f64,
    /// Looks ahead by mu v.
    pub nesterov: bool,
}

#[derive(Clone, Copy)]
struct WithMomentum<T> {
    lr: T,
    mu: T,
    l2: T,
    nesterov: bool,
}

impl<T: Float> Update<T, 2> for WithMomentum<T> {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(self, s: S, g: S::V, [w, v]: [S::V; 2]) -> [S::V; 2] {
        let mu = s.splat(self.mu);
        let g = s.mul_add(s.splat(self.l2), w, g);
        let v = normal(s, s.mul_add(mu, v, g));
        let by = if self.nesterov { s.mul_add(mu, v, g) } else { v };
        [s.sub(w, s.mul(s.splat(self.lr), by)), v]
    }
}

/// The numbers of Adam and AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// b1, 0.9 by custom.
    pub beta1: f64,
    /// b2, 0.999 by custom.
    pub beta2: f64,
    /// eps, 1e-8 by custom.
    pub epsilon: f64,
    /// Added to the gradient times the weight (Adam).
    pub l2: f64,
    /// Takes this times lr from the weight itself (AdamW).
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub step: u64,
}

#[derive(Clone, Copy)]
struct AdamRule<T> {
    decay: T,
    l2: T,
    beta1: T,
    rest1: T,
    beta2: T,
    rest2: T,
    step: T,
    inverse_root: T,
    epsilon: T,
}

/// What a step of Adam corrects its moments by: it depends on b1, b2 and the step's number alone, and takes two powers, which
/// are more than a small array's update takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corrections {
    /// 1 - b1^t
    first: f64,
    /// 1 / sqrt(1 - b2^t)
    inverse_root: f64,
}

impl Adam {
    /// The corrections of this step.
    pub fn corrections(&self) -> Corrections {
        let power = |beta: f64| 1.0 - beta.powf(self.step as f64);
        Corrections {
            first: power(self.beta1),
            inverse_root: 1.0 / power(self.beta2).sqrt(),
        }
    }
}

impl<T: Float> AdamRule<T> {
    fn new(adam: Adam, corrections: Corrections) -> Self {
        let t = T::from_f64;
        Self {
            decay: t(1.0 - adam.lr * adam.weight_decay),
            l2: t(adam.l2),
            beta1: t(adam.beta1),
            rest1: t(1.0 - adam.beta1),
            beta2: t(adam.beta2),
            rest2: t(1.0 - adam.beta2),
            step: t(adam.lr / corrections.first),
            inverse_root: t(corrections.inverse_root),
            epsilon: t(adam.epsilon),
        }
    }
}

impl<T: Float> Update<T, 3> for AdamRule<T> {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(self, s: S, g: S::V, [w, a, b]: [S::V; 3]) -> [S::V; 3] {
        let g = s.mul_add(s.splat(self.l2), w, g);
        let a = normal(s, s.mul_add(s.splat(self.beta1), a, s.mul(s.splat(self.rest1), g)));
        let b = normal(
            s,
            s.mul_add(s.splat(self.beta2), b, s.mul(s.splat(self.rest2), s.mul(g, g))),
        );
        let by = s.over_root(a, b, s.splat(self.inverse_root), s.splat(self.epsilon));
        let w = s.mul(s.splat(self.decay), w);
        [s.sub(w, s.mul(s.splat(self.step), by)), a, b]
    }
}

impl Context {
    /// weights <- decay * weights - lr * gradient; `decay` is 1 without weight decay, else 1 - lr * l2.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn sgd<T: Float>(&self, decay: T, lr: T, gradient: &[T], weights: &mut [T]) -> Result<(), ShapeError> {
        update(self, "sgd", Sgd { decay, lr }, gradient, [("weights", weights)])
    }

    /// SGD with momentum; `velocity` begins with 0.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn momentum<T: Float>(
        &self,
        rule: Momentum,
        gradient: &[T],
        weights: &mut [T],
        velocity: &mut [T],
    ) -> Result<(), ShapeError> {
        let rule = WithMomentum {
            lr: T::from_f64(rule.lr),
            mu: T::from_f64(rule.momentum),
            l2: T::from_f64(rule.l2),
            nesterov: rule.nesterov,
        };
        let arrays = [("weights", weights), ("velocity", velocity)];
        update(self, "momentum", rule, gradient, arrays)
    }

    /// Adam or AdamW; `first` and `second`, the moments, begin with 0.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn adam<T: Float>(
        &self,
        rule: Adam,
        gradient: &[T],
        weights: &mut [T],
        first: &mut [T],
        second: &mut [T],
    ) -> Result<(), ShapeError> {
        self.adam_corrected(rule, rule.corrections(), gradient, weights, [first, second])
    }

    /// [`Context::adam`] with the corrections of [`Adam::corrections`], which all arrays of a step share, and both moments.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn adam_corrected<T: Float>(
        &self,
        rule: Adam,
        corrections: Corrections,
        gradient: &[T],
        weights: &mut [T],
        [first, second]: [&mut [T]; 2],
    ) -> Result<(), ShapeError> {
        let arrays = [("weights", weights), ("first", first), ("second", second)];
        update(self, "adam", AdamRule::new(rule, corrections), gradient, arrays)
    }
}
