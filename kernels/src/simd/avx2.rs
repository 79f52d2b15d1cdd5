//! AVX2 and FMA: 8 lanes of f32, 4 of f64. A mask is a vector whose lanes' top bits count.

use std::arch::x86_64::*;

use super::{Arithmetic, Block, Kernel, Simd, Target};
use crate::Float;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// The token, where both features are there.
    #[inline]
    pub fn new() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// The token without a test.
    ///
    /// # Safety
    /// The features are there.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }

    /// Runs `kernel` in a function that enables the features.
    #[inline]
    pub(crate) fn enter<T: Float, K: Kernel<T>>(self, kernel: K) -> K::Output
    where
        Self: Simd<T>,
    {
        #[target_feature(enable = "avx2,fma")]
        fn inner<T: Float, K: Kernel<T>>(token: Avx2, kernel: K) -> K::Output
        where
            Avx2: Simd<T>,
        {
            kernel.run(token)
        }
        // SAFETY: the token exists only where the CPU has both features.
        unsafe { inner(self, kernel) }
    }
}

/// A table of which bits are set in the mask of the first n lanes: read from `LANES - n` on.
static FIRST_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static FIRST_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// The upper half onto the lower, until one lane is left: the order of `halves`.
///
/// # Safety
/// The CPU has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sum_8_f32(a: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// As [`sum_8_f32`].
///
/// # Safety
/// The CPU has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sum_4_f64(a: __m256d) -> f64 {
    let two = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd::<1>(a));
    _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
}

/// Eight bytes as f32.
///
/// # Safety
/// The CPU has AVX2, and `p` is valid for reads of eight bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn eight_bytes(p: *const u8) -> __m256 {
    // SAFETY: the caller vouches for the memory.
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(p.cast()) }))
}

/// Four bytes as f64.
///
/// # Safety
/// The CPU has AVX2, and `p` is valid for reads of four bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn four_bytes(p: *const u8) -> __m256d {
    // SAFETY: the caller vouches for the memory.
    let bytes = unsafe { p.cast::<i32>().read_unaligned() };
    _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)))
}

