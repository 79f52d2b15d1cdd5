//! The FMA peak: what a core can do when nothing is in its way, measured and not read from a data sheet.
//!
//! ```text
//! x_i <- x_i * a + b        12 independent chains, registers only
//! ```
//! Two FMA ports of latency 4 need 8 chains in flight; 12 leave slack and fit AVX2's 16 registers beside a and b. With
//! a = 1/2 and b = 1 every chain settles at 2: no denormals, no infinities. On portable the chain is a product and a sum.

use std::hint::black_box;

use crate::simd::{Kernel, Simd};
use crate::{Context, Float};

/// Chains in flight.
const CHAINS: usize = 12;

struct Burst {
    steps: usize,
}

impl<T: Float> Kernel<T> for Burst {
    type Output = T;

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) -> T {
        let (a, b) = (s.splat(black_box(T::from_f64(0.5))), s.splat(black_box(T::ONE)));
        let mut x = [s.splat(black_box(T::ZERO)); CHAINS];
        for _ in 0..self.steps {
            for chain in &mut x {
                *chain = s.mul_add(*chain, a, b);
            }
        }
        let mut sum = x[0];
        for chain in &x[1..] {
            sum = s.add(sum, *chain);
        }
        s.sum(sum)
    }
}

/// Tells the lanes of an ISA.
struct Lanes;

impl<T: Float> Kernel<T> for Lanes {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd<T>>(self, _: S) -> usize {
        S::LANES
    }
}

impl Context {
    /// Runs `steps` steps of the peak loop on every thread of this context and returns the floating-point operations
    /// done, two an FMA. The caller takes the time: [`Context::fma_flops`] / time is the peak that products are held
    /// against. A step takes 6 cycles on a core with two FMA ports.
    pub fn fma_flops<T: Float>(&self, steps: usize) -> u64 {
        let isa = self.isa();
        let lanes = T::run_on(isa, Lanes) as u64;
        let mut working = self.working();
        let threads = working.pool.threads();
        working.pool.run(threads, &|_| {
            black_box(T::run_on(isa, Burst { steps }));
        });
        2 * lanes * CHAINS as u64 * steps as u64 * threads as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, Threads};

    #[test]
    fn chains_settle_at_two_and_flops_are_counted() {
        for isa in Isa::available() {
            let lanes = f32::run_on(isa, Lanes);
            assert_eq!(f32::run_on(isa, Burst { steps: 200 }), (2 * CHAINS * lanes) as f32);
            assert_eq!(
                f64::run_on(isa, Burst { steps: 1 }),
                (CHAINS * f64::run_on(isa, Lanes)) as f64
            );
            let ctx = Context::new(isa, Threads::new(3).unwrap()).unwrap();
            assert_eq!(ctx.fma_flops::<f32>(10), (2 * lanes * CHAINS * 10 * 3) as u64);
        }
    }
}
