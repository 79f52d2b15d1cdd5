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
//! A, packed      a[p * MR + i]
//! A, unit rows   a[p * a_col + i]          A^T as it lies in memory, or packed beside a B that is not
//! A, strided     a[i * a_row + p]          row-major A that is not worth packing
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
//! vector, and only the last vector of a tile is masked on its way to C: of its last rows only, where C's rows are neighbours and nothing
//! is added to it. A B that is read where it lies is read in whole vectors too: what follows a row's end is the next row, whose products stay in lanes that nobody stores. Only where B itself ends is it masked.

// Loops over registers go by index: their trip counts must be constants, and two arrays are walked at once.
#![allow(clippy::needless_range_loop)]

use crate::Float;
use crate::simd::Simd;

/// [`Simd::UNROLL`] where it is not 1.
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
    /// Elements from one p of A to the next (1 in the strided form).
    pub a_col: usize,
    /// Panel of B.
    pub b: *const T,
    /// Elements from one p of B to the next.
    pub b_row: usize,
    /// So many of the last steps read no more of B's row than the used columns: whole vectors would pass the end of B. 0 if B is packed.
    pub edge: usize,
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
    /// What is asked for meanwhile.
    pub ahead: Ahead<T>,
}

/// Lines that are brought into the caches while a tile is computed, two neighbours a turn of its hot loop: some of what the tiles after it
/// read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead<T> {
    /// The first.
    pub at: *const T,
    /// Elements from there to the next two.
    pub step: usize,
    /// How often, at most.
    pub count: usize,
}

impl<T> Ahead<T> {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        at: std::ptr::null(),
        step: 0,
        count: 0,
    };
}

/// Bytes of a line.
pub(super) const LINE: usize = 64;

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

    /// Whether relu's derivative is all it does.
    #[inline(always)]
    pub(crate) fn is_relus_derivative(&self) -> bool {
        self.bias.is_null() && !self.relu && !self.saved.is_null()
    }

    /// Whether it does nothing.
    #[inline(always)]
    fn is_none(&self) -> bool {
        self.bias.is_null() && !self.relu && self.saved.is_null()
    }
}

/// How the panels lie. Both packed, all strides are constants and become displacements.
pub(crate) const PACKED: u8 = 0;
/// Rows of A are neighbours.
pub(crate) const UNIT: u8 = 1;
/// Steps of A are neighbours.
pub(crate) const STRIDED: u8 = 2;

