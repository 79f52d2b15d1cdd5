//! Products with a narrow C, every element a dot product.
//!
//! ```text
//! c[i][j] = alpha * sum over p of a[i, p] * b[p, j] + beta * c[i][j]
//! ```
//! A tile kernel would leave lanes of its vectors idle here: 6 of 16 at n = 10. Instead the vectors run along k: rows of A as
//! they lie, columns of B made contiguous first where they are not (k x n elements, nothing beside A). Four rows share
//! each load of two columns, or eight rows that of one, so that as many sums are in flight as the FMA's latency asks for,
//! with fewer loads than FMAs. Eight sums across lanes are then taken side by side. An element's sum has one order, which
//! depends on k and the ISA alone.

// Loops over registers go by index, as in the micro-kernel.
#![allow(clippy::needless_range_loop)]

use super::loops::{Product, Shared};
use super::microkernel::opaque;
use super::pack::{Panel, Panels};
use super::plan::Shape;
use crate::context::Working;
use crate::simd::{Kernel, Simd};
use crate::{Float, MatRef};

/// C of so few columns always goes this way.
const NARROW: usize = 4;

/// Rows of A side by side, at most.
const ROWS: usize = 8;

/// With so few rows, copying B's columns costs as much as what it saves.
const FEW_ROWS: usize = 2 * ROWS;

/// Rows of a task: A's part of it, at k = 784, is about 100 KiB.
const TASK: usize = 32;

impl<T: Float> Product<'_, T> {
    /// Whether this product is one of them: a narrow C with neighbouring columns, rows of A that run along k.
    pub(crate) fn is_dots(&self) -> bool {
        let Shape { m, n, k } = self.shape;
        let lanes = self.kernels.lanes;
        if n >= 2 * lanes || self.forced {
            return false;
        }
        // FMAs a row of C takes, in vectors along k, and four more an element to sum the lanes; against whole vectors of
        // C's row. Both times k; a sixteenth is given to the way that needs no copy.
        let pays = || m >= FEW_ROWS && n * (k + 4 * lanes) * 16 < n.div_ceil(lanes) * lanes * k * 15;
        let columns = self.c_col == 1 || n == 1;
        let along = self.a.matrix().is_some_and(|a| a.col_stride() == 1) && self.b.matrix().is_some();
        along && columns && (n <= NARROW || pays())
    }

    /// Columns of B that lie along k in memory: the first, and the elements from one to the next.
    pub(super) fn columns_in_place(&self) -> Option<(*const T, usize)> {
        let b = self.b.matrix()?;
        (b.row_stride() == 1).then(|| (b.as_ptr(), b.col_stride()))
    }

    /// Runs it.
    pub(crate) fn run_dots(&self, working: &mut Working) {
        let Shape { m, n, k } = self.shape;
        let Some(b) = self.b.matrix() else { return };
        let columns = self.columns_in_place().unwrap_or_else(|| {
            let to = working.scratch.b.room::<T>(n * k);
            // Rows of B are the lines, its columns the steps: a panel's layout is then that of B's transpose.
            let panel = Panel {
                from: b.as_ptr(),
                line: b.row_stride(),
                step: b.col_stride(),
                width: k,
                depth: n,
                to,
                pitch: k,
            };
            T::run_on(self.isa, Panels(&[panel]));
            (to.cast_const(), k)
        });
        let (shared, column) = (Shared(columns.0.cast_mut()), columns.1);
        let tasks = m.div_ceil(TASK);
        let room = self.epilogue.column_sum.as_ref().map_or(0, |_| tasks * n);
        let sums = Shared(working.scratch.partial.room::<T>(room));
        self.each(&mut working.pool, tasks, |task, _| {
            let rows = (task * TASK, m.min((task + 1) * TASK));
            let columns = (shared.from(0).cast_const(), column);
            self.dots(rows, columns, self.sums_of(task, 0, n, sums, true));
        });
        self.add_sums(sums.from(0), tasks);
    }

    /// These rows of C, on the calling thread.
    pub(super) fn dots(&self, rows: (usize, usize), columns: (*const T, usize), sums: *mut T) {
        let Some(a) = self.a.matrix() else { return };
        let dots = Dots {
            product: self,
            a,
            columns,
            rows,
            sums,
        };
        T::run_on(self.isa, dots);
    }
}

/// Some rows of a narrow product.
struct Dots<'a, T: 'static> {
    product: &'a Product<'a, T>,
    a: MatRef<'a, T>,
    /// Columns of B: the first of k elements, and the elements from one to the next.
    columns: (*const T, usize),
    rows: (usize, usize),
    /// Their column sums, or null.
    sums: *mut T,
}

impl<T: Float> Kernel<T> for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let product = self.product;
        let (n, (first, end)) = (product.shape.n, self.rows);
        for i in (first..end).step_by(ROWS) {
            // SAFETY: rows i.. of A, columns of B, elements of C that this task alone writes: validated shapes.
            unsafe {
                if i + ROWS <= end {
                    self.rows::<S, true>(s, i, n);
                } else {
                    self.rows::<S, false>(s, i, n);
                }
            }
        }
        let epilogue = product.epilogue;
        if epilogue.has_function() {
            let c = product.c.wrapping_add(first * product.c_row);
            epilogue
                .on_tile((c, product.c_row), (first, 0), (end - first, n), self.sums)
                .run(s);
        }
    }
}

