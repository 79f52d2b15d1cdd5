//! The block of a Hessian that belongs to the weights of one layer, without the matrices that it is usually multiplied from.
//!
//! ```text
//! H[(i, j), (i', j')] = sum over n of x[n, i] x[n, i'] e_n[j, j']
//! e_n[j, j']          = g[j, j'] (sum over c of v[n, c, j] v[n, c, j'] - u[n, j] u[n, j']) + [j = j'] d[n, j]
//! ```
//! x are the layer's inputs, e_n is the objective's Hessian by its sums in sample n: symmetric, and given by its factors; g is 1 unless
//! there are weights. Flops: with p = I (I + 1) / 2 pairs i <= i', 2 p J^2 N for the sum over n and 2 (q + 1) J^2 N for e, where the
//! product of Jacobians takes 2 I^2 J^2 N. Where a cache holds e_n of all samples, it is half of that: `hessian/triangles.rs`. The rest of this file is the other case.
//!
//! # Layout
//! ```text
//! pairs   x[n, i] x[n, i'], packed       pairs[(t N + n) ROWS + r]          t: panel of ROWS pairs
//! e       e_n[j, .] of one j             e[n ld + j']                       N ld elements, whole vectors; stays in L1 or L2
//! H       row (i, j), column (i', j')    out[(i J + j) stride + i' J + j']
//! ```
//! For every j a tile of MR pairs and NV vectors of j' sums over n in registers; then each row of it goes to two places, (i, j) x (i', .)
//! and (i', j) x (i, .): e is symmetric, so both triangles are stored from registers, contiguous, and nothing is transposed.
//!
//! # Register budget
//! MR * NV sums, NV vectors of e, one broadcast: 6 x 2 takes 15 of AVX2's 16 registers; 12 x 2 takes 27 of AVX-512's 32; 12 x 1 14.
//!
//! # Edges
//! The last panel is padded with pairs of 0 that are not stored; the last vector of a row of e is padded, and masked on its way to H.

mod triangles;

use crate::elementwise::{Shared, length};
use crate::simd::{Block, Kernel, Simd, Target};
use crate::{Context, Float, MatMut, MatRef, ShapeError};

/// Pairs of a panel.
const ROWS: usize = 12;

/// Bytes of all e_n, triangles of theirs, that a core's second-level cache holds.
const CACHED: usize = 512 << 10;

/// What [`Context::layer_hessian`] sums.
#[derive(Debug, Clone, Copy)]
pub struct LayerTerms<'a, T> {
    /// N x I, rows contiguous: the layer's inputs, a column of ones among them for a bias.
    pub x: MatRef<'a, T>,
    /// v and, if there is one, u behind it: for each n the q (or q + 1) rows of J, one after the other.
    pub factors: &'a [T],
    /// q
    pub positive: usize,
    /// Whether there is a u.
    pub negative: bool,
    /// g, J x J, symmetric: where e_n is the same matrix in all samples but for factors, those factors are few.
    pub weights: Option<&'a [T]>,
    /// d, N x J.
    pub diagonal: Option<&'a [T]>,
    /// J
    pub units: usize,
}

impl<T> LayerTerms<'_, T> {
    /// Factors of a sample.
    fn per_row(&self) -> usize {
        self.positive + usize::from(self.negative)
    }
}

impl Context {
    /// The block of a Hessian by one layer's weights, row-major (I J) x (I J): see the file's head. `add` adds it to what is there. Exactly
    /// symmetric.
    ///
    /// # Errors
    /// When lengths or shapes do not fit, or rows of `x` or `out` are not contiguous.
    pub fn layer_hessian<T: Float>(
        &self,
        terms: LayerTerms<'_, T>,
        add: bool,
        mut out: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        let operation = "layer_hessian";
        let (n, inputs, units) = (terms.x.rows(), terms.x.cols(), terms.units);
        length(operation, "factors", terms.factors.len(), n * terms.per_row() * units)?;
        if let Some(weights) = terms.weights {
            length(operation, "weights", weights.len(), units * units)?;
        }
        if let Some(diagonal) = terms.diagonal {
            length(operation, "diagonal", diagonal.len(), n * units)?;
        }
        if (out.rows(), out.cols()) != (inputs * units, inputs * units) {
            return Err(ShapeError::Shape {
                operation,
                operand: "out",
                got: (out.rows(), out.cols()),
                expected: (inputs * units, inputs * units),
            });
        }
        for (operand, cols, col_stride) in [
            ("x", inputs, terms.x.col_stride()),
            ("out", out.cols(), out.col_stride()),
        ] {
            if cols > 1 && col_stride != 1 {
                return Err(ShapeError::ColumnStride {
                    operation,
                    operand,
                    col_stride,
                });
            }
        }
        if inputs == 0 || units == 0 {
            return Ok(());
        }
        if n * triangles::pairs(units) * size_of::<T>() <= CACHED {
            triangles::layer(self, terms, add, &mut out);
            return Ok(());
        }
        let panels = triangles::pairs(inputs).div_ceil(ROWS);
        let ld = units.next_multiple_of(16);
        let working = &mut *self.working();
        T::run_on(
            self.isa(),
            Layer {
                terms,
                ld,
                pairs: working.scratch.a.room(panels * n * ROWS),
                e: working.scratch.partial.room(n * ld),
                add,
                row_stride: out.row_stride(),
                out: out.as_mut_ptr(),
            },
        );
        Ok(())
    }

