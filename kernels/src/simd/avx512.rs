//! AVX-512 F, DQ, BW, VL: 16 lanes of f32, 8 of f64. A mask is a mask register.

use std::arch::x86_64::*;

use super::{Arithmetic, Block, Kernel, Simd, Target};
use crate::Float;

/// Proof that the CPU has AVX-512 F, DQ, BW and VL, and AVX2 and FMA beside them.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

impl Avx512 {
    /// The token, where all these features are there.
    #[inline]
    pub fn new() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma"))
        .then_some(Self(()))
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
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
        fn inner<T: Float, K: Kernel<T>>(token: Avx512, kernel: K) -> K::Output
        where
            Avx512: Simd<T>,
        {
            kernel.run(token)
        }
        // SAFETY: the token exists only where the CPU has all these features.
        unsafe { inner(self, kernel) }
    }
}

/// The upper half onto the lower, until one lane is left: the order of `halves`.
///
/// # Safety
/// The CPU has AVX-512 F and DQ, and AVX2.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx2")]
unsafe fn sum_16_f32(a: __m512) -> f32 {
    let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
    // SAFETY: the caller vouches for AVX2.
    unsafe { super::avx2::sum_8_f32(eight) }
}

/// As [`sum_16_f32`].
///
/// # Safety
/// The CPU has AVX-512 F and AVX2.
#[inline]
#[target_feature(enable = "avx512f,avx2")]
unsafe fn sum_8_f64(a: __m512d) -> f64 {
    let four = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd::<1>(a));
    // SAFETY: the caller vouches for AVX2.
    unsafe { super::avx2::sum_4_f64(four) }
}

/// Sixteen bytes as f32.
///
/// # Safety
/// The CPU has AVX-512 F, and `p` is valid for reads of sixteen bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn sixteen_bytes(p: *const u8) -> __m512 {
    // SAFETY: the caller vouches for the memory.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(p.cast()) }))
}

/// Eight bytes as f64.
///
/// # Safety
/// The CPU has AVX-512 F and AVX2, and `p` is valid for reads of eight bytes.
#[inline]
#[target_feature(enable = "avx512f,avx2")]
unsafe fn eight_bytes(p: *const u8) -> __m512d {
    // SAFETY: the caller vouches for the memory.
    _mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(p.cast()) }))
}

