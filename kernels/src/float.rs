//! The element types: f32 and f64.

use crate::Isa;
use crate::context::{Context, Working};
use crate::elementary::Elementary;
use crate::error::ShapeError;
use crate::gemm::{Call, MicroKernel, Product};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Portable};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// An element type of the kernels: f32, and f64 for gradient checks and second derivatives.
pub trait Float:
    Elementary
    + Copy
    + Send
    + Sync
    + Default
    + PartialEq
    + PartialOrd
    + std::fmt::Debug
    + std::fmt::Display
    + sealed::Sealed
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Below every number.
    const NEG_INFINITY: Self;
    /// Distance from 1 to the next larger number.
    const EPSILON: f64;
    /// `f32` or `f64`.
    const NAME: &'static str;
    /// First letter of its kernels' ids: `s` or `d`.
    const LETTER: char;
    /// Its micro-kernels, every ISA and tile.
    const KERNELS: &'static [MicroKernel<Self>];
    /// Rounded to the nearest.
    fn from_f64(x: f64) -> Self;
    /// Sum, rounded once.
    fn plus(self, other: Self) -> Self;
    /// Product, rounded once.
    fn times(self, other: Self) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Runs generic code on the vectors of `isa`, inside a function that enables its instructions. An ISA that is
    /// absent falls to portable; [`crate::Context::new`] has refused it long before.
    #[doc(hidden)]
    fn run_on<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
    /// Runs a product. Here and not generic, so that the loops are compiled once, in this crate.
    #[doc(hidden)]
    fn multiply(product: &Product<'_, Self>, working: &mut Working);
    /// One call of a product, compiled in this crate: generic all the way, each of its dozen small functions would be compiled in the
    /// caller's, and not into one another: a quarter of 16 x 1 x 64.
    #[doc(hidden)]
    fn call(ctx: &Context, call: &Call<'_, Self>) -> Result<(), ShapeError>;
    /// Runs a product that needs neither scratch nor workers.
    #[doc(hidden)]
    fn multiply_directly(product: &Product<'_, Self>);
}

macro_rules! float {
    ($t:ident, $letter:literal, $kernels:path) => {
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const EPSILON: f64 = $t::EPSILON as f64;
            const NAME: &'static str = stringify!($t);
            const LETTER: char = $letter;
            const KERNELS: &'static [MicroKernel<Self>] = &$kernels;

            #[inline]
            fn from_f64(x: f64) -> Self {
                x as $t
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }

            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline]
            fn run_on<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => {
                        if let Some(token) = Avx512::new() {
                            return token.enter(kernel);
                        }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => {
                        if let Some(token) = Avx2::new() {
                            return token.enter(kernel);
                        }
                    }
                    #[cfg(not(target_arch = "x86_64"))]
                    Isa::Avx512 | Isa::Avx2 => {}
                    Isa::Portable => {}
                }
                kernel.run(Portable)
            }

            fn call(ctx: &Context, call: &Call<'_, Self>) -> Result<(), ShapeError> {
                call.make(ctx)
            }

            fn multiply_directly(product: &Product<'_, Self>) {
                product.run_directly()
            }

            fn multiply(product: &Product<'_, Self>, working: &mut Working) {
                if product.is_dots() {
                    product.run_dots(working)
                } else {
                    product.run(working)
                }
            }
        }
    };
}

float!(f32, 's', crate::gemm::KERNELS_F32);
float!(f64, 'd', crate::gemm::KERNELS_F64);