/// The body once for each row of a tile, written out where the hot loop is. A loop that the compiler leaves a loop has an index that is no
/// constant, and all sums then go through memory at the beginning and end of every loop of the kernel: a hundred cycles a tile.
macro_rules! for_rows {
    ($i:ident in $mr:ident $body:block) => {
        for_rows!($i $mr $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    ($i:ident $mr:ident $body:block $($row:literal)*) => {
        if S::UNROLL == 1 {
            for $i in 0..$mr $body
        } else {
            $(if $row < $mr {
                let $i = $row;
                $body
            })*
        }
    };
}

/// Computes one tile. `FORM` is one of [`PACKED`], [`UNIT`], [`STRIDED`].
///
/// # Safety
/// The panels lie as `FORM` says and hold `kc` steps of MR rows and NV vectors (the B panel whole vectors, whatever `nr`
/// says, but in the last `edge` steps), C and the epilogue's operands MR rows of `nr` elements, `spill` a whole tile; C is nobody else's.
#[inline(always)]
pub(crate) unsafe fn microkernel<T: Float, S: Simd<T>, const MR: usize, const NV: usize, const FORM: u8>(
    s: S,
    tile: &Tile<T>,
) {
    let mut acc = [[s.splat(T::ZERO); NV]; MR];
    let mut at = Cursor::<T, FORM>::new(tile);
    // C's lines come in while the sums are made, a row every UNROLL steps: asked for all at once they take every fill
    // buffer, and the panels' own lines wait behind them.
    // Unrolled, the strided form's addresses are too many for the registers, and the sums go to the stack.
    let unroll = if FORM == STRIDED { 1 } else { S::UNROLL };
    let last = s.first(tile.nr - (NV - 1) * S::LANES);
    let whole_steps = if FORM == PACKED { tile.kc } else { tile.kc - tile.edge };
    let turns = whole_steps / unroll;
    let with_prefetch = turns.min(MR);
    let mut row = tile.c.cast_const();
    for _ in 0..with_prefetch {
        for j in 0..NV {
            s.prefetch(row.wrapping_add(j * S::LANES));
        }
        row = row.wrapping_add(tile.c_row);
        // SAFETY: these steps lie inside both panels, the caller's promise (so below).
        unsafe { turn::<T, S, MR, NV, FORM>(s, &mut at, &mut acc) };
    }
    let asked = tile.ahead.count.min(turns - with_prefetch);
    let mut line = tile.ahead.at;
    for _ in 0..asked {
        s.prefetch(line);
        s.prefetch(line.wrapping_add(LINE / size_of::<T>()));
        line = line.wrapping_add(tile.ahead.step);
        // SAFETY: as above.
        unsafe { turn::<T, S, MR, NV, FORM>(s, &mut at, &mut acc) };
    }
    for _ in 0..turns - with_prefetch - asked {
        // SAFETY: as above.
        unsafe { turn::<T, S, MR, NV, FORM>(s, &mut at, &mut acc) };
    }
    for _ in 0..whole_steps % unroll {
        // SAFETY: as above.
        unsafe { steps::<T, S, MR, NV, FORM, 1>(s, &mut at, &mut acc, None) };
    }
    if FORM != PACKED {
        for _ in 0..tile.edge {
            // SAFETY: as above, of B the used columns only.
            unsafe { steps::<T, S, MR, NV, FORM, 1>(s, &mut at, &mut acc, Some(last)) };
        }
    }
    let whole = tile.nr == NV * S::LANES;
    // Where rows of C are neighbours, what a whole vector writes beyond a row is the next row's, which is stored after it.
    let flat = tile.c_row == tile.nr;
    let alpha = s.splat(tile.alpha);
    // SAFETY: the caller's promise about C, the epilogue's operands and `spill`.
    unsafe {
        if tile.beta == T::ZERO && tile.finish.saved.is_null() {
            let (floor, bias) = floor_and_bias::<T, S, NV>(s, &tile.finish, last);
            for_rows!(i in MR {
                let mut row = acc[i];
                for j in 0..NV {
                    // max(floor, x) and not max(x, floor): NaN must come through.
                    row[j] = s.max(floor, s.mul_add(alpha, row[j], bias[j]));
                }
                let whole = whole || flat && (MR - i) * tile.nr >= NV * S::LANES;
                store_row::<T, S, NV>(s, tile.c.add(i * tile.c_row), (!whole).then_some(last), row);
            });
        } else if tile.beta == T::ZERO && tile.finish.is_relus_derivative() {
            let zero = s.splat(T::ZERO);
            for_rows!(i in MR {
                let saved = load_row::<T, S, NV>(s, tile.finish.saved.add(i * tile.finish.saved_row), last);
                let mut row = acc[i];
                for j in 0..NV {
                    row[j] = s.select(s.gt(saved[j], zero), s.mul(alpha, row[j]), zero);
                }
                let whole = whole || flat && (MR - i) * tile.nr >= NV * S::LANES;
                store_row::<T, S, NV>(s, tile.c.add(i * tile.c_row), (!whole).then_some(last), row);
            });
        } else if tile.finish.is_none() {
            let beta = s.splat(tile.beta);
            for_rows!(i in MR {
                let c = tile.c.add(i * tile.c_row);
                let mut row = load_row::<T, S, NV>(s, c, last);
                for j in 0..NV {
                    row[j] = s.mul_add(alpha, acc[i][j], s.mul(beta, row[j]));
                }
                store_row::<T, S, NV>(s, c, (!whole).then_some(last), row);
            });
        } else {
            for_rows!(i in MR {
                for j in 0..NV {
                    s.store(tile.spill.add((i * NV + j) * S::LANES), acc[i][j]);
                }
            });
            finish_tile::<T, S, NV>(s, tile, MR);
        }
    }
}

/// The same pointer, of which the compiler knows nothing any more. Costs no instruction.
#[inline(always)]
pub(super) fn opaque<T>(p: *const T) -> *const T {
    #[cfg(target_arch = "x86_64")]
    {
        let mut p = p;
        // SAFETY: no instruction at all; the register comes out as it went in.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) p, options(pure, readonly, nostack, preserves_flags)) };
        p
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(p)
}

/// Where the panels are at the current step.
struct Cursor<T, const FORM: u8> {
    /// Every fourth row of A; the first alone but in the strided form.
    quads: [*const T; 4],
    /// Elements from a row to the next, and three times that.
    stride: (usize, usize),
    b: *const T,
    /// Elements from one step to the next, of A and B.
    step: (usize, usize),
}

impl<T, const FORM: u8> Cursor<T, FORM> {
    #[inline(always)]
    fn new(tile: &Tile<T>) -> Self {
        if FORM != STRIDED {
            return Self {
                quads: [tile.a; 4],
                stride: (1, 3),
                b: tile.b,
                step: (tile.a_col, tile.b_row),
            };
        }
        // x86 addresses base + stride * {0, 1, 2}, and with three times the stride in a register a fourth row. Told that
        // the bases are one pointer, the compiler walks from row to row with additions that wait for each other: a third
        // more time at (256, 10, 256). So it isn't told.
        let base = |i: usize| opaque(tile.a.wrapping_add(4 * i * tile.a_row));
        let stride = (
            tile.a_row,
            opaque(std::ptr::without_provenance::<u8>(3 * tile.a_row)).addr(),
        );
        Self {
            quads: [base(0), base(1), base(2), base(3)],
            stride,
            b: tile.b,
            step: (1, tile.b_row),
        }
    }

    /// Row `i` of A, `u` steps on.
    #[inline(always)]
    fn a(&self, i: usize, u: usize, mr: usize) -> *const T {
        let (stride, triple) = self.stride;
        match FORM {
            PACKED => self.quads[0].wrapping_add(u * mr + i),
            UNIT => self.quads[0].wrapping_add(u * self.step.0 + i),
            _ => self.quads[i / 4].wrapping_add([0, stride, 2 * stride, triple][i % 4] + u),
        }
    }

    /// Row `u` of B from here.
    #[inline(always)]
    fn b(&self, u: usize, nr: usize) -> *const T {
        self.b.wrapping_add(u * if FORM == PACKED { nr } else { self.step.1 })
    }
}

/// One turn of the hot loop.
#[inline(always)]
unsafe fn turn<T: Float, S: Simd<T>, const MR: usize, const NV: usize, const FORM: u8>(
    s: S,
    at: &mut Cursor<T, FORM>,
    acc: &mut [[S::V; NV]; MR],
) {
    // SAFETY: the caller vouches for the steps.
    unsafe {
        if FORM == STRIDED || S::UNROLL == 1 {
            steps::<T, S, MR, NV, FORM, 1>(s, at, acc, None);
        } else {
            const { assert!(S::UNROLL == 1 || S::UNROLL == UNROLL) };
            steps::<T, S, MR, NV, FORM, UNROLL>(s, at, acc, None);
        }
    }
}

/// U steps of p, each NV vectors of B (the last one masked if there is a mask), MR broadcasts of A, MR * NV FMAs.
#[inline(always)]
unsafe fn steps<T: Float, S: Simd<T>, const MR: usize, const NV: usize, const FORM: u8, const U: usize>(
    s: S,
    at: &mut Cursor<T, FORM>,
    acc: &mut [[S::V; NV]; MR],
    edge: Option<S::M>,
) {
    for u in 0..U {
        let b = at.b(u, NV * S::LANES);
        let mut row = [s.splat(T::ZERO); NV];
        // SAFETY: the caller vouches for U steps of NV vectors at b and of MR rows at a.
        unsafe {
            match edge {
                Some(last) => row = load_row::<T, S, NV>(s, b, last),
                None => {
                    for j in 0..NV {
                        row[j] = s.load(b.add(j * S::LANES));
                    }
                }
            }
            for i in 0..MR {
                let x = s.splat(*at.a(i, u, MR));
                for j in 0..NV {
                    acc[i][j] = s.mul_add(x, row[j], acc[i][j]);
                }
            }
        }
    }
    let a_step = match FORM {
        PACKED => MR,
        UNIT => at.step.0,
        _ => 1,
    };
    for quad in &mut at.quads {
        *quad = quad.wrapping_add(U * a_step);
        if FORM == STRIDED {
            *quad = opaque(*quad);
        }
    }
    at.b = at.b(U, NV * S::LANES);
}

/// The general epilogue, from sums in memory. Its loop over rows must not be unrolled: while all of it was in one piece
/// with the hot loop, the compiler kept the accumulators on the stack (400 cycles a tile, a fifth of the time at
/// kc = 128). The short forms above are small enough to be unrolled with the sums in registers.
#[inline(always)]
unsafe fn finish_tile<T: Float, S: Simd<T>, const NV: usize>(s: S, tile: &Tile<T>, rows: usize) {
    let last = s.first(tile.nr - (NV - 1) * S::LANES);
    let whole = tile.nr == NV * S::LANES;
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
            store_row::<T, S, NV>(s, c, (!whole).then_some(last), row);
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

/// NV vectors of a row to memory, the last one masked if there is a mask: on AMD a masked store costs a dozen plain ones.
#[inline(always)]
unsafe fn store_row<T: Float, S: Simd<T>, const NV: usize>(s: S, p: *mut T, last: Option<S::M>, row: [S::V; NV]) {
    // SAFETY: the caller vouches for the row.
    unsafe {
        for j in 0..NV - 1 {
            s.store(p.add(j * S::LANES), row[j]);
        }
        let p = p.add((NV - 1) * S::LANES);
        match last {
            None => s.store(p, row[NV - 1]),
            Some(last) => s.store_masked(p, last, row[NV - 1]),
        }
    }
}
