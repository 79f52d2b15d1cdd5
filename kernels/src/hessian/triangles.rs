//! A layer's block where the e_n of all samples stay in a cache: one product over both symmetries.
//!
//! ```text
//! X2  x[n, i] x[n, i'], i <= i'         N x I (I + 1) / 2     a row a sample, triangle row after triangle row
//! E   e_n[j, j'],       j <= j'         N x J (J + 1) / 2     the same
//! M   X2^T E                            I (I + 1) / 2 x J (J + 1) / 2
//! H   row (i, j), column (i', j')       M[(i, i'), (j, j')], to four places
//! ```
//! A quarter of the arithmetic of J^T J, and none in idle lanes where J is no whole number of vectors: at I = J = 10 a third of what tiles
//! of whole rows take.

use super::LayerTerms;
use crate::context::Working;
use crate::gemm::{Product, Shape};
use crate::simd::{Kernel, Simd};
use crate::{Context, Float, MatMut, MatRef};

/// What stores beyond a triangle's end may touch: no vector has more lanes.
const SLACK: usize = 16;

/// Elements of a triangle with its diagonal.
pub(super) fn pairs(len: usize) -> usize {
    len * (len + 1) / 2
}

/// The block of checked terms.
pub(super) fn layer<T: Float>(ctx: &Context, terms: LayerTerms<'_, T>, add: bool, out: &mut MatMut<'_, T>) {
    let (n, inputs, units) = (terms.x.rows(), terms.x.cols(), terms.units);
    let (rows, cols) = (pairs(inputs), pairs(units));
    let working = &mut *ctx.working();
    let lens = [n * rows, n * cols, rows * cols, units * (units + SLACK)].map(|len| len + SLACK);
    let mut at = working.scratch.terms.room::<T>(lens.iter().sum());
    let [x, e, m, square] = lens.map(|len| {
        let here = at;
        at = at.wrapping_add(len);
        here
    });
    T::run_on(
        ctx.isa(),
        Triangles {
            factors: terms.x.as_ptr(),
            row: terms.x.row_stride(),
            positive: 1,
            negative: false,
            weights: None,
            diagonal: None,
            samples: n,
            len: inputs,
            to: x,
        },
    );
    T::run_on(
        ctx.isa(),
        Triangles {
            factors: terms.factors.as_ptr(),
            row: terms.per_row() * units,
            positive: terms.positive,
            negative: terms.negative,
            weights: terms.weights,
            diagonal: terms.diagonal,
            samples: n,
            len: units,
            to: e,
        },
    );
    multiply(ctx, working, (x, e, m), Shape { m: rows, n: cols, k: n });
    T::run_on(
        ctx.isa(),
        Spread {
            m,
            inputs,
            units,
            square,
            add,
            row_stride: out.row_stride(),
            out: out.as_mut_ptr(),
        },
    );
}

/// M = X2^T E.
fn multiply<T: Float>(ctx: &Context, working: &mut Working, (x, e, m): (*mut T, *mut T, *mut T), shape: Shape) {
    // SAFETY: both have been written, and are not touched while these live.
    let (x, e) = unsafe {
        (
            std::slice::from_raw_parts(x.cast_const(), shape.k * shape.m),
            std::slice::from_raw_parts(e.cast_const(), shape.k * shape.n),
        )
    };
    let (Ok(x), Ok(e)) = (
        MatRef::row_major(x, shape.k, shape.m),
        MatRef::row_major(e, shape.k, shape.n),
    ) else {
        unreachable!("made from the slices' own lengths")
    };
    let mut product = Product::new(ctx, shape, x.transposed().into(), e.into());
    (product.c, product.c_row) = (m, shape.n);
    if product.is_direct() {
        T::multiply_directly(&product);
    } else {
        T::multiply(&product, working);
    }
}

/// For every sample the upper triangle of sum over c of v_c v_c^T - u u^T, times the weights, plus the diagonal.
struct Triangles<'a, T> {
    /// v and u of a sample, row after row.
    factors: *const T,
    /// Elements from one sample to the next.
    row: usize,
    positive: usize,
    negative: bool,
    weights: Option<&'a [T]>,
    diagonal: Option<&'a [T]>,
    samples: usize,
    /// Of a factor.
    len: usize,
    to: *mut T,
}

impl<T: Float> Kernel<T> for Triangles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let len = self.len;
        let mut to = self.to;
        for sample in 0..self.samples {
            let v = self.factors.wrapping_add(sample * self.row);
            for j in 0..len {
                let mut at = j;
                // SAFETY: factors, weights and diagonal are as long as `layer_hessian` has checked. Whole vectors are stored: what goes beyond
                // this row is the next one's, which is written after it, or the slack behind the last.
                unsafe {
                    while at < len {
                        let left = len - at;
                        let mut sum = s.splat(T::ZERO);
                        for c in 0..self.positive {
                            let row = v.add(c * len);
                            sum = s.mul_add(s.splat(*row.add(j)), s.load_up_to(row.add(at), left), sum);
                        }
                        if self.negative {
                            let row = v.add(self.positive * len);
                            sum = s.sub(sum, s.mul(s.splat(*row.add(j)), s.load_up_to(row.add(at), left)));
                        }
                        if let Some(weights) = self.weights {
                            sum = s.mul(sum, s.load_up_to(weights.as_ptr().add(j * len + at), left));
                        }
                        s.store(to.add(at - j), sum);
                        at += S::LANES;
                    }
                    if let Some(diagonal) = self.diagonal {
                        to.write((*to).plus(*diagonal.as_ptr().add(sample * len + j)));
                    }
                    to = to.add(len - j);
                }
            }
        }
    }
}

/// M to H.
struct Spread<T> {
    m: *const T,
    inputs: usize,
    units: usize,
    /// Room for one e as a square, rows `units + SLACK` apart.
    square: *mut T,
    add: bool,
    out: *mut T,
    row_stride: usize,
}

impl<T: Float> Kernel<T> for Spread<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let (units, pitch) = (self.units, self.units + SLACK);
        let mut triangle = self.m;
        for i in 0..self.inputs {
            for other in i..self.inputs {
                // SAFETY: M has a triangle for every pair, the square its rows with slack behind each, H the places.
                unsafe {
                    self.unfold(s, triangle);
                    triangle = triangle.add(pairs(units));
                    for j in 0..units {
                        let from = self.square.add(j * pitch);
                        let first = (i * units + j) * self.row_stride + other * units;
                        let second = (other * units + j) * self.row_stride + i * units;
                        for at in (0..units).step_by(S::LANES) {
                            let (v, left) = (s.load(from.add(at)), units - at);
                            super::put(s, self.out.add(first + at), left, v, self.add);
                            if i != other {
                                super::put(s, self.out.add(second + at), left, v, self.add);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl<T: Float> Spread<T> {
    /// The square of a triangle.
    #[inline(always)]
    unsafe fn unfold<S: Simd<T>>(&self, s: S, triangle: *const T) {
        let (units, pitch) = (self.units, self.units + SLACK);
        let mut row = triangle;
        for j in 0..units {
            // SAFETY: the triangle's row j begins on the diagonal; whole vectors end in the slack behind the square's row.
            unsafe {
                let diagonal = self.square.add(j * pitch + j);
                for at in (0..units - j).step_by(S::LANES) {
                    s.store(diagonal.add(at), s.load_up_to(row.add(at), units - j - at));
                }
                for k in 1..units - j {
                    diagonal.add(k * pitch).write(*row.add(k));
                }
                row = row.add(units - j);
            }
        }
    }
}
