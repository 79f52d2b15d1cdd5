//! What the benches time: cases, contestants, and the check of every answer before the first sample.

pub mod alignment;
pub mod bars;
pub mod blas;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod elementwise;
pub mod field;
pub mod frameworks;
pub mod gemm;
pub mod hessian;
pub mod peers;
pub mod search;
pub mod train_step;
pub mod trainings;

use std::cell::RefCell;
use std::hint::black_box;

use tilelab_kernels::{Context, Float};

use crate::measure::Machine;

/// What went wrong while contestants ran: a contest has no other way to tell.
pub type Trouble = RefCell<Option<String>>;

/// Steps of the FMA-peak loop in one probe: a few hundred microseconds on any recent core.
const PROBE_STEPS: usize = 100_000;

/// The probe that stands beside every round: FMA rate of `ctx`'s threads in GFLOP/s.
pub fn fma_probe<T: Float>(ctx: &Context) -> impl FnMut() -> f64 + use<T> {
    let ctx = ctx.clone();
    move || {
        let start = std::time::Instant::now();
        let flops = ctx.fma_flops::<T>(PROBE_STEPS);
        let elapsed = start.elapsed();
        ctx.park();
        flops as f64 / elapsed.as_secs_f64() / 1e9
    }
}

/// Bytes of the second cache where the machine claims none.
const COMMON_L2: u64 = 1 << 20;

/// Passes over the buffer in one probe: a hundred microseconds or two.
const PASSES: usize = 8;

/// The other probe: GB/s of summing a buffer as large as L2 on one thread. It falls when neighbours take L3, which holds
/// what L2 can't, or L2's own bandwidth, while the FMA rate stays.
pub fn cache_probe(machine: &Machine) -> impl FnMut() -> f64 + use<> {
    let l2 = machine.caches.iter().find(|cache| cache.level == 2);
    let bytes = l2.map_or(COMMON_L2, |cache| cache.bytes.clamp(COMMON_L2 / 4, 4 * COMMON_L2));
    let buffer = vec![1u64; bytes as usize / size_of::<u64>()];
    // Whole numbers may be summed in any order, so that the compiler makes vectors of the loop.
    let sum = move || black_box(&buffer).iter().fold(0u64, |sum, x| sum.wrapping_add(*x));
    move || {
        // The contestants have had the caches: the first pass takes them back.
        black_box(sum());
        let start = std::time::Instant::now();
        for _ in 0..PASSES {
            black_box(sum());
        }
        let elapsed = start.elapsed();
        PASSES as f64 * (bytes / 8 * 8) as f64 / elapsed.as_secs_f64() / 1e9
    }
}