macro_rules! avx2 {
    (
        $t:ident, $lanes:literal, $vector:ident, $first:ident, splat $splat:ident, zero $zero:ident, load $load:ident, store $store:ident,
        stream $stream:ident, maskload $maskload:ident, maskstore $maskstore:ident, to_int $to_int:ident, from_int $from_int:ident,
        add $add:ident, sub $sub:ident, mul $mul:ident, div $div:ident, fma $fma:ident, max $max:ident, min $min:ident,
        sqrt $sqrt:ident, round $round:ident, cmp $cmp:ident, blend $blend:ident, transpose $transpose:ident, sum $sum:path, sums $sums:ident,
        and $and:ident, or $or:ident, andnot $andnot:ident, movemask $movemask:ident, first_lane $first_lane:ident,
        bits $bits:ident, mantissa $mantissa:literal, bias $bias:literal, shl $shl:ident, shr $shr:ident, addi $addi:ident, subi $subi:ident,
        splati $splati:ident, andi $andi:ident, ori $ori:ident, load_u8 $load_u8:ident, power $power:path, store_part $store_part:path
    ) => {
        impl Arithmetic<$t> for Avx2 {
            type V = $vector;
            type M = $vector;
            #[inline(always)]
            fn splat(self, x: $t) -> $vector {
                // SAFETY: the token proves the features (so below, wherever nothing else is said).
                unsafe { $splat(x) }
            }
            #[inline(always)]
            fn add(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            fn max(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn min(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            fn sqrt(self, a: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $sqrt(a) }
            }
            #[inline(always)]
            fn round(self, a: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
            }
            #[inline(always)]
            fn gt(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $cmp::<_CMP_GT_OQ>(a, b) }
            }
            #[inline(always)]
            fn eq(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $cmp::<_CMP_EQ_OQ>(a, b) }
            }
            #[inline(always)]
            fn select(self, m: $vector, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $blend(b, a, m) }
            }
            #[inline(always)]
            fn abs(self, a: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $andnot($splat(-0.0), a) }
            }
            #[inline(always)]
            fn copysign(self, magnitude: $vector, sign: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $or($andnot($splat(-0.0), magnitude), $and($splat(-0.0), sign)) }
            }
            #[inline(always)]
            fn pow2(self, biased: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $from_int($addi($shl::<$mantissa>($to_int(biased)), $to_int($splat(1.0)))) }
            }
            #[inline(always)]
            fn ldexp(self, a: $vector, _n: $vector, biased: $vector) -> $vector {
                // Half of n is one factor, whose product is exact; the rest is another, whose product rounds.
                // SAFETY: as in splat.
                unsafe {
                    let (one, bits) = ($to_int($splat(1.0)), $to_int(biased));
                    let half = $shl::<$mantissa>($shr::<1>(bits));
                    let rest = $subi($shl::<$mantissa>(bits), half);
                    $mul($mul(a, $from_int($addi(half, one))), $from_int($addi(rest, one)))
                }
            }
            #[inline(always)]
            fn power(self, biased: $vector) -> ($vector, $vector) {
                $power(self, biased)
            }
            #[inline(always)]
            fn frexp(self, a: $vector) -> ($vector, $vector) {
                const ONE: $bits = (1.0 as $t).to_bits() as $bits;
                const ROOT: $bits = std::$t::consts::FRAC_1_SQRT_2.to_bits() as $bits;
                // SAFETY: as in splat.
                unsafe {
                    let raised = $addi($to_int(a), $splati(ONE - ROOT));
                    let m = $addi($andi(raised, $splati((1 << $mantissa) - 1)), $splati(ROOT));
                    let n = $ori($shr::<$mantissa>(raised), $to_int($splat(1.0 / $t::EPSILON)));
                    (
                        $from_int(m),
                        $sub($from_int(n), $splat(1.0 / $t::EPSILON + $bias)),
                    )
                }
            }
        }

        impl Simd<$t> for Avx2 {
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn load(self, p: *const $t) -> $vector {
                // SAFETY: the caller vouches for the memory.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t, v: $vector) {
                // SAFETY: the caller vouches for the memory.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t, v: $vector) {
                // SAFETY: the caller vouches for the memory and its alignment.
                unsafe { $stream(p, v) }
            }
            #[inline(always)]
            fn first(self, n: usize) -> $vector {
                // SAFETY: LANES - n lies in 0..=LANES, and the table has 2 * LANES entries.
                unsafe { $load($first.as_ptr().add($lanes - n.min($lanes)).cast()) }
            }
            #[inline(always)]
            unsafe fn load_masked(self, p: *const $t, m: $vector) -> $vector {
                // SAFETY: the caller vouches for the lanes in m; a masked load touches no other.
                unsafe { $maskload(p, $to_int(m)) }
            }
            #[inline(always)]
            unsafe fn store_masked(self, p: *mut $t, m: $vector, v: $vector) {
                // SAFETY: the caller vouches for the lanes in m; a masked store touches no other.
                unsafe { $maskstore(p, $to_int(m), v) }
            }
            #[inline(always)]
            unsafe fn store_up_to(self, p: *mut $t, left: usize, v: $vector) {
                // SAFETY: the caller vouches for the memory.
                unsafe {
                    if left >= $lanes {
                        $store(p, v);
                    } else {
                        $store_part(self, p, left, v);
                    }
                }
            }
            #[inline(always)]
            unsafe fn transpose(self, from: Block<$t>, to: Target<$t>) {
                let mut rows = [<Self as Arithmetic<$t>>::splat(self, 0.0); $lanes];
                for i in 0..$lanes {
                    // SAFETY: the caller vouches for the block.
                    rows[i] = unsafe { from.load(self, i) };
                }
                let columns = $transpose(self, rows);
                let keep = <Self as Simd<$t>>::first(self, to.keep);
                for p in 0..$lanes {
                    // SAFETY: the caller vouches for `cols` rows, whole or of the lanes in keep.
                    unsafe {
                        if p < from.cols.min(to.whole) {
                            self.store(to.data.add(p * to.pitch), columns[p]);
                        } else if p < from.cols {
                            self.store_masked(to.data.add(p * to.pitch), keep, columns[p]);
                        }
                    }
                }
            }
            #[inline(always)]
            fn mask_bits(self, m: $vector) -> u32 {
                // SAFETY: as in splat.
                unsafe { $movemask(m) as u32 }
            }
            #[inline(always)]
            fn first_lane(self, a: $vector) -> $t {
                // SAFETY: as in splat.
                unsafe { $first_lane(a) }
            }
            #[inline(always)]
            unsafe fn load_u8(self, p: *const u8) -> $vector {
                // SAFETY: the caller vouches for the memory.
                unsafe { $load_u8(p) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: as in splat: SSE is older than either.
                unsafe { _mm_sfence() }
            }
            #[inline(always)]
            fn sum(self, a: $vector) -> $t {
                // SAFETY: as in splat.
                unsafe { $sum(a) }
            }
            #[inline(always)]
            fn sums(self, a: [$vector; 8]) -> [$t; 8] {
                $sums(self, a)
            }
            #[inline(always)]
            fn largest(self, a: $vector) -> $t {
                let mut lanes = [0.0; $lanes];
                // SAFETY: the array holds LANES elements.
                unsafe { $store(lanes.as_mut_ptr(), a) };
                super::halves(lanes, |x, y| if x > y { x } else { y })
            }
        }
    };
}

