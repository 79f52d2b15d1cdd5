//! The one micro-kernel: a tile of C from a panel of A and a panel of B.
//!
//! ```text
//! t[i][j] = sum over p of a[i, p] * b[p, j]        i < MR, j < NV * LANES
//! C       = epilogue(alpha * t + beta * C)
//! ```
//!
//! # Layout
//! `p` runs along memory in both panels. A row of the B panel is NV vectors; element (i, p) of A is broadcast.
//! ```text
//! A, unit rows   a[p * a_col + i]          packed (a_col = MR), or A^T as it lies in memory
//! A, strided     a[i * a_row + p * a_col]  row-major A that is not worth packing
//! B              b[p * b_row + j]          packed (b_row = NV * LANES), or row-major B as it lies
//! ```
//!
//! # Register budget
//! MR * NV accumulators, NV vectors of B, one broadcast: AVX2 6x16 takes 12 + 2 + 1 of 16 registers, AVX-512 14x32
//! takes 28 + 2 + 1 of 32. A step of p issues MR * NV FMAs for MR + NV loads: 12 for 8 and 28 for 16, so that two FMA
//! ports stay busy with two load ports. 12 and 28 independent sums also cover the FMA's latency (4 cycles x 2 ports = 8).
//!
//! # Edges
//! Every MR from 1 up and every NV has its instance, so rows are never padded; columns are padded by less than one
//! vector, and only the last vector of a tile is masked on its way to C.

use crate::Float;
use crate::simd::Simd;

/// What one call of a micro-kernel works on. Pointers lie inside operands that `validate` checked, or inside scratch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile<T> {
    /// Depth.
    pub kc: usize,
    /// Panel of A.
    pub a: *const T,
    /// Elements from one row of A to the next (1 in the unit form).
    pub a_row: usize,
    /// Elements from one p of A to the next.
    pub a_col: usize,
    /// Panel of B.
    pub b: *const T,
    /// Elements from one p of B to the next.
    pub b_row: usize,
    /// Element (0, 0) of the tile of C.
    pub c: *mut T,
    /// Elements from one row of C to the next.
    pub c_row: usize,
    /// Used columns: more than (NV - 1) * LANES, at most NV * LANES.
    pub nr: usize,
    /// Factor of the product.
    pub alpha: T,
    /// Factor of what C held; 0 never reads it.
    pub beta: T,
    /// The last step.
    pub finish: Finish<T>,
}

/// The part of an epilogue that works in registers, for one tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish<T> {
    /// `nr` values to add, one a column; null for none.
    pub bias: *const T,
    /// Keep what is positive.
    pub relu: bool,
    /// Saved outputs of a relu: keep where they are positive; null for none.
    pub saved: *const T,
    /// Elements from one row of `saved` to the next.
    pub saved_row: usize,
}

impl<T> Finish<T> {
    /// Stores the tile as it is.
    pub(crate) const NONE: Self = Self {
        bias: std::ptr::null(),
        relu: false,
        saved: std::ptr::null(),
        saved_row: 0,
    };
}

/// Computes one tile. `UNIT`: rows of A are neighbours.
///
/// # Safety
/// The panels hold `kc` steps of MR rows and NV vectors (the B panel whole vectors, whatever `nr` says), C and the
/// epilogue's operands MR rows of `nr` elements; C is nobody else's.
#[inline(always)]
pub(crate) unsafe fn microkernel<T: Float, S: Simd<T>, const MR: usize, const NV: usize, const UNIT: bool>(
    s: S,
    tile: &Tile<T>,
) {
    let mut acc = [[s.splat(T::ZERO); NV]; MR];
    let (mut a, mut b) = (tile.a, tile.b);
    let (a_row, a_col, b_row) = (if UNIT { 1 } else { tile.a_row }, tile.a_col, tile.b_row);
    for i in 0..MR {
        // The tile of C is needed right after the sums: its lines are on their way while they are made.
        let row = tile.c.wrapping_add(i * tile.c_row);
        for j in 0..NV {
            s.prefetch(row.wrapping_add(j * S::LANES));
        }
        s.prefetch(row.wrapping_add(tile.nr - 1));
    }
    for _ in 0..tile.kc {
        // SAFETY: step p lies inside both panels (the caller's promise); the pointers move on by one step each time,
        // and `wrapping_add` may leave the panels after the last.
        unsafe {
            let mut row = [s.splat(T::ZERO); NV];
            for j in 0..NV {
                row[j] = s.load(b.add(j * S::LANES));
            }
            for i in 0..MR {
                let x = s.splat(*a.add(i * a_row));
                for j in 0..NV {
                    acc[i][j] = s.mul_add(x, row[j], acc[i][j]);
                }
            }
        }
        a = a.wrapping_add(a_col);
        b = b.wrapping_add(b_row);
    }
    // SAFETY: the caller's promise about C and the epilogue's operands.
    unsafe { store_tile::<T, S, MR, NV>(s, tile, &acc) };
}

