//! Second derivatives of the activations, and products of one matrix with many stacked ones: what Hessian-vector products take beside
//! matrix products.
//!
//! | activation | f''(x) | from |
//! |---|---|---|
//! | identity, relu, leaky relu, prelu | 0, at the kink too | |
//! | elu | 0 above 0, else alpha exp(x) | as its derivative |
//! | sigmoid | y (1 - y) (1 - 2 y) | output |
//! | tanh | -2 y (1 - y) (1 + y) | output |
//! | swish | beta y (1 - y) (2 + z (1 - 2 y)), z = beta x, y = sigmoid(z) | input |
//! | gelu | p(x) (2 - x^2), p the standard normal density | input |
//! | gelu, tanh form | y (1 - y) (2 u' + x ((1 - 2 y) u'^2 + u'')), y = sigmoid(u) | input |
//!
//! All are sums of a few terms of either sign, so the error is a few ulp of the largest of them, not of the result.
//!
//! # Layout of the stacked form
//! ```text
//! y    m x n                 read again for every block, from the nearest cache
//! x    [x_1; x_2; .. x_K]    K m x n, one block a direction
//! out  the same
//! ```

use crate::elementary;
use crate::elementwise::{self, Shared, length, over_chunks};
use crate::simd::{Arithmetic, Kernel, Simd};
use crate::vector_loops::{Map, Zip};
use crate::{Activation, Context, Float, Saves, ShapeError};

impl Activation {
    /// Whether its second derivative is 0 wherever it has one.
    pub fn is_piecewise_linear(self) -> bool {
        matches!(
            self,
            Self::Identity | Self::Relu | Self::LeakyRelu { .. } | Self::PRelu { .. }
        )
    }
}

impl Context {
    /// out = f'(saved), element by element; `saved` is the activation's input or output, as [`Activation::saves`] says.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn activation_slope<T: Float>(&self, f: Activation, saved: &[T], out: &mut [T]) -> Result<(), ShapeError> {
        struct Visit<'a, T>(&'a Context, &'a [T], &'a mut [T]);
        impl<T: Float> crate::activation::Visitor<T> for Visit<'_, T> {
            fn function<F: Map<T> + Zip<T>>(self, f: F) {
                elementwise::map(self.0, SlopeOf(f), self.1, self.2);
            }
        }
        length("activation_slope", "out", out.len(), saved.len())?;
        f.visit(Visit(self, saved, out));
        Ok(())
    }

    /// out = gradient * f''(saved), element by element; `saved` is what [`Activation::saves`] says.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn activation_curvature<T: Float>(
        &self,
        f: Activation,
        saved: &[T],
        gradient: &[T],
        out: &mut [T],
    ) -> Result<(), ShapeError> {
        length("activation_curvature", "gradient", gradient.len(), saved.len())?;
        length("activation_curvature", "out", out.len(), saved.len())?;
        match f {
            Activation::Sigmoid => elementwise::zip(self, Sigmoid, saved, gradient, out),
            Activation::Tanh => elementwise::zip(self, Tanh, saved, gradient, out),
            Activation::Elu { alpha } => {
                let from_output = f.saves() == Saves::Output;
                let alpha = T::from_f64(alpha);
                elementwise::zip(self, Elu { alpha, from_output }, saved, gradient, out);
            }
            Activation::Swish { beta } => elementwise::zip(self, Swish(T::from_f64(beta)), saved, gradient, out),
            Activation::Gelu => elementwise::zip(self, Gelu, saved, gradient, out),
            Activation::GeluTanh => elementwise::zip(self, GeluTanh, saved, gradient, out),
            Activation::Identity | Activation::Relu | Activation::LeakyRelu { .. } | Activation::PRelu { .. } => {
                out.fill(T::ZERO);
            }
        }
        Ok(())
    }

    /// out_k = y (.) x_k, or out_k += y (.) x_k, for every block of `y`'s length in `x`.
    ///
    /// # Errors
    /// When `out` has not the length of `x`, or that is no multiple of `y`'s.
    pub fn multiply_stacked<T: Float>(&self, y: &[T], x: &[T], add: bool, out: &mut [T]) -> Result<(), ShapeError> {
        length("multiply_stacked", "out", out.len(), x.len())?;
        let blocks = x.len().checked_div(y.len()).unwrap_or(0);
        length("multiply_stacked", "x", x.len(), blocks * y.len())?;
        let (isa, to) = (self.isa(), Shared::new(out.as_mut_ptr()));
        // Chunks of y, so that each is read once from memory and then from a cache.
        over_chunks(self, y.len(), &|start, len| {
            for block in 0..blocks {
                let at = block * y.len() + start;
                // SAFETY: the chunk lies within this block of x and out, which are of one length; chunks do not overlap.
                unsafe {
                    let (y, x) = (y.as_ptr().add(start), x.as_ptr().add(at));
                    T::run_on(
                        isa,
                        Multiply {
                            y,
                            x,
                            add,
                            out: to.at(at),
                            len,
                        },
                    );
                }
            }
        });
        Ok(())
    }
}