    /// out = x transposed: x is m x n, out n x m, rows of both contiguous.
    ///
    /// # Errors
    /// When shapes do not fit, or rows are not contiguous.
    pub fn transpose<T: Float>(&self, x: MatRef<'_, T>, mut out: MatMut<'_, T>) -> Result<(), ShapeError> {
        let operation = "transpose";
        let expected = (x.cols(), x.rows());
        if (out.rows(), out.cols()) != expected {
            let got = (out.rows(), out.cols());
            return Err(ShapeError::Shape {
                operation,
                operand: "out",
                got,
                expected,
            });
        }
        for (operand, cols, col_stride) in [("x", x.cols(), x.col_stride()), ("out", out.cols(), out.col_stride())] {
            if cols > 1 && col_stride != 1 {
                return Err(ShapeError::ColumnStride {
                    operation,
                    operand,
                    col_stride,
                });
            }
        }
        let (to, to_row) = (Shared::new(out.as_mut_ptr()), out.row_stride());
        T::run_on(
            self.isa(),
            Turn {
                x: x.as_ptr(),
                size: (x.rows(), x.cols()),
                row: x.row_stride(),
                to,
                to_row,
            },
        );
        Ok(())
    }
}

struct Layer<'a, T> {
    terms: LayerTerms<'a, T>,
    ld: usize,
    pairs: *mut T,
    e: *mut T,
    add: bool,
    out: *mut T,
    row_stride: usize,
}

impl<T: Float> Kernel<T> for Layer<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let (n, inputs, units) = (self.terms.x.rows(), self.terms.x.cols(), self.terms.units);
        let count = triangles::pairs(inputs);
        // SAFETY: `layer_hessian` has checked every length, and made room for pairs and e.
        unsafe {
            self.pack_pairs();
            for j in 0..units {
                self.row_of_e(s, j);
                let (mut first, mut i, mut other) = (0, 0, 0);
                while first < count {
                    let used = ROWS.min(count - first);
                    let panel = self.pairs.add(first * n);
                    // Where each row of the tile goes.
                    let mut places = [(0, 0); ROWS];
                    for place in places.iter_mut().take(used) {
                        *place = (
                            (i * units + j) * self.row_stride + other * units,
                            (other * units + j) * self.row_stride + i * units,
                        );
                        other += 1;
                        if other == inputs {
                            i += 1;
                            other = i;
                        }
                    }
                    self.panel(s, panel, &places[..used]);
                    first += ROWS;
                }
            }
        }
    }
}

