//! Vectors of an instruction set, as zero-size tokens.
//!
//! A token's only constructor tests every feature that its methods use, so whoever holds one may call them: that is why
//! they are safe. Methods are `#[inline(always)]` and become single instructions only inside a function that enables the
//! features: [`Float::run_on`] enters one (`enter`), and so do the wrappers of the micro-kernel table. Code between
//! that entry and the intrinsics must be `#[inline(always)]` too, and free of closures (a closure is a function of its
//! own, without the features).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pair;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub(crate) use pair::Pair;
pub use portable::Portable;

use crate::Float;

/// Arithmetic on elements of type `T`, lane by lane: all that elementwise functions need. `self` is a token of no size.
pub trait Arithmetic<T: Float>: Copy + Send + Sync + 'static {
    /// A vector.
    type V: Copy;
    /// One bit a lane.
    type M: Copy;
    /// `x` in every lane.
    fn splat(self, x: T) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`: rounded once where the ISA has FMA, twice on portable.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b + c` rounded once on every ISA: for the few places where a product's low half matters.
    #[inline(always)]
    fn fused_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add(a, b, c)
    }
    /// The larger; `b` where either is NaN or both are zero (x86's rule, kept by every ISA).
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN or both are zero.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `a / (sqrt(b) * c + d)` for b >= 0, to within a few units in the last place.
    #[inline(always)]
    fn over_root(self, a: Self::V, b: Self::V, c: Self::V, d: Self::V) -> Self::V {
        self.div(a, self.mul_add(self.sqrt(b), c, d))
    }
    /// Nearest whole number, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// `a > b`; false where either is NaN.
    fn gt(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a == b`; false where either is NaN.
    fn eq(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a` in the lanes of `m`, `b` elsewhere.
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// `|a|`: the sign bit cleared, of a NaN too.
    fn abs(self, a: Self::V) -> Self::V;
    /// `magnitude` with the sign bit of `sign`.
    fn copysign(self, magnitude: Self::V, sign: Self::V) -> Self::V;
    /// `2^n` for n in -126..=127 (f64: -1022..=1023) and 0 for the n below, -127 (-1023), where `biased` is
    /// `n + Elementary::SHIFT`, the sum that leaves n in the lowest bits. Other n and NaN give any number.
    fn pow2(self, biased: Self::V) -> Self::V;
    /// `a * 2^n`, rounded once, gradual underflow included, for a in 0.5..2 and any n in -150..=128 (f64: -1075..=1024);
    /// `n` is whole, `biased` as in [`Arithmetic::pow2`]. NaN in `a` stays NaN.
    fn ldexp(self, a: Self::V, n: Self::V, biased: Self::V) -> Self::V;
    /// (p, e) with `2^(n / STEPS) = p (1 + e)`, `STEPS` being `Elementary::STEPS`: p is that power rounded, and 0 for n = -127 `STEPS`
    /// (f64: -1023). `biased` is n on top of a multiple of `STEPS` that leaves n in the lowest bits, as in [`Arithmetic::pow2`].
    fn power(self, biased: Self::V) -> (Self::V, Self::V);
    /// (m, n) with `a = m * 2^n` and m in `[sqrt(1/2), sqrt(2))`, exact, for positive normal `a`. Others give any numbers.
    fn frexp(self, a: Self::V) -> (Self::V, Self::V);
}