/// f'(x) as a function of one vector.
#[derive(Clone, Copy)]
struct SlopeOf<F>(F);

impl<T: Float, F: Zip<T>> Map<T> for SlopeOf<F> {
    #[inline(always)]
    fn map<S: Arithmetic<T>>(self, s: S, saved: S::V) -> S::V {
        self.0.zip(s, saved, s.splat(T::ONE))
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl<T: Float> Zip<T> for Sigmoid {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, y: S::V, dy: S::V) -> S::V {
        let left = s.sub(s.splat(T::ONE), y);
        s.mul(dy, s.mul(s.mul(y, left), s.sub(left, y)))
    }
}

#[derive(Clone, Copy)]
struct Tanh;

impl<T: Float> Zip<T> for Tanh {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, y: S::V, dy: S::V) -> S::V {
        let one = s.splat(T::ONE);
        let slope = s.mul(s.sub(one, y), s.add(one, y));
        s.mul(dy, s.mul(s.mul(s.splat(T::from_f64(-2.0)), y), slope))
    }
}

#[derive(Clone, Copy)]
struct Elu<T> {
    alpha: T,
    from_output: bool,
}

impl<T: Float> Zip<T> for Elu<T> {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, saved: S::V, dy: S::V) -> S::V {
        let alpha = s.splat(self.alpha);
        let below = if self.from_output {
            s.add(saved, alpha)
        } else {
            s.mul(alpha, elementary::exp(s, saved))
        };
        let zero = s.splat(T::ZERO);
        s.mul(dy, s.select(s.gt(saved, zero), zero, below))
    }
}

#[derive(Clone, Copy)]
struct Swish<T>(T);

impl<T: Float> Zip<T> for Swish<T> {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        let beta = s.splat(self.0);
        // y (1 - y) and z (1 - 2 y) are the same for z and -z: for -|z| nothing cancels in 1 - y.
        let z = s.sub(s.splat(T::ZERO), s.abs(s.mul(beta, x)));
        let y = elementary::sigmoid(s, z);
        let left = s.sub(s.splat(T::ONE), y);
        let inner = s.mul_add(z, s.sub(left, y), s.splat(T::from_f64(2.0)));
        s.mul(dy, s.mul(s.mul(beta, s.mul(y, left)), inner))
    }
}

#[derive(Clone, Copy)]
struct Gelu;

impl<T: Float> Zip<T> for Gelu {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        let square = s.mul(x, x);
        let density = elementary::exp(s, s.mul(square, s.splat(T::from_f64(-0.5))));
        let inner = s.sub(s.splat(T::from_f64(2.0)), square);
        let scale = s.splat(T::from_f64(0.398_942_280_401_432_7));
        s.mul(dy, s.mul(s.mul(density, scale), inner))
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl<T: Float> Zip<T> for GeluTanh {
    #[inline(always)]
    fn zip<S: Arithmetic<T>>(self, s: S, x: S::V, dy: S::V) -> S::V {
        // u = k (x + c x^3), u' = k (1 + 3 c x^2), u'' = 6 k c x
        let (k, c) = (1.595_769_121_605_730_7, 0.044715);
        let square = s.mul(x, x);
        // As with swish, from -|x| on.
        let minus = s.sub(s.splat(T::ZERO), s.abs(x));
        let u = s.mul(
            minus,
            s.mul_add(square, s.splat(T::from_f64(k * c)), s.splat(T::from_f64(k))),
        );
        let first = s.mul_add(square, s.splat(T::from_f64(3.0 * k * c)), s.splat(T::from_f64(k)));
        let second = s.mul(x, s.splat(T::from_f64(6.0 * k * c)));
        let y = elementary::sigmoid(s, u);
        let left = s.sub(s.splat(T::from_f64(1.0)), y);
        let bent = s.mul(s.mul(s.sub(left, y), first), first);
        let inner = s.mul_add(minus, bent, s.mul_add(x, second, s.add(first, first)));
        s.mul(dy, s.mul(s.mul(y, left), inner))
    }
}

struct Multiply<T> {
    y: *const T,
    x: *const T,
    add: bool,
    out: *mut T,
    len: usize,
}

impl<T: Float> Kernel<T> for Multiply<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let mut i = 0;
        while i < self.len {
            let left = self.len - i;
            // SAFETY: `left` elements are left in all three: `multiply_stacked` vouches for them.
            unsafe {
                let (y, x) = (s.load_up_to(self.y.add(i), left), s.load_up_to(self.x.add(i), left));
                let out = self.out.add(i);
                let product = if self.add {
                    s.mul_add(y, x, s.load_up_to(out, left))
                } else {
                    s.mul(y, x)
                };
                s.store_up_to(out, left, product);
            }
            i += S::LANES;
        }
    }
}