macro_rules! avx512 {
    (
        $t:ident, $lanes:literal, $vector:ident, $mask:ident, splat $splat:ident, load $load:ident, store $store:ident, stream $stream:ident,
        maskload $maskload:ident, maskstore $maskstore:ident, add $add:ident, sub $sub:ident, mul $mul:ident, div $div:ident,
        fma $fma:ident, max $max:ident, min $min:ident, sqrt $sqrt:ident, round $round:ident, cmp $cmp:ident, blend $blend:ident,
        transpose $transpose:ident, sum $sum:path, sums $sums:ident,
        and $and:ident, or $or:ident, andnot $andnot:ident, first_lane $first_lane:ident, scalef $scalef:ident, to_int $to_int:ident, from_int $from_int:ident,
        bits $bits:ident, mantissa $mantissa:literal, bias $bias:literal, shl $shl:ident, shr $shr:ident, addi $addi:ident,
        splati $splati:ident, andi $andi:ident, ori $ori:ident, load_u8 $load_u8:ident, power $power:path, over_root $over_root:path
    ) => {
        impl Arithmetic<$t> for Avx512 {
            type V = $vector;
            type M = $mask;
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
            fn over_root(self, a: $vector, b: $vector, c: $vector, d: $vector) -> $vector {
                $over_root(self, a, b, c, d)
            }
            #[inline(always)]
            fn round(self, a: $vector) -> $vector {
                // SAFETY: as in splat. The immediate is: scale 0, nearest even.
                unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
            }
            #[inline(always)]
            fn gt(self, a: $vector, b: $vector) -> $mask {
                // SAFETY: as in splat.
                unsafe { $cmp::<_CMP_GT_OQ>(a, b) }
            }
            #[inline(always)]
            fn eq(self, a: $vector, b: $vector) -> $mask {
                // SAFETY: as in splat.
                unsafe { $cmp::<_CMP_EQ_OQ>(a, b) }
            }
            #[inline(always)]
            fn select(self, m: $mask, a: $vector, b: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $blend(m, b, a) }
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
            fn ldexp(self, a: $vector, n: $vector, _biased: $vector) -> $vector {
                // SAFETY: as in splat.
                unsafe { $scalef(a, n) }
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

        impl Simd<$t> for Avx512 {
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
            fn first(self, n: usize) -> $mask {
                if n >= $lanes {
                    $mask::MAX
                } else {
                    ((1 as $mask) << n) - 1
                }
            }
            #[inline(always)]
            unsafe fn load_masked(self, p: *const $t, m: $mask) -> $vector {
                // SAFETY: the caller vouches for the lanes in m; a masked load touches no other.
                unsafe { $maskload(m, p) }
            }
            #[inline(always)]
            unsafe fn store_masked(self, p: *mut $t, m: $mask, v: $vector) {
                // SAFETY: the caller vouches for the lanes in m; a masked store touches no other.
                unsafe { $maskstore(p, m, v) }
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
            fn mask_bits(self, m: $mask) -> u32 {
                u32::from(m)
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

/// Pairs, fours within each quarter, then the quarters in two steps.
#[inline(always)]
fn transpose_16x16(_: Avx512, r: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the token proves the features.
    unsafe {
        let mut t = r;
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        // q[4 g + j] holds, in each quarter h, column 4 h + j of rows 4 g to 4 g + 3.
        let mut q = t;
        for g in 0..4 {
            let b = 4 * g;
            q[b] = _mm512_shuffle_ps::<0x44>(t[b], t[b + 2]);
            q[b + 1] = _mm512_shuffle_ps::<0xEE>(t[b], t[b + 2]);
            q[b + 2] = _mm512_shuffle_ps::<0x44>(t[b + 1], t[b + 3]);
            q[b + 3] = _mm512_shuffle_ps::<0xEE>(t[b + 1], t[b + 3]);
        }
        let mut c = q;
        for j in 0..4 {
            let low = _mm512_shuffle_f32x4::<0x88>(q[j], q[4 + j]); // quarters 0 and 2 of both
            let high = _mm512_shuffle_f32x4::<0xDD>(q[j], q[4 + j]); // quarters 1 and 3
            let low2 = _mm512_shuffle_f32x4::<0x88>(q[8 + j], q[12 + j]);
            let high2 = _mm512_shuffle_f32x4::<0xDD>(q[8 + j], q[12 + j]);
            c[j] = _mm512_shuffle_f32x4::<0x88>(low, low2);
            c[4 + j] = _mm512_shuffle_f32x4::<0x88>(high, high2);
            c[8 + j] = _mm512_shuffle_f32x4::<0xDD>(low, low2);
            c[12 + j] = _mm512_shuffle_f32x4::<0xDD>(high, high2);
        }
        c
    }
}

/// Pairs, then the quarters in two steps.
#[inline(always)]
fn transpose_8x8(_: Avx512, r: [__m512d; 8]) -> [__m512d; 8] {
    // SAFETY: the token proves the features.
    unsafe {
        // t[2 g + j] holds, in each quarter h, column 2 h + j of rows 2 g and 2 g + 1.
        let mut t = r;
        for g in 0..4 {
            t[2 * g] = _mm512_unpacklo_pd(r[2 * g], r[2 * g + 1]);
            t[2 * g + 1] = _mm512_unpackhi_pd(r[2 * g], r[2 * g + 1]);
        }
        let mut c = t;
        for j in 0..2 {
            let low = _mm512_shuffle_f64x2::<0x88>(t[j], t[2 + j]);
            let high = _mm512_shuffle_f64x2::<0xDD>(t[j], t[2 + j]);
            let low2 = _mm512_shuffle_f64x2::<0x88>(t[4 + j], t[6 + j]);
            let high2 = _mm512_shuffle_f64x2::<0xDD>(t[4 + j], t[6 + j]);
            c[j] = _mm512_shuffle_f64x2::<0x88>(low, low2);
            c[2 + j] = _mm512_shuffle_f64x2::<0x88>(high, high2);
            c[4 + j] = _mm512_shuffle_f64x2::<0xDD>(low, low2);
            c[6 + j] = _mm512_shuffle_f64x2::<0xDD>(high, high2);
        }
        c
    }
}

/// Upper halves onto lower ones, then as AVX2 does it.
#[inline(always)]
fn sums_of_16_f32(_: Avx512, a: [__m512; 8]) -> [f32; 8] {
    // SAFETY: the token proves the features, those of AVX2 among them.
    unsafe {
        let mut half = [_mm256_setzero_ps(); 8];
        #[allow(clippy::needless_range_loop)] // an iterator is code without the features
        for i in 0..8 {
            half[i] = _mm256_add_ps(_mm512_castps512_ps256(a[i]), _mm512_extractf32x8_ps::<1>(a[i]));
        }
        super::avx2::sums_of_8_f32(super::Avx2::assume(), half)
    }
}

/// As [`sums_of_16_f32`].
#[inline(always)]
fn sums_of_8_f64(_: Avx512, a: [__m512d; 8]) -> [f64; 8] {
    // SAFETY: as above.
    unsafe {
        let mut half = [_mm256_setzero_pd(); 8];
        #[allow(clippy::needless_range_loop)] // an iterator is code without the features
        for i in 0..8 {
            half[i] = _mm256_add_pd(_mm512_castpd512_pd256(a[i]), _mm512_extractf64x4_pd::<1>(a[i]));
        }
        super::avx2::sums_of_4_f64(super::Avx2::assume(), half)
    }
}

/// 2^(n/4): the lowest two bits of each lane look it up.
#[inline(always)]
fn quarters(_: Avx512, biased: __m512) -> (__m512, __m512) {
    let ([a, b, c, d], [e, f, g, h]) = (super::QUARTERS, super::QUARTER_RESTS);
    // SAFETY: the token proves the features.
    unsafe {
        let bits = _mm512_castps_si512(biased);
        let mantissa = _mm512_permutevar_ps(_mm512_setr4_ps(a, b, c, d), bits);
        let rest = _mm512_permutevar_ps(_mm512_setr4_ps(e, f, g, h), bits);
        let power = _mm512_add_epi32(_mm512_slli_epi32::<21>(bits), _mm512_castps_si512(mantissa));
        (_mm512_castsi512_ps(power), rest)
    }
}

/// 2^n, exactly.
#[inline(always)]
fn whole(s: Avx512, biased: __m512d) -> (__m512d, __m512d) {
    (Arithmetic::<f64>::pow2(s, biased), Arithmetic::<f64>::splat(s, 0.0))
}

/// By the CPU's estimates of 1 / sqrt(b) and of the reciprocal, 2^-14 each, and one step of Newton's method for both: their relative errors become
/// 2^-27.4 and 2^-28, so that three roundings of f32 are what is left. The divider, whose root and quotient take 30 cycles a vector on Zen 5
/// and 35 on Sapphire Rapids, is not used. (A quotient alone, as in a sigmoid, is better left to it: the FMAs go on beside it.)
#[inline(always)]
fn over_root_f32(_: Avx512, a: __m512, b: __m512, c: __m512, d: __m512) -> __m512 {
    /// NaN, zeros, infinity and denormal numbers: their root is taken to be what they are. No root of a denormal matters beside `d`.
    const SPECIAL: i32 = 0xAF;
    // SAFETY: the token proves the features.
    unsafe {
        let estimate = _mm512_rsqrt14_ps(b);
        let (root, half) = (_mm512_mul_ps(b, estimate), _mm512_mul_ps(_mm512_set1_ps(0.5), estimate));
        let error = _mm512_fnmadd_ps(half, root, _mm512_set1_ps(0.5));
        let root = _mm512_fmadd_ps(root, error, root);
        let root = _mm512_mask_blend_ps(_mm512_fpclass_ps_mask::<SPECIAL>(b), root, b);
        // Infinity times its reciprocal is NaN; the largest number's quotient is 0 as well. NaN comes through.
        let below = _mm512_min_ps(_mm512_set1_ps(f32::MAX), _mm512_fmadd_ps(root, c, d));
        // What the product leaves of a is exact.
        let reciprocal = _mm512_rcp14_ps(below);
        let quotient = _mm512_mul_ps(a, reciprocal);
        _mm512_fmadd_ps(_mm512_fnmadd_ps(below, quotient, a), reciprocal, quotient)
    }
}

/// There is no estimate of half of f64's bits.
#[inline(always)]
fn over_root_f64(_: Avx512, a: __m512d, b: __m512d, c: __m512d, d: __m512d) -> __m512d {
    // SAFETY: the token proves the features.
    unsafe { _mm512_div_pd(a, _mm512_fmadd_pd(_mm512_sqrt_pd(b), c, d)) }
}

avx512!(
    f32, 16, __m512, __mmask16, splat _mm512_set1_ps, load _mm512_loadu_ps, store _mm512_storeu_ps, stream _mm512_stream_ps,
    maskload _mm512_maskz_loadu_ps, maskstore _mm512_mask_storeu_ps, add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps, div _mm512_div_ps,
    fma _mm512_fmadd_ps, max _mm512_max_ps, min _mm512_min_ps, sqrt _mm512_sqrt_ps, round _mm512_roundscale_ps, cmp _mm512_cmp_ps_mask, blend _mm512_mask_blend_ps,
    transpose transpose_16x16, sum sum_16_f32, sums sums_of_16_f32,
    and _mm512_and_ps, or _mm512_or_ps, andnot _mm512_andnot_ps, first_lane _mm512_cvtss_f32, scalef _mm512_scalef_ps, to_int _mm512_castps_si512, from_int _mm512_castsi512_ps,
    bits i32, mantissa 23, bias 127.0, shl _mm512_slli_epi32, shr _mm512_srli_epi32, addi _mm512_add_epi32,
    splati _mm512_set1_epi32, andi _mm512_and_si512, ori _mm512_or_si512, load_u8 sixteen_bytes, power quarters, over_root over_root_f32
);
avx512!(
    f64, 8, __m512d, __mmask8, splat _mm512_set1_pd, load _mm512_loadu_pd, store _mm512_storeu_pd, stream _mm512_stream_pd,
    maskload _mm512_maskz_loadu_pd, maskstore _mm512_mask_storeu_pd, add _mm512_add_pd, sub _mm512_sub_pd, mul _mm512_mul_pd, div _mm512_div_pd,
    fma _mm512_fmadd_pd, max _mm512_max_pd, min _mm512_min_pd, sqrt _mm512_sqrt_pd, round _mm512_roundscale_pd, cmp _mm512_cmp_pd_mask, blend _mm512_mask_blend_pd,
    transpose transpose_8x8, sum sum_8_f64, sums sums_of_8_f64,
    and _mm512_and_pd, or _mm512_or_pd, andnot _mm512_andnot_pd, first_lane _mm512_cvtsd_f64, scalef _mm512_scalef_pd, to_int _mm512_castpd_si512, from_int _mm512_castsi512_pd,
    bits i64, mantissa 52, bias 1023.0, shl _mm512_slli_epi64, shr _mm512_srli_epi64, addi _mm512_add_epi64,
    splati _mm512_set1_epi64, andi _mm512_and_si512, ori _mm512_or_si512, load_u8 eight_bytes, power whole, over_root over_root_f64
);