/// Vector operations on elements of type `T`: memory, masks, and what crosses lanes.
///
/// Pointers need no alignment unless a method says so. Lanes are numbered in memory order.
pub trait Simd<T: Float>: Arithmetic<T> {
    /// Elements in a vector.
    const LANES: usize;
    /// Steps of k in one turn of a product's hot loop.
    const UNROLL: usize = 4;
    /// Elementwise loops take two vectors side by side: see `pair.rs`.
    const PAIRS: bool = true;
    /// `LANES` elements from `p`.
    ///
    /// # Safety
    /// `p` is valid for reads of `LANES` elements.
    unsafe fn load(self, p: *const T) -> Self::V;
    /// `LANES` elements to `p`.
    ///
    /// # Safety
    /// `p` is valid for writes of `LANES` elements.
    unsafe fn store(self, p: *mut T, v: Self::V);
    /// `LANES` elements to `p`, past the caches where the ISA can. A fence must follow before others read.
    ///
    /// # Safety
    /// `p` is valid for writes of `LANES` elements and aligned to the vector.
    unsafe fn stream(self, p: *mut T, v: Self::V);
    /// The mask of the first `n` lanes; all of them from `LANES` on.
    fn first(self, n: usize) -> Self::M;
    /// Lanes in `m` from `p`, zero elsewhere. Memory outside `m` is not touched.
    ///
    /// # Safety
    /// `p` is valid for reads of the lanes in `m`.
    unsafe fn load_masked(self, p: *const T, m: Self::M) -> Self::V;
    /// Lanes in `m` to `p`. Memory outside `m` is not touched.
    ///
    /// # Safety
    /// `p` is valid for writes of the lanes in `m`.
    unsafe fn store_masked(self, p: *mut T, m: Self::M, v: Self::V);
    /// `left` elements from `p`, `LANES` at most; zero in the other lanes.
    ///
    /// # Safety
    /// `p` is valid for reads of them.
    #[inline(always)]
    unsafe fn load_up_to(self, p: *const T, left: usize) -> Self::V {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            if left >= Self::LANES {
                self.load(p)
            } else {
                self.load_masked(p, self.first(left))
            }
        }
    }
    /// `left` elements to `p`, `LANES` at most. Whole vectors without a mask.
    ///
    /// # Safety
    /// `p` is valid for writes of them.
    #[inline(always)]
    unsafe fn store_up_to(self, p: *mut T, left: usize, v: Self::V) {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            if left >= Self::LANES {
                self.store(p, v);
            } else {
                self.store_masked(p, self.first(left), v);
            }
        }
    }

    /// Hint that the line at `p` is needed soon. `p` may point anywhere.
    #[inline(always)]
    fn prefetch(self, p: *const T) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch never faults, and every x86-64 has it.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }
    /// Transposes a block of at most `LANES` x `LANES`: element (i, p) goes from `from.data[i * from.row + p]` to
    /// `to.data[p * to.pitch + i]`, zero from `from.rows` on, row after row of `to`.
    ///
    /// # Safety
    /// `from` is valid for reads of `rows` rows of `cols` elements, `to` for writes of `cols` rows as it says.
    unsafe fn transpose(self, from: Block<T>, to: Target<T>);
    /// Lane i's mask as bit i.
    fn mask_bits(self, m: Self::M) -> u32;
    /// Lane 0.
    fn first_lane(self, a: Self::V) -> T;
    /// `LANES` bytes from `p`, each as a number.
    ///
    /// # Safety
    /// `p` is valid for reads of `LANES` bytes.
    unsafe fn load_u8(self, p: *const u8) -> Self::V;
    /// Orders what [`Simd::stream`] wrote before everything that is written after.
    fn fence(self);
    /// The sum of all lanes, in one fixed order.
    fn sum(self, a: Self::V) -> T;
    /// The sums of eight vectors, bit by bit those of [`Simd::sum`].
    #[inline(always)]
    fn sums(self, a: [Self::V; 8]) -> [T; 8] {
        // By index: an iterator is code without the ISA's features.
        let mut sums = [T::ZERO; 8];
        #[allow(clippy::needless_range_loop)]
        for i in 0..8 {
            sums[i] = self.sum(a[i]);
        }
        sums
    }
    /// The largest lane, by the rule of [`Arithmetic::max`].
    fn largest(self, a: Self::V) -> T;
}

/// A block to be transposed.
#[derive(Debug, Clone, Copy)]
pub struct Block<T> {
    /// Element (0, 0).
    pub data: *const T,
    /// Elements from one row to the next; those of a row are neighbours.
    pub row: usize,
    /// Rows, at most `LANES`.
    pub rows: usize,
    /// Columns, at most `LANES`.
    pub cols: usize,
}

impl<T: Float> Block<T> {
    /// Row `i`, zero outside the block.
    ///
    /// # Safety
    /// The block is valid for reads.
    #[inline(always)]
    unsafe fn load<S: Simd<T>>(self, s: S, i: usize) -> S::V {
        if i >= self.rows {
            return s.splat(T::ZERO);
        }
        // SAFETY: row `i` lies in the block.
        unsafe {
            let row = self.data.add(i * self.row);
            if self.cols == S::LANES {
                s.load(row)
            } else {
                s.load_masked(row, s.first(self.cols))
            }
        }
    }
}

/// Where a transposed block goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<T> {
    /// Element (0, 0).
    pub data: *mut T,
    /// Elements from one row to the next.
    pub pitch: usize,
    /// Elements of a row that count.
    pub keep: usize,
    /// Leading rows that may be written as whole vectors, whatever lies behind `keep`; the others are masked. On AMD a
    /// masked store of AVX2 takes as long as a dozen plain ones.
    pub whole: usize,
}

impl<T> Target<T> {
    /// In a panel that ends at `end`: what a whole vector writes behind `keep` must be written again later.
    #[inline(always)]
    pub(crate) fn in_panel(data: *mut T, pitch: usize, keep: usize, lanes: usize, end: *mut T) -> Self {
        let room = (end.addr() - data.addr()) / size_of::<T>();
        let whole = if keep >= lanes {
            usize::MAX
        } else {
            (room + pitch).saturating_sub(lanes) / pitch
        };
        Self {
            data,
            pitch,
            keep,
            whole,
        }
    }
}

/// The bits of 2^(j/4), rounded, less what j adds to them on its way into the exponent: j << 21 and this are 2^(j/4), and so for any
/// j if its lowest two bits choose.
const QUARTERS: [f32; 4] = [
    1.0,
    f32::from_bits(0x3f98_37f0 - (1 << 21)),
    f32::from_bits(0x3fb5_04f3 - (2 << 21)),
    f32::from_bits(0x3fd7_44fd - (3 << 21)),
];

/// What rounding took from 2^(j/4), relative.
const QUARTER_RESTS: [f32; 4] = [0.0, 3.193_418e-8, 1.711_427e-8, -1.471_960_5e-8];

/// Code that runs on any ISA's vectors: the body of [`Float::run_on`]. `run` must be `#[inline(always)]`.
pub trait Kernel<T: Float> {
    /// What it gives back.
    type Output;
    /// The code.
    fn run<S: Simd<T>>(self, s: S) -> Self::Output;
}

/// Folds the upper half onto the lower until one lane is left: the same order on every ISA of equal width.
#[inline(always)]
fn halves<T: Copy, const N: usize>(mut lanes: [T; N], fold: impl Fn(T, T) -> T) -> T {
    let mut width = N / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = fold(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}
