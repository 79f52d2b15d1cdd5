//! Two vectors side by side.
//!
//! A long chain of dependent operations (tanh is about 30) fills the CPU's schedulers with instructions that wait, and few vectors are
//! in flight: on Zen 4 a loop over one vector at a time took the same 14 cycles for 8 lanes of AVX2 as for 16 of AVX-512. Written for
//! pairs, neighbouring instructions are independent. Lanes do not meet, so the bits are the same.

use super::Arithmetic;
use crate::Float;

/// [`Arithmetic`] on pairs of `S`'s vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<S>(pub(crate) S);

impl<T: Float, S: Arithmetic<T>> Arithmetic<T> for Pair<S> {
    type V = (S::V, S::V);
    type M = (S::M, S::M);

    #[inline(always)]
    fn splat(self, x: T) -> Self::V {
        (self.0.splat(x), self.0.splat(x))
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        (self.0.add(a.0, b.0), self.0.add(a.1, b.1))
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        (self.0.sub(a.0, b.0), self.0.sub(a.1, b.1))
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        (self.0.mul(a.0, b.0), self.0.mul(a.1, b.1))
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        (self.0.div(a.0, b.0), self.0.div(a.1, b.1))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        (self.0.mul_add(a.0, b.0, c.0), self.0.mul_add(a.1, b.1, c.1))
    }
    #[inline(always)]
    fn fused_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        (self.0.fused_mul_add(a.0, b.0, c.0), self.0.fused_mul_add(a.1, b.1, c.1))
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        (self.0.max(a.0, b.0), self.0.max(a.1, b.1))
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        (self.0.min(a.0, b.0), self.0.min(a.1, b.1))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        (self.0.sqrt(a.0), self.0.sqrt(a.1))
    }
    #[inline(always)]
    fn over_root(self, a: Self::V, b: Self::V, c: Self::V, d: Self::V) -> Self::V {
        (
            self.0.over_root(a.0, b.0, c.0, d.0),
            self.0.over_root(a.1, b.1, c.1, d.1),
        )
    }
    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        (self.0.round(a.0), self.0.round(a.1))
    }
    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> Self::M {
        (self.0.gt(a.0, b.0), self.0.gt(a.1, b.1))
    }
    #[inline(always)]
    fn eq(self, a: Self::V, b: Self::V) -> Self::M {
        (self.0.eq(a.0, b.0), self.0.eq(a.1, b.1))
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V {
        (self.0.select(m.0, a.0, b.0), self.0.select(m.1, a.1, b.1))
    }
    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        (self.0.abs(a.0), self.0.abs(a.1))
    }
    #[inline(always)]
    fn copysign(self, magnitude: Self::V, sign: Self::V) -> Self::V {
        (
            self.0.copysign(magnitude.0, sign.0),
            self.0.copysign(magnitude.1, sign.1),
        )
    }
    #[inline(always)]
    fn pow2(self, biased: Self::V) -> Self::V {
        (self.0.pow2(biased.0), self.0.pow2(biased.1))
    }
    #[inline(always)]
    fn power(self, biased: Self::V) -> (Self::V, Self::V) {
        let (first, second) = (self.0.power(biased.0), self.0.power(biased.1));
        ((first.0, second.0), (first.1, second.1))
    }
    #[inline(always)]
    fn ldexp(self, a: Self::V, n: Self::V, biased: Self::V) -> Self::V {
        (self.0.ldexp(a.0, n.0, biased.0), self.0.ldexp(a.1, n.1, biased.1))
    }
    #[inline(always)]
    fn frexp(self, a: Self::V) -> (Self::V, Self::V) {
        let (first, second) = (self.0.frexp(a.0), self.0.frexp(a.1));
        ((first.0, second.0), (first.1, second.1))
    }
}
