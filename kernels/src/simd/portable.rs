//! Plain Rust: 16 lanes of f32, 8 of f64, so that the AVX-512 geometry runs on any machine. It multiplies, then adds:
//! without FMA, `mul_add` would call libm for every element.

use super::{Arithmetic, Block, Simd, Target};

/// Needs no feature.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

macro_rules! portable {
    ($t:ident, $lanes:literal, $bits:ident, $mantissa:literal, $bias:literal, $fused:path, $power:path) => {
        impl Arithmetic<$t> for Portable {
            type V = [$t; $lanes];
            type M = [bool; $lanes];
            #[inline(always)]
            fn splat(self, x: $t) -> Self::V {
                [x; $lanes]
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] + b[i])
            }
            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] - b[i])
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i])
            }
            #[inline(always)]
            fn div(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] / b[i])
            }
            #[inline(always)]
            fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i] + c[i])
            }
            #[inline(always)]
            fn fused_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                std::array::from_fn(|i| $fused(a[i], b[i], c[i]))
            }
            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
            }
            #[inline(always)]
            fn sqrt(self, a: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i].sqrt())
            }
            #[inline(always)]
            fn round(self, a: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i].round_ties_even())
            }
            #[inline(always)]
            fn gt(self, a: Self::V, b: Self::V) -> Self::M {
                std::array::from_fn(|i| a[i] > b[i])
            }
            #[inline(always)]
            fn eq(self, a: Self::V, b: Self::V) -> Self::M {
                std::array::from_fn(|i| a[i] == b[i])
            }
            #[inline(always)]
            fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| if m[i] { a[i] } else { b[i] })
            }
            #[inline(always)]
            fn abs(self, a: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i].abs())
            }
            #[inline(always)]
            fn copysign(self, magnitude: Self::V, sign: Self::V) -> Self::V {
                std::array::from_fn(|i| magnitude[i].copysign(sign[i]))
            }
            #[inline(always)]
            fn pow2(self, biased: Self::V) -> Self::V {
                let one = (1.0 as $t).to_bits();
                std::array::from_fn(|i| $t::from_bits((biased[i].to_bits() << $mantissa).wrapping_add(one)))
            }
            #[inline(always)]
            fn power(self, biased: Self::V) -> (Self::V, Self::V) {
                $power(self, biased)
            }
            #[inline(always)]
            fn ldexp(self, a: Self::V, _n: Self::V, biased: Self::V) -> Self::V {
                // Half of n goes into a's exponent, exactly; the other half is a factor, and the product rounds once.
                let one = (1.0 as $t).to_bits();
                std::array::from_fn(|i| {
                    let whole = biased[i].to_bits() << $mantissa;
                    let half = (biased[i].to_bits() >> 1) << $mantissa;
                    let scaled = a[i] * $t::from_bits(half.wrapping_add(one));
                    scaled * $t::from_bits(whole.wrapping_sub(half).wrapping_add(one))
                })
            }
            #[inline(always)]
            fn frexp(self, a: Self::V) -> (Self::V, Self::V) {
                let (one, root) = ((1.0 as $t).to_bits(), std::$t::consts::FRAC_1_SQRT_2.to_bits());
                let whole = (1.0 as $t / $t::EPSILON).to_bits();
                let shift = 1.0 / $t::EPSILON + $bias;
                let raised: [$bits; $lanes] = std::array::from_fn(|i| a[i].to_bits().wrapping_add(one - root));
                let m = std::array::from_fn(|i| $t::from_bits((raised[i] & ((1 << $mantissa) - 1)).wrapping_add(root)));
                let n = std::array::from_fn(|i| $t::from_bits((raised[i] >> $mantissa) | whole) - shift);
                (m, n)
            }
        }

        impl Simd<$t> for Portable {
            const LANES: usize = $lanes;
            /// Its sums don't fit the registers anyway, and four steps of 14 x 2 x 16 lanes take the compiler minutes.
            const UNROLL: usize = 1;
            /// One vector is several registers already.
            const PAIRS: bool = false;
            #[inline(always)]
            unsafe fn load(self, p: *const $t) -> Self::V {
                // SAFETY: the caller vouches for the memory.
                unsafe { p.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t, v: Self::V) {
                // SAFETY: the caller vouches for the memory.
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t, v: Self::V) {
                // SAFETY: the caller vouches for the memory.
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            fn first(self, n: usize) -> Self::M {
                let mut m = [false; $lanes];
                for i in 0..$lanes {
                    m[i] = i < n;
                }
                m
            }
            #[inline(always)]
            unsafe fn load_masked(self, p: *const $t, m: Self::M) -> Self::V {
                let mut v = [0.0; $lanes];
                for i in 0..$lanes {
                    if m[i] {
                        // SAFETY: the caller vouches for the lanes in m.
                        v[i] = unsafe { p.add(i).read() };
                    }
                }
                v
            }
            #[inline(always)]
            unsafe fn store_masked(self, p: *mut $t, m: Self::M, v: Self::V) {
                for i in 0..$lanes {
                    if m[i] {
                        // SAFETY: the caller vouches for the lanes in m.
                        unsafe { p.add(i).write(v[i]) };
                    }
                }
            }
            #[inline(always)]
            unsafe fn transpose(self, from: Block<$t>, to: Target<$t>) {
                for p in 0..from.cols {
                    for i in 0..$lanes {
                        if i < to.keep {
                            // SAFETY: the caller vouches for the block and for the elements that count.
                            unsafe {
                                let x = if i < from.rows {
                                    from.data.add(i * from.row + p).read()
                                } else {
                                    0.0
                                };
                                to.data.add(p * to.pitch + i).write(x);
                            }
                        }
                    }
                }
            }
            #[inline(always)]
            fn mask_bits(self, m: Self::M) -> u32 {
                let mut bits = 0;
                for i in 0..$lanes {
                    bits |= u32::from(m[i]) << i;
                }
                bits
            }
            #[inline(always)]
            fn first_lane(self, a: Self::V) -> $t {
                a[0]
            }
            #[inline(always)]
            unsafe fn load_u8(self, p: *const u8) -> Self::V {
                // SAFETY: the caller vouches for the memory.
                let bytes = unsafe { p.cast::<[u8; $lanes]>().read_unaligned() };
                std::array::from_fn(|i| $t::from(bytes[i]))
            }
            #[inline(always)]
            fn fence(self) {}
            #[inline(always)]
            fn sum(self, a: Self::V) -> $t {
                super::halves(a, |x, y| x + y)
            }
            #[inline(always)]
            fn largest(self, a: Self::V) -> $t {
                super::halves(a, |x, y| if x > y { x } else { y })
            }
        }
    };
}

/// A product of two f32 is exact in f64; the sum may round twice, which moves it by 2^-29 of half an ulp at most.
#[inline(always)]
fn fused_f32(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}

/// 2^(n/4): the lowest two bits of each lane look it up.
#[inline(always)]
fn quarters(_: Portable, biased: [f32; 16]) -> ([f32; 16], [f32; 16]) {
    let power = std::array::from_fn(|i| {
        let bits = biased[i].to_bits();
        f32::from_bits((bits << 21).wrapping_add(super::QUARTERS[bits as usize % 4].to_bits()))
    });
    let rest = std::array::from_fn(|i| super::QUARTER_RESTS[biased[i].to_bits() as usize % 4]);
    (power, rest)
}

/// 2^n, exactly.
#[inline(always)]
fn whole(s: Portable, biased: [f64; 8]) -> ([f64; 8], [f64; 8]) {
    (Arithmetic::<f64>::pow2(s, biased), [0.0; 8])
}

portable!(f32, 16, u32, 23, 127.0, fused_f32, quarters);
portable!(f64, 8, u64, 52, 1023.0, f64::mul_add, whole);
