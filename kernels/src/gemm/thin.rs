//! Products without a tile: of depth 1, and of one row.
//!
//! ```text
//! c[i][j] = epilogue(alpha * a[i] * b[j])                      outer: nothing is read twice but b
//! c[j]    = epilogue(alpha * sum over p of a[p] * b[p, j])     one row: B is read once, along its rows
//! ```
//! A tile of depth 1 is all beginning and end, 14 cycles a vector of C on Zen 1; one row of two vectors has two sums in flight, of which
//! each waits for the one before. Here the rows of C are walked straight, and a row's sums take [`SUMS`] vectors side by side. What is
//! computed is what the tiles compute, to the bit: which of them it is may depend on the threads.

// Loops over registers go by index, as in the micro-kernel.
#![allow(clippy::needless_range_loop)]

use super::loops::Product;
use super::microkernel::Finish;
use super::plan::Shape;
use crate::simd::{Kernel, Simd};
use crate::{Float, MatRef};

/// Vectors of sums that are in flight in a product of one row.
const SUMS: usize = 8;

impl<T: Float> Product<'_, T> {
    /// A and B, if this is such a product: on matrices whose rows (of A: elements) need not be sought, with an epilogue that is done in
    /// registers, C of two vectors and more.
    pub(super) fn thin(&self) -> Option<(MatRef<'_, T>, MatRef<'_, T>)> {
        let Shape { m, n, k } = self.shape;
        if k != 1 && m != 1 {
            return None;
        }
        let (a, b) = (self.a.matrix()?, self.b.matrix()?);
        let finish = self.finish(0);
        let in_registers = !self.epilogue.is_long() && (finish.saved.is_null() || finish.is_relus_derivative());
        let in_one_step = k <= self.blocking.kc || self.epilogue.is_none() && finish.bias.is_null();
        let wide = n >= 2 * self.kernels.lanes && self.c_col == 1 && b.col_stride() == 1;
        (wide && in_registers && in_one_step && self.beta == T::ZERO).then_some((a, b))
    }

    /// Runs it, on the calling thread.
    pub(super) fn run_thin(&self, (a, b): (MatRef<'_, T>, MatRef<'_, T>)) {
        let thin = Thin {
            shape: self.shape,
            kc: self.blocking.kc,
            a: (
                a.as_ptr(),
                if self.shape.k == 1 {
                    a.row_stride()
                } else {
                    a.col_stride()
                },
            ),
            b: (b.as_ptr(), b.row_stride()),
            c: (self.c, self.c_row),
            alpha: self.alpha,
            finish: self.finish(0),
        };
        T::run_on(self.isa, thin);
    }
}

/// Copies of all that the loops need: behind a reference they would be read again after each store.
struct Thin<T> {
    shape: Shape,
    kc: usize,
    /// Element 0, and elements to the next.
    a: (*const T, usize),
    /// Row 0, and elements to the next (so of C).
    b: (*const T, usize),
    c: (*mut T, usize),
    alpha: T,
    finish: Finish<T>,
}

impl<T: Float> Kernel<T> for Thin<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        // SAFETY: rows and columns of validated shapes, C's exclusively borrowed.
        unsafe {
            if self.shape.k != 1 {
                self.one_row(s);
            } else if self.finish.saved.is_null() {
                self.outer::<S, false>(s);
            } else {
                self.outer::<S, true>(s);
            }
        }
    }
}

impl<T: Float> Thin<T> {
    /// All rows of an outer product.
    ///
    /// # Safety
    /// The operands are there.
    #[inline(always)]
    unsafe fn outer<S: Simd<T>, const DERIVATIVE: bool>(&self, s: S) {
        let (n, zero) = (self.shape.n, s.splat(T::ZERO));
        for i in 0..self.shape.m {
            // SAFETY: the caller's promise; `n - j` elements from j on.
            unsafe {
                let x = s.splat(*self.a.0.add(i * self.a.1));
                let mut j = 0;
                while j + S::LANES <= n {
                    let product = s.mul_add(x, s.load(self.b.0.add(j)), zero);
                    self.put::<S, DERIVATIVE>(s, (i, j), S::LANES, product, false);
                    j += S::LANES;
                }
                if j < n {
                    let product = s.mul_add(x, s.load_up_to(self.b.0.add(j), n - j), zero);
                    self.put::<S, DERIVATIVE>(s, (i, j), n - j, product, false);
                }
            }
        }
    }

