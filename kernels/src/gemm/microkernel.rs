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

// Loops over registers go by index: their trip counts must be constants, and two arrays are walked at once.
#![allow(clippy::needless_range_loop)]

use crate::Float;
use crate::simd::Simd;

/// Steps of p in one turn of the hot loop.
const UNROLL: usize = 4;

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
    /// Room for a whole tile, MR * NV vectors, that this thread alone uses.
    pub spill: *mut T,
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

    /// Whether it does nothing.
    #[inline(always)]
    fn is_none(&self) -> bool {
        self.bias.is_null() && !self.relu && self.saved.is_null()
    }
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
    // C's lines come in while the sums are made, a row every UNROLL steps: asked for all at once they take every fill
    // buffer, and the panels' own lines wait behind them. Behind the last row it asks for that row again.
    let mut row = tile.c.cast_const();
    for turn in 1..=tile.kc / UNROLL {
        for j in 0..NV {
            s.prefetch(row.wrapping_add(j * S::LANES));
        }
        s.prefetch(row.wrapping_add(tile.nr - 1));
        row = row.wrapping_add(if turn < MR { tile.c_row } else { 0 });
        for _ in 0..UNROLL {
            // SAFETY: this step lies inside both panels, the caller's promise (so below).
            unsafe { step::<T, S, MR, NV>(s, a, a_row, b, &mut acc) };
            (a, b) = (a.wrapping_add(a_col), b.wrapping_add(b_row));
        }
    }
    for _ in 0..tile.kc % UNROLL {
        // SAFETY: as above.
        unsafe { step::<T, S, MR, NV>(s, a, a_row, b, &mut acc) };
        (a, b) = (a.wrapping_add(a_col), b.wrapping_add(b_row));
    }
    let last = s.first(tile.nr - (NV - 1) * S::LANES);
    let alpha = s.splat(tile.alpha);
    // SAFETY: the caller's promise about C, the epilogue's operands and `spill`.
    unsafe {
        if tile.beta == T::ZERO && tile.finish.saved.is_null() {
            let (floor, bias) = floor_and_bias::<T, S, NV>(s, &tile.finish, last);
            for i in 0..MR {
                let mut row = acc[i];
                for j in 0..NV {
                    // max(floor, x) and not max(x, floor): NaN must come through.
                    row[j] = s.max(floor, s.mul_add(alpha, row[j], bias[j]));
                }
                store_row::<T, S, NV>(s, tile.c.add(i * tile.c_row), last, row);
            }
        } else if tile.finish.is_none() {
            let beta = s.splat(tile.beta);
            for i in 0..MR {
                let c = tile.c.add(i * tile.c_row);
                let mut row = load_row::<T, S, NV>(s, c, last);
                for j in 0..NV {
                    row[j] = s.mul_add(alpha, acc[i][j], s.mul(beta, row[j]));
                }
                store_row::<T, S, NV>(s, c, last, row);
            }
        } else {
            for i in 0..MR {
                for j in 0..NV {
                    s.store(tile.spill.add((i * NV + j) * S::LANES), acc[i][j]);
                }
            }
            finish_tile::<T, S, NV>(s, tile, MR);
        }
    }
}

/// One step of p: NV vectors of B, MR broadcasts of A, MR * NV FMAs.
#[inline(always)]
unsafe fn step<T: Float, S: Simd<T>, const MR: usize, const NV: usize>(
    s: S,
    a: *const T,
    a_row: usize,
    b: *const T,
    acc: &mut [[S::V; NV]; MR],
) {
    let mut row = [s.splat(T::ZERO); NV];
    // SAFETY: the caller vouches for NV vectors at b and MR rows at a.
    unsafe {
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
}

/// The general epilogue, from sums in memory. Its loop over rows must not be unrolled: while all of it was in one piece
/// with the hot loop, the compiler kept the accumulators on the stack (400 cycles a tile, a fifth of the time at
/// kc = 128). The two short forms above are small enough to be unrolled with the sums in registers.
#[inline(always)]
unsafe fn finish_tile<T: Float, S: Simd<T>, const NV: usize>(s: S, tile: &Tile<T>, rows: usize) {
    let last = s.first(tile.nr - (NV - 1) * S::LANES);
    let finish = &tile.finish;
    let (alpha, beta, zero) = (s.splat(tile.alpha), s.splat(tile.beta), s.splat(T::ZERO));
    // SAFETY: the caller's promises: rows of C and of the saved outputs, `spill`, and `nr` values of bias.
    unsafe {
        let (floor, bias) = floor_and_bias::<T, S, NV>(s, finish, last);
        for i in 0..std::hint::black_box(rows) {
            let c = tile.c.add(i * tile.c_row);
            let mut row = [zero; NV];
            for j in 0..NV {
                row[j] = s.mul_add(alpha, s.load(tile.spill.add((i * NV + j) * S::LANES)), bias[j]);
            }
            if tile.beta != T::ZERO {
                let old = load_row::<T, S, NV>(s, c, last);
                for j in 0..NV {
                    row[j] = s.mul_add(beta, old[j], row[j]);
                }
            }
            for j in 0..NV {
                row[j] = s.max(floor, row[j]);
            }
            if !finish.saved.is_null() {
                let saved = load_row::<T, S, NV>(s, finish.saved.add(i * finish.saved_row), last);
                for j in 0..NV {
                    row[j] = s.select(s.gt(saved[j], zero), row[j], zero);
                }
            }
            store_row::<T, S, NV>(s, c, last, row);
        }
    }
}

/// What relu compares with (minus infinity for none), and the bias (zero for none).
#[inline(always)]
unsafe fn floor_and_bias<T: Float, S: Simd<T>, const NV: usize>(
    s: S,
    finish: &Finish<T>,
    last: S::M,
) -> (S::V, [S::V; NV]) {
    let floor = s.splat(if finish.relu { T::ZERO } else { T::NEG_INFINITY });
    if finish.bias.is_null() {
        return (floor, [s.splat(T::ZERO); NV]);
    }
    // SAFETY: `nr` values, the caller's promise.
    (floor, unsafe { load_row::<T, S, NV>(s, finish.bias, last) })
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

/// NV vectors of a row to memory, the last one masked.
#[inline(always)]
unsafe fn store_row<T: Float, S: Simd<T>, const NV: usize>(s: S, p: *mut T, last: S::M, row: [S::V; NV]) {
    // SAFETY: the caller vouches for the row.
    unsafe {
        for j in 0..NV - 1 {
            s.store(p.add(j * S::LANES), row[j]);
        }
        s.store_masked(p.add((NV - 1) * S::LANES), last, row[NV - 1]);
    }
}