/// Pairs, then fours within each half, then the halves.
#[inline(always)]
fn transpose_8x8(_: Avx2, r: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the token proves the features.
    unsafe {
        let mut t = r;
        for i in 0..4 {
            t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut q = t;
        for i in 0..2 {
            let b = 4 * i;
            q[b] = _mm256_shuffle_ps::<0x44>(t[b], t[b + 2]);
            q[b + 1] = _mm256_shuffle_ps::<0xEE>(t[b], t[b + 2]);
            q[b + 2] = _mm256_shuffle_ps::<0x44>(t[b + 1], t[b + 3]);
            q[b + 3] = _mm256_shuffle_ps::<0xEE>(t[b + 1], t[b + 3]);
        }
        let mut c = q;
        for i in 0..4 {
            c[i] = _mm256_permute2f128_ps::<0x20>(q[i], q[i + 4]);
            c[i + 4] = _mm256_permute2f128_ps::<0x31>(q[i], q[i + 4]);
        }
        c
    }
}

/// Pairs, then the halves.
#[inline(always)]
fn transpose_4x4(_: Avx2, r: [__m256d; 4]) -> [__m256d; 4] {
    // SAFETY: the token proves the features.
    unsafe {
        let (a, b) = (_mm256_unpacklo_pd(r[0], r[1]), _mm256_unpackhi_pd(r[0], r[1]));
        let (c, d) = (_mm256_unpacklo_pd(r[2], r[3]), _mm256_unpackhi_pd(r[2], r[3]));
        [
            _mm256_permute2f128_pd::<0x20>(a, c),
            _mm256_permute2f128_pd::<0x20>(b, d),
            _mm256_permute2f128_pd::<0x31>(a, c),
            _mm256_permute2f128_pd::<0x31>(b, d),
        ]
    }
}

/// Eight sums side by side, folded into each other's free lanes, in the order of [`sum_8_f32`].
#[inline(always)]
pub(super) fn sums_of_8_f32(_: Avx2, a: [__m256; 8]) -> [f32; 8] {
    let mut sums = [0.0; 8];
    // SAFETY: the token proves the features, and the array holds eight.
    unsafe {
        // Halves folded, of vectors i and i + 4 in one; then fours, of two of those; then pairs.
        let mut folded = [_mm256_setzero_ps(); 4];
        for i in 0..4 {
            let low = _mm256_permute2f128_ps::<0x20>(a[i], a[i + 4]);
            folded[i] = _mm256_add_ps(low, _mm256_permute2f128_ps::<0x31>(a[i], a[i + 4]));
        }
        let mut fours = [_mm256_setzero_ps(); 2];
        for i in 0..2 {
            let (x, y) = (folded[2 * i], folded[2 * i + 1]);
            fours[i] = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xEE>(x, y));
        }
        let even = _mm256_shuffle_ps::<0x88>(fours[0], fours[1]);
        let odd = _mm256_shuffle_ps::<0xDD>(fours[0], fours[1]);
        _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(even, odd));
    }
    sums
}

/// As [`sums_of_8_f32`], four and four.
#[inline(always)]
pub(super) fn sums_of_4_f64(s: Avx2, a: [__m256d; 8]) -> [f64; 8] {
    let mut sums = [0.0; 8];
    for half in 0..2 {
        let i = 4 * half;
        let c = transpose_4x4(s, [a[i], a[i + 1], a[i + 2], a[i + 3]]);
        // SAFETY: the token proves the features, and four of the array are left.
        unsafe {
            let sum = _mm256_add_pd(_mm256_add_pd(c[0], c[2]), _mm256_add_pd(c[1], c[3]));
            _mm256_storeu_pd(sums.as_mut_ptr().add(i), sum);
        }
    }
    sums
}

/// The first `left` of eight, fewer than all, in halves of halves: on AMD a masked store takes as long as a dozen of these.
#[inline(always)]
unsafe fn first_of_8(_: Avx2, mut p: *mut f32, left: usize, v: __m256) {
    // SAFETY: the caller vouches for `left` elements from p.
    unsafe {
        let mut part = _mm256_castps256_ps128(v);
        if left & 4 != 0 {
            _mm_storeu_ps(p, part);
            (p, part) = (p.add(4), _mm256_extractf128_ps::<1>(v));
        }
        if left & 2 != 0 {
            _mm_storel_epi64(p.cast(), _mm_castps_si128(part));
            (p, part) = (p.add(2), _mm_movehl_ps(part, part));
        }
        if left & 1 != 0 {
            _mm_store_ss(p, part);
        }
    }
}