    /// A product of one row, as many steps of k at once as the tiles take, [`SUMS`] vectors at a time and then fewer.
    ///
    /// # Safety
    /// As [`Thin::outer`].
    #[inline(always)]
    unsafe fn one_row<S: Simd<T>>(&self, s: S) {
        let Shape { n, k, .. } = self.shape;
        for first in (0..k).step_by(self.kc) {
            let steps = (first, k.min(first + self.kc));
            let mut j = 0;
            // SAFETY: the caller's promise.
            unsafe {
                while j + SUMS * S::LANES <= n {
                    self.sums::<S, SUMS>(s, j, steps);
                    j += SUMS * S::LANES;
                }
                while j + 2 * S::LANES <= n {
                    self.sums::<S, 2>(s, j, steps);
                    j += 2 * S::LANES;
                }
                while j < n {
                    self.sums::<S, 1>(s, j, steps);
                    j += S::LANES;
                }
            }
        }
    }

    /// These steps of k for N vectors from column j on. If N is 1 it may reach beyond n.
    ///
    /// # Safety
    /// As [`Thin::outer`].
    #[inline(always)]
    unsafe fn sums<S: Simd<T>, const N: usize>(&self, s: S, j: usize, (first, end): (usize, usize)) {
        let mut acc = [s.splat(T::ZERO); N];
        let mut a = self.a.0.wrapping_add(first * self.a.1);
        let mut b = self.b.0.wrapping_add(first * self.b.1 + j);
        let left = self.shape.n - j;
        for _ in first..end {
            // SAFETY: k elements of A, and rows of B with `left` elements from here.
            unsafe {
                let x = s.splat(*a);
                for v in 0..N {
                    let row = if N == 1 {
                        s.load_up_to(b, left)
                    } else {
                        s.load(b.add(v * S::LANES))
                    };
                    acc[v] = s.mul_add(x, row, acc[v]);
                }
            }
            a = a.wrapping_add(self.a.1);
            b = b.wrapping_add(self.b.1);
        }
        for v in 0..N {
            let (at, left) = ((0, j + v * S::LANES), left - v * S::LANES);
            // SAFETY: the caller's promise.
            unsafe {
                if self.finish.saved.is_null() {
                    self.put::<S, false>(s, at, left, acc[v], first > 0);
                } else {
                    self.put::<S, true>(s, at, left, acc[v], false);
                }
            }
        }
    }

    /// `left` elements of row i of C, LANES at most, from column j on, added to what is there if it is written `again`, by later steps of k.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn put<S: Simd<T>, const DERIVATIVE: bool>(
        &self,
        s: S,
        (i, j): (usize, usize),
        left: usize,
        product: S::V,
        again: bool,
    ) {
        let (finish, alpha, zero) = (&self.finish, s.splat(self.alpha), s.splat(T::ZERO));
        // SAFETY: the caller's promise: C, bias and what was saved have them.
        unsafe {
            let x = if DERIVATIVE {
                let saved = s.load_up_to(finish.saved.add(i * finish.saved_row + j), left);
                s.select(s.gt(saved, zero), s.mul(alpha, product), zero)
            } else {
                let added = if again {
                    s.load_up_to(self.c.0.add(i * self.c.1 + j).cast_const(), left)
                } else if finish.bias.is_null() {
                    zero
                } else {
                    s.load_up_to(finish.bias.add(j), left)
                };
                let floor = s.splat(if finish.relu { T::ZERO } else { T::NEG_INFINITY });
                s.max(floor, s.mul_add(alpha, product, added))
            };
            s.store_up_to(self.c.0.add(i * self.c.1 + j), left, x);
        }
    }
}
