//! What the benches time: cases, contestants, and the check of every answer before the first sample.

pub mod bars;
pub mod blas;
pub mod elementwise;
pub mod gemm;

use tilelab_kernels::Context;

/// Steps of the FMA-peak loop in one probe: a few hundred microseconds on any recent core.
const PROBE_STEPS: usize = 100_000;

/// The probe that stands beside every round: FMA rate of `ctx`'s threads in GFLOP/s.
pub fn fma_probe(ctx: &Context) -> impl FnMut() -> f64 {
    let ctx = ctx.clone();
    move || {
        let start = std::time::Instant::now();
        let flops = ctx.fma_flops::<f32>(PROBE_STEPS);
        let elapsed = start.elapsed();
        ctx.park();
        flops as f64 / elapsed.as_secs_f64() / 1e9
    }
}