/// The same of four.
#[inline(always)]
unsafe fn first_of_4(_: Avx2, mut p: *mut f64, left: usize, v: __m256d) {
    // SAFETY: as in first_of_8.
    unsafe {
        let mut part = _mm256_castpd256_pd128(v);
        if left & 2 != 0 {
            _mm_storeu_pd(p, part);
            (p, part) = (p.add(2), _mm256_extractf128_pd::<1>(v));
        }
        if left & 1 != 0 {
            _mm_store_sd(p, part);
        }
    }
}

/// A table of four in each half.
static QUARTERS: [[f32; 4]; 2] = [super::QUARTERS; 2];
static QUARTER_RESTS: [[f32; 4]; 2] = [super::QUARTER_RESTS; 2];

/// 2^(n/4): the lowest two bits of each lane look it up.
#[inline(always)]
fn quarters(_: Avx2, biased: __m256) -> (__m256, __m256) {
    // SAFETY: the token proves the features; the tables have eight numbers.
    unsafe {
        let bits = _mm256_castps_si256(biased);
        let mantissa = _mm256_permutevar_ps(_mm256_loadu_ps(QUARTERS.as_ptr().cast()), bits);
        let rest = _mm256_permutevar_ps(_mm256_loadu_ps(QUARTER_RESTS.as_ptr().cast()), bits);
        let power = _mm256_add_epi32(_mm256_slli_epi32::<21>(bits), _mm256_castps_si256(mantissa));
        (_mm256_castsi256_ps(power), rest)
    }
}

/// 2^n, exactly.
#[inline(always)]
fn whole(s: Avx2, biased: __m256d) -> (__m256d, __m256d) {
    (Arithmetic::<f64>::pow2(s, biased), Arithmetic::<f64>::splat(s, 0.0))
}

avx2!(
    f32, 8, __m256, FIRST_32, splat _mm256_set1_ps, zero _mm256_setzero_ps, load _mm256_loadu_ps, store _mm256_storeu_ps,
    stream _mm256_stream_ps, maskload _mm256_maskload_ps, maskstore _mm256_maskstore_ps, to_int _mm256_castps_si256, from_int _mm256_castsi256_ps,
    add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps, div _mm256_div_ps, fma _mm256_fmadd_ps, max _mm256_max_ps, min _mm256_min_ps,
    sqrt _mm256_sqrt_ps, round _mm256_round_ps, cmp _mm256_cmp_ps, blend _mm256_blendv_ps, transpose transpose_8x8, sum sum_8_f32, sums sums_of_8_f32,
    and _mm256_and_ps, or _mm256_or_ps, andnot _mm256_andnot_ps, movemask _mm256_movemask_ps, first_lane _mm256_cvtss_f32,
    bits i32, mantissa 23, bias 127.0, shl _mm256_slli_epi32, shr _mm256_srli_epi32, addi _mm256_add_epi32, subi _mm256_sub_epi32,
    splati _mm256_set1_epi32, andi _mm256_and_si256, ori _mm256_or_si256, load_u8 eight_bytes, power quarters, store_part first_of_8
);
avx2!(
    f64, 4, __m256d, FIRST_64, splat _mm256_set1_pd, zero _mm256_setzero_pd, load _mm256_loadu_pd, store _mm256_storeu_pd,
    stream _mm256_stream_pd, maskload _mm256_maskload_pd, maskstore _mm256_maskstore_pd, to_int _mm256_castpd_si256, from_int _mm256_castsi256_pd,
    add _mm256_add_pd, sub _mm256_sub_pd, mul _mm256_mul_pd, div _mm256_div_pd, fma _mm256_fmadd_pd, max _mm256_max_pd, min _mm256_min_pd,
    sqrt _mm256_sqrt_pd, round _mm256_round_pd, cmp _mm256_cmp_pd, blend _mm256_blendv_pd, transpose transpose_4x4, sum sum_4_f64, sums sums_of_4_f64,
    and _mm256_and_pd, or _mm256_or_pd, andnot _mm256_andnot_pd, movemask _mm256_movemask_pd, first_lane _mm256_cvtsd_f64,
    bits i64, mantissa 52, bias 1023.0, shl _mm256_slli_epi64, shr _mm256_srli_epi64, addi _mm256_add_epi64, subi _mm256_sub_epi64,
    splati _mm256_set1_epi64x, andi _mm256_and_si256, ori _mm256_or_si256, load_u8 four_bytes, power whole, store_part first_of_4
);