impl<T: Float> Layer<'_, T> {
    /// Panels of x\[n, i\] x\[n, i'\] for i <= i', row by row of the pairs.
    #[inline(always)]
    unsafe fn pack_pairs(&self) {
        let (n, inputs) = (self.terms.x.rows(), self.terms.x.cols());
        let (x, row) = (self.terms.x.as_ptr(), self.terms.x.row_stride());
        let (mut i, mut other, mut panel) = (0, 0, self.pairs);
        while i < inputs {
            let (mut factors, mut used) = ([(0, 0); ROWS], 0);
            while used < ROWS && i < inputs {
                factors[used] = (i, other);
                used += 1;
                other += 1;
                if other == inputs {
                    i += 1;
                    other = i;
                }
            }
            // SAFETY: the caller has checked x and made room for whole panels.
            unsafe {
                for sample in 0..n {
                    let (x, to) = (x.add(sample * row), panel.add(sample * ROWS));
                    for (r, &(i, other)) in factors.iter().enumerate() {
                        to.add(r).write((*x.add(i)).times(*x.add(other)));
                    }
                    for r in used..ROWS {
                        to.add(r).write(T::ZERO);
                    }
                }
                panel = panel.add(n * ROWS);
            }
        }
    }

    /// e_n\[j, .\] for every n.
    #[inline(always)]
    unsafe fn row_of_e<S: Simd<T>>(&self, s: S, j: usize) {
        let (n, units, q) = (self.terms.x.rows(), self.terms.units, self.terms.positive);
        for sample in 0..n {
            // SAFETY: the caller has checked the factors, and e has room for n rows of ld.
            unsafe {
                let v = self.terms.factors.as_ptr().add(sample * self.terms.per_row() * units);
                let e = self.e.add(sample * self.ld);
                let mut at = 0;
                while at < units {
                    let left = units - at;
                    let mut sum = s.splat(T::ZERO);
                    for c in 0..q {
                        let row = v.add(c * units);
                        sum = s.mul_add(s.splat(*row.add(j)), s.load_up_to(row.add(at), left), sum);
                    }
                    if self.terms.negative {
                        let row = v.add(q * units);
                        let u = s.mul(s.splat(*row.add(j)), s.load_up_to(row.add(at), left));
                        sum = s.sub(sum, u);
                    }
                    if let Some(weights) = self.terms.weights {
                        sum = s.mul(sum, s.load_up_to(weights.as_ptr().add(j * units + at), left));
                    }
                    s.store(e.add(at), sum);
                    at += S::LANES;
                }
                if let Some(diagonal) = self.terms.diagonal {
                    let to = e.add(j);
                    to.write((*to).plus(diagonal[sample * units + j]));
                }
            }
        }
    }

    /// All vectors of j' for one panel of pairs.
    #[inline(always)]
    unsafe fn panel<S: Simd<T>>(&self, s: S, panel: *const T, places: &[(usize, usize)]) {
        let units = self.terms.units;
        let wide = S::LANES * size_of::<T>() == 64;
        let mut at = 0;
        // SAFETY: the panel has n rows of ROWS, e whole vectors; the places lie in H.
        unsafe {
            while units - at > S::LANES {
                if wide {
                    self.tile::<S, 12, 2>(s, panel, places, at);
                } else {
                    self.tile::<S, 6, 2>(s, panel, &places[..places.len().min(6)], at);
                    if places.len() > 6 {
                        self.tile::<S, 6, 2>(s, panel.add(6), &places[6..], at);
                    }
                }
                at = (at + 2 * S::LANES).min(units);
            }
            if at < units {
                self.tile::<S, 12, 1>(s, panel, places, at);
            }
        }
    }

    /// MR pairs x NV vectors from column `at` of e on.
    #[inline(always)]
    unsafe fn tile<S: Simd<T>, const MR: usize, const NV: usize>(
        &self,
        s: S,
        panel: *const T,
        places: &[(usize, usize)],
        at: usize,
    ) {
        let mut sums = [[s.splat(T::ZERO); NV]; MR];
        let (mut pairs, mut e) = (panel, self.e.cast_const().wrapping_add(at));
        // SAFETY: the caller vouches for the panel and for e.
        unsafe {
            for _ in 0..self.terms.x.rows() {
                let mut row = [s.splat(T::ZERO); NV];
                for (v, values) in row.iter_mut().enumerate() {
                    *values = s.load(e.add(v * S::LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = s.splat(*pairs.add(r));
                    for (sum, values) in sums.iter_mut().zip(row) {
                        *sum = s.mul_add(x, values, *sum);
                    }
                }
                pairs = pairs.add(ROWS);
                e = e.add(self.ld);
            }
            for (sums, &(first, second)) in sums.into_iter().zip(places) {
                for (v, sum) in sums.into_iter().enumerate() {
                    let from = at + v * S::LANES;
                    let left = self.terms.units - from;
                    put(s, self.out.add(first + from), left, sum, self.add);
                    if first != second {
                        put(s, self.out.add(second + from), left, sum, self.add);
                    }
                }
            }
        }
    }
}

/// `left` elements of H, or what is to be added to them.
#[inline(always)]
unsafe fn put<T: Float, S: Simd<T>>(s: S, to: *mut T, left: usize, v: S::V, add: bool) {
    // SAFETY: the caller vouches for `left` elements of H.
    unsafe {
        let v = if add { s.add(v, s.load_up_to(to, left)) } else { v };
        s.store_up_to(to, left, v);
    }
}

struct Turn<T> {
    x: *const T,
    size: (usize, usize),
    row: usize,
    to: Shared<T>,
    to_row: usize,
}

impl<T: Float> Kernel<T> for Turn<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let (rows, cols) = self.size;
        let mut i = 0;
        while i < rows {
            let height = S::LANES.min(rows - i);
            let mut j = 0;
            while j < cols {
                let width = S::LANES.min(cols - j);
                // SAFETY: the block lies in x, its transpose in `to`; a row of it is written whole where it is a vector.
                unsafe {
                    let data = self.x.add(i * self.row + j);
                    let from = Block {
                        data,
                        row: self.row,
                        rows: height,
                        cols: width,
                    };
                    let whole = if height == S::LANES { usize::MAX } else { 0 };
                    let data = self.to.at(j * self.to_row + i);
                    s.transpose(
                        from,
                        Target {
                            data,
                            pitch: self.to_row,
                            keep: height,
                            whole,
                        },
                    );
                }
                j += width;
            }
            i += height;
        }
    }
}