impl<T: Float> Dots<'_, T> {
    /// Rows `i..i + ROWS` times all columns; fewer rows where they are not `ALL` ours.
    #[inline(always)]
    unsafe fn rows<S: Simd<T>, const ALL: bool>(&self, s: S, i: usize, n: usize) {
        // SAFETY: the caller's promises.
        unsafe {
            for j in (0..n - n % 2).step_by(2) {
                self.tile::<S, 4, 2, ALL>(s, i, j);
                if ALL || i + 4 < self.rows.1 {
                    self.tile::<S, 4, 2, ALL>(s, i + 4, j);
                }
            }
            if n % 2 == 1 {
                self.tile::<S, ROWS, 1, ALL>(s, i, n - 1);
            }
        }
    }

    /// Rows `i..i + R` of A, as far as they are ours, times columns `j..j + N` of B: R * N = 8. Rows beyond are read as
    /// the last one again.
    #[inline(always)]
    unsafe fn tile<S: Simd<T>, const R: usize, const N: usize, const ALL: bool>(&self, s: S, i: usize, j: usize) {
        const { assert!(R * N == 8) };
        let (product, k) = (self.product, self.product.shape.k);
        let used = if ALL { R } else { R.min(self.rows.1 - i) };
        let stride = self.a.row_stride();
        let first = self.a.as_ptr().wrapping_add(i * stride);
        let mut rows = [first; R];
        for r in 1..R {
            rows[r] = if r < used {
                rows[r - 1].wrapping_add(stride)
            } else {
                rows[r - 1]
            };
        }
        // As in the micro-kernel: two pointers that walk, from which an address reaches four rows each.
        let mut fours = [opaque(first), opaque(first.wrapping_add(4 * stride))];
        let triple = opaque(std::ptr::without_provenance::<u8>(3 * stride)).addr();
        let reach = [0, stride, 2 * stride, triple];
        let mut columns = [self.columns.0; N];
        for c in 0..N {
            columns[c] = columns[c].wrapping_add((j + c) * self.columns.1);
        }
        let mut acc = [s.splat(T::ZERO); 8];
        let whole = k - k % S::LANES;
        // SAFETY: k elements from each row and from each column, the last vector masked.
        unsafe {
            let mut x = [s.splat(T::ZERO); N];
            let mut p = 0;
            while p < whole {
                for c in 0..N {
                    x[c] = s.load(columns[c].add(p));
                }
                for r in 0..R {
                    let row = if ALL {
                        fours[r / 4].wrapping_add(reach[r % 4])
                    } else {
                        rows[r].add(p)
                    };
                    let y = s.load(row);
                    for c in 0..N {
                        acc[r * N + c] = s.mul_add(y, x[c], acc[r * N + c]);
                    }
                }
                p += S::LANES;
                fours = fours.map(|row| opaque(row.wrapping_add(S::LANES)));
            }
            if p < k {
                let rest = s.first(k - p);
                for c in 0..N {
                    x[c] = s.load_masked(columns[c].add(p), rest);
                }
                for r in 0..R {
                    let y = s.load_masked(rows[r].add(p), rest);
                    for c in 0..N {
                        acc[r * N + c] = s.mul_add(y, x[c], acc[r * N + c]);
                    }
                }
            }
        }
        let sums = s.sums(acc);
        if N == 1 && used == R && product.c_row == 1 && product.beta == T::ZERO {
            let mut scaled = sums;
            for r in 0..8 {
                scaled[r] = product.alpha.times(sums[r]);
            }
            if let Some(bias) = product.epilogue.bias {
                for r in 0..8 {
                    scaled[r] = scaled[r].plus(bias[j]);
                }
            }
            // SAFETY: elements i.. of C's one column, neighbours, which this task alone writes.
            unsafe { product.c.wrapping_add(i).cast::<[T; 8]>().write_unaligned(scaled) };
            return;
        }
        if used == R && product.c_col == 1 && product.beta == T::ZERO {
            let mut bias = [T::ZERO; N];
            if let Some(all) = product.epilogue.bias {
                bias.copy_from_slice(&all[j..j + N]);
            }
            for r in 0..R {
                let to = product.c.wrapping_add((i + r) * product.c_row + j);
                for c in 0..N {
                    // SAFETY: element (i + r, j + c) of C, which this task alone writes.
                    unsafe { to.add(c).write(product.alpha.times(sums[r * N + c]).plus(bias[c])) };
                }
            }
            return;
        }
        for r in 0..used {
            for c in 0..N {
                // SAFETY: element (i + r, j + c) of C, which this task alone writes.
                unsafe { product.put(i + r, j + c, sums[r * N + c]) };
            }
        }
    }
}

impl<T: Float> Product<'_, T> {
    /// alpha * sum + beta * C + bias goes to element (row, col) of C.
    ///
    /// # Safety
    /// It is nobody else's now.
    #[inline(always)]
    unsafe fn put(&self, row: usize, col: usize, sum: T) {
        let c = self.c.wrapping_add(row * self.c_row + col * self.c_col);
        let mut x = self.alpha.times(sum);
        // SAFETY: the caller's promise; C is read only where beta is not 0.
        unsafe {
            if self.beta != T::ZERO {
                x = x.plus(self.beta.times(c.read()));
            }
            if let Some(bias) = self.epilogue.bias {
                x = x.plus(bias[col]);
            }
            c.write(x);
        }
    }
}