/// The epilogue: three loops of constant length rather than one with conditions inside, so that nothing of it reaches
/// into the hot loop's registers.
#[inline(always)]
unsafe fn store_tile<T: Float, S: Simd<T>, const MR: usize, const NV: usize>(
    s: S,
    tile: &Tile<T>,
    acc: &[[S::V; NV]; MR],
) {
    let last = s.first(tile.nr - (NV - 1) * S::LANES);
    let alpha = s.splat(tile.alpha);
    let floor = s.splat(if tile.finish.relu { T::ZERO } else { T::NEG_INFINITY });
    let mut bias = [s.splat(T::ZERO); NV];
    if !tile.finish.bias.is_null() {
        // SAFETY: `nr` values, the caller's promise.
        bias = unsafe { load_row::<T, S, NV>(s, tile.finish.bias, last) };
    }
    if tile.beta == T::ZERO {
        for i in 0..MR {
            let mut row = acc[i];
            for j in 0..NV {
                // max(floor, x) and not max(x, floor): NaN must come through.
                row[j] = s.max(floor, s.mul_add(alpha, row[j], bias[j]));
            }
            // SAFETY: row i of the tile.
            unsafe { finish_row::<T, S, NV>(s, tile, i, last, row) };
        }
    } else {
        let beta = s.splat(tile.beta);
        for i in 0..MR {
            // SAFETY: row i of the tile.
            let old = unsafe { load_row::<T, S, NV>(s, tile.c.add(i * tile.c_row), last) };
            let mut row = acc[i];
            for j in 0..NV {
                let scaled = s.mul_add(alpha, row[j], bias[j]);
                row[j] = s.max(floor, s.mul_add(beta, old[j], scaled));
            }
            // SAFETY: row i of the tile.
            unsafe { finish_row::<T, S, NV>(s, tile, i, last, row) };
        }
    }
}

/// Multiplies by relu's derivative if asked to, and stores.
#[inline(always)]
unsafe fn finish_row<T: Float, S: Simd<T>, const NV: usize>(
    s: S,
    tile: &Tile<T>,
    i: usize,
    last: S::M,
    mut row: [S::V; NV],
) {
    let finish = &tile.finish;
    if !finish.saved.is_null() {
        let zero = s.splat(T::ZERO);
        // SAFETY: row i of the saved outputs, `nr` elements.
        let saved = unsafe { load_row::<T, S, NV>(s, finish.saved.add(i * finish.saved_row), last) };
        for j in 0..NV {
            row[j] = s.select(s.gt(saved[j], zero), row[j], zero);
        }
    }
    // SAFETY: row i of the tile; the last vector is masked to `nr`.
    unsafe {
        let c = tile.c.add(i * tile.c_row);
        for j in 0..NV - 1 {
            s.store(c.add(j * S::LANES), row[j]);
        }
        s.store_masked(c.add((NV - 1) * S::LANES), last, row[NV - 1]);
    }
}

/// NV vectors of a row, the last one masked.
#[inline(always)]
unsafe fn load_row<T: Float, S: Simd<T>, const NV: usize>(s: S, p: *const T, last: S::M) -> [S::V; NV] {
    let mut row = [s.splat(T::ZERO); NV];
    // SAFETY: the caller vouches for the row.
    unsafe {
        for j in 0..NV - 1 {
            row[j] = s.load(p.add(j * S::LANES));
        }
        row[NV - 1] = s.load_masked(p.add((NV - 1) * S::LANES), last);
    }
    row
}
