//! The roofline of this run (Williams, Waterman, Patterson 2009): FMA peaks, one bandwidth roof a level from this run's
//! own plateaus, and the suite's kernels under them.
//!
//! ```text
//! attainable = min(FMA peak, intensity * bandwidth of the level that holds the operands)
//! ```
//! Intensity is computed: flops of the method over the bytes of its operands, each counted once.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tilelab_kernels::{Activation, Context, Epilogue, Isa, MatMut, MatRef, Threads};

use super::slices::Clockwork;
use crate::measure::{Bandwidth, Level, Ordered, Peak, Placed, Roof, Roofline};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Samples of a peak.
    pub peaks: usize,
    /// Samples of a kernel.
    pub calls: usize,
    /// Elements of the vectors that elementwise kernels work on: beyond the last cache.
    pub long: usize,
}

/// Peaks, roofs and kernels.
///
/// # Errors
/// If a context can't be made.
pub fn measure(
    clock: &mut Clockwork<'_>,
    bandwidth: &Bandwidth,
    levels: &[Level],
    effort: Effort,
    mut progress: impl FnMut(f64),
) -> anyhow::Result<Roofline> {
    let mut peaks = Vec::new();
    for isa in Isa::available() {
        for threads in counts() {
            let ctx = Context::new(isa, threads).context("no context for the FMA peak")?;
            peaks.push(peak::<f32>(&ctx, "f32", effort.peaks));
            peaks.push(peak::<f64>(&ctx, "f64", effort.peaks));
        }
    }
    progress(0.3);
    let long = effort.long.next_multiple_of(COLUMNS);
    let roofs = roofs(bandwidth, levels);
    let isa = Isa::selected()?;
    let ctx = Context::new(isa, Threads::one())?;
    let top = peaks
        .iter()
        .filter(|peak| peak.isa == isa.id() && peak.element == "f32" && peak.threads == 1);
    let top = top.map(|peak| peak.gflops).fold(0.0, f64::max);
    let mut kernels = Vec::new();
    for (number, make) in JOBS.iter().enumerate() {
        if clock.stopped() {
            break;
        }
        kernels.push(place(clock, &ctx, make(long), (top, &roofs, levels), effort)?);
        progress(0.3 + 0.7 * (number + 1) as f64 / JOBS.len() as f64);
    }
    Ok(Roofline { peaks, roofs, kernels })
}

/// One thread, and all.
fn counts() -> Vec<Threads> {
    let mut counts = vec![Threads::one(), Threads::all()];
    counts.dedup();
    counts
}

/// What threads and vector units take to settle.
const SETTLE: Duration = Duration::from_millis(30);

fn peak<T: tilelab_kernels::Float>(ctx: &Context, element: &str, samples: usize) -> Peak {
    const STEPS: usize = 50_000;
    // New threads begin on their maker's CPU, and vector units begin slowly: both settle in a while.
    let begun = Instant::now();
    while begun.elapsed() < SETTLE {
        ctx.fma_flops::<T>(STEPS);
    }
    let samples: Vec<f64> = (0..samples.max(1))
        .map(|_| {
            let start = Instant::now();
            let flops = ctx.fma_flops::<T>(STEPS);
            flops as f64 / start.elapsed().as_nanos().max(1) as f64
        })
        .collect();
    ctx.park();
    Peak {
        isa: ctx.isa().id().to_owned(),
        element: element.to_owned(),
        threads: ctx.threads().get(),
        gflops: samples.iter().copied().fold(0.0, f64::max),
        samples,
    }
}

/// The best rate of this run's kernels at sizes that a level holds and the one below does not; DRAM's at the largest.
pub fn roofs(bandwidth: &Bandwidth, levels: &[Level]) -> Vec<Roof> {
    let largest = |threads: usize| {
        bandwidth
            .streams
            .iter()
            .filter(|row| row.threads == threads)
            .map(|row| row.bytes)
            .max()
    };
    let mut counts: Vec<usize> = bandwidth.streams.iter().map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let (one, all) = (counts.first().copied(), counts.last().copied());
    let mut roofs = Vec::new();
    for threads in counts
        .iter()
        .copied()
        .filter(|&count| Some(count) == one || Some(count) == all)
    {
        let Some(most) = largest(threads) else { continue };
        let mut below = 0.0;
        let mut bounds: Vec<(String, f64, f64)> = Vec::new();
        for level in levels {
            let Some(size) = held(level) else { continue };
            bounds.push((format!("L{}", level.level), below, 0.8 * size));
            below = size;
        }
        bounds.push(("DRAM".to_owned(), most as f64 * 0.99, f64::INFINITY));
        for (level, above, upto) in bounds {
            let inside = |bytes: u64| bytes as f64 > above && bytes as f64 <= upto;
            let rows = bandwidth
                .streams
                .iter()
                .filter(|row| row.threads == threads && !row.disturbed && inside(row.bytes));
            let best = rows.max_by(|a, b| a.gbps.total_cmp(&b.gbps));
            roofs.extend(best.map(|row| Roof {
                level,
                threads,
                gbps: row.gbps,
                source: format!(
                    "{}{} over {} bytes a thread",
                    row.kernel,
                    if row.non_temporal { ", non-temporal" } else { "" },
                    row.bytes
                ),
            }));
        }
    }
    roofs
}

/// Bytes that a level holds: those found, else those claimed.
fn held(level: &Level) -> Option<f64> {
    let found = level.found.value.as_ref().map(|knee| knee.size);
    found.or(level.claimed_bytes.value.map(|bytes| bytes as f64))
}

/// One call of a kernel.
type Run = Box<dyn FnMut(&Context) -> anyhow::Result<()>>;

/// A kernel to place.
struct Job {
    name: String,
    flops: f64,
    bytes: f64,
    run: Run,
}

/// Flops of exp in f32: six steps of its polynomial and three of its range reduction, two flops each, and a scaling.
const EXP_FLOPS: f64 = 19.0;

/// Makers of jobs, over vectors of so many elements: one at a time is in memory.
const JOBS: [fn(usize) -> Job; 11] = [
    |_| product(1024, 1024, 1024),
    |_| product(256, 256, 784),
    |_| product(256, 10, 256),
    |_| product(64, 64, 64),
    |long| {
        let (x, mut y) = (vec![0.5f32; long], vec![0.5; long]);
        let run = move |ctx: &Context| Ok(ctx.activate(Activation::Relu, &x, &mut y)?);
        elementwise("relu", long, (1.0, 8.0), run)
    },
    |long| {
        let (gradient, mut weights) = (vec![0.5f32; long], vec![0.5; long]);
        let run = move |ctx: &Context| Ok(ctx.sgd(0.999, 0.01, &gradient, &mut weights)?);
        elementwise("sgd", long, (3.0, 12.0), run)
    },
    |long| {
        let (x, mut sums) = (vec![0.5f32; long], vec![0.0; COLUMNS]);
        let run = move |ctx: &Context| Ok(ctx.column_sum(rows(&x)?, &mut sums)?);
        elementwise("column_sum", long, (1.0, 4.0), run)
    },
    |long| {
        let (x, mut best) = (vec![0.5f32; long], vec![0; long / COLUMNS]);
        let run = move |ctx: &Context| Ok(ctx.row_argmax(rows(&x)?, &mut best)?);
        elementwise("row_argmax", long, (1.0, 4.0), run)
    },
    |long| {
        let (bias, mut z) = (vec![0.5f32; COLUMNS], vec![0.5; long]);
        let run = move |ctx: &Context| Ok(ctx.add_bias(&bias, rows_mut(&mut z)?)?);
        elementwise("add_bias", long, (1.0, 8.0), run)
    },
    |long| {
        let (x, mut y) = (vec![0.5f32; long], vec![0.5; long]);
        let run = move |ctx: &Context| Ok(ctx.softmax(rows(&x)?, rows_mut(&mut y)?)?);
        elementwise("softmax", long, (EXP_FLOPS + 4.0, 8.0), run)
    },
    |long| {
        let (x, mut out) = (vec![0.5f32; long], vec![0.0; long / COLUMNS]);
        let run = move |ctx: &Context| Ok(ctx.logsumexp(rows(&x)?, &mut out)?);
        elementwise("logsumexp", long, (EXP_FLOPS + 3.0, 4.0), run)
    },
];

/// Columns of the matrices that elementwise kernels see.
const COLUMNS: usize = 1024;

fn rows(x: &[f32]) -> anyhow::Result<MatRef<'_, f32>> {
    Ok(MatRef::row_major(x, x.len() / COLUMNS, COLUMNS)?)
}

fn rows_mut(x: &mut [f32]) -> anyhow::Result<MatMut<'_, f32>> {
    let rows = x.len() / COLUMNS;
    Ok(MatMut::row_major(x, rows, COLUMNS)?)
}

/// A kernel over `long` elements, with flops and bytes an element.
fn elementwise(
    name: &str,
    long: usize,
    (flops, bytes): (f64, f64),
    run: impl FnMut(&Context) -> anyhow::Result<()> + 'static,
) -> Job {
    Job {
        name: format!("{name}, {}x{COLUMNS}", long / COLUMNS),
        flops: flops * long as f64,
        bytes: bytes * long as f64,
        run: Box::new(run),
    }
}

fn product(m: usize, n: usize, k: usize) -> Job {
    let (a, b, mut c) = (vec![0.5f32; m * k], vec![0.25f32; k * n], vec![0.0f32; m * n]);
    Job {
        name: format!("gemm, {m}x{n}x{k}"),
        flops: 2.0 * (m * n * k) as f64,
        bytes: 4.0 * (m * k + k * n + m * n) as f64,
        run: Box::new(move |ctx| {
            let (a, b) = (MatRef::row_major(&a, m, k)?, MatRef::row_major(&b, k, n)?);
            Ok(ctx.gemm(1.0, a, b, 0.0, MatMut::row_major(&mut c, m, n)?, Epilogue::none())?)
        }),
    }
}

fn place(
    clock: &mut Clockwork<'_>,
    ctx: &Context,
    mut job: Job,
    (top, roofs, levels): (f64, &[Roof], &[Level]),
    effort: Effort,
) -> anyhow::Result<Placed> {
    (job.run)(ctx)?;
    let mut samples = Vec::new();
    let mut all = Vec::new();
    for _ in 0..effort.calls.max(1) {
        let mut outcome = Ok(());
        // Short calls are timed in bursts.
        let calls = ((2e5 / (job.flops / 20.0).max(job.bytes / 10.0)) as usize).clamp(1, 10_000);
        let start = Instant::now();
        let quiet = clock.slice(|| {
            for _ in 0..calls {
                outcome = (job.run)(ctx);
            }
        });
        all.push(start.elapsed().as_nanos() as f64 / calls as f64);
        outcome?;
        samples.extend(quiet.map(|ns| ns / calls as f64));
    }
    let samples = if samples.is_empty() { all } else { samples };
    let ns = Ordered::new(&samples)?.median();
    let (bound_by, roof) = binding(job.flops / job.bytes, job.bytes, top, roofs, levels);
    let gflops = job.flops / ns;
    Ok(Placed {
        kernel: job.name,
        intensity: job.flops / job.bytes,
        gflops,
        bytes: job.bytes as u64,
        bound_by,
        percent_of_roof: 100.0 * gflops / roof,
        samples_ns: samples,
    })
}

/// The roof over a kernel on one thread, and its height in GFLOP/s.
fn binding(intensity: f64, bytes: f64, top: f64, roofs: &[Roof], levels: &[Level]) -> (String, f64) {
    let holds = levels
        .iter()
        .find(|level| held(level).is_some_and(|size| bytes <= 0.8 * size));
    let name = holds.map_or("DRAM".to_owned(), |level| format!("L{}", level.level));
    let one = roofs.iter().map(|roof| roof.threads).min();
    let mut candidates = roofs.iter().filter(|roof| Some(roof.threads) == one);
    match candidates.find(|roof| roof.level == name) {
        Some(roof) if roof.gbps * intensity < top => (format!("{name} bandwidth"), roof.gbps * intensity),
        _ => ("FMA peak".to_owned(), top),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Fact, Stream};

    fn stream(kernel: &str, threads: usize, bytes: u64, gbps: f64) -> Stream {
        Stream {
            kernel: kernel.to_owned(),
            non_temporal: false,
            threads,
            bytes,
            gbps,
            interval_gbps: (gbps, gbps),
            with_allocation_gbps: gbps,
            disturbed: false,
            samples_ns: vec![],
            slice_bytes: 0,
        }
    }

    fn level(level: u32, bytes: u64) -> Level {
        Level {
            level,
            claimed_bytes: Fact::known(bytes, "test"),
            found: Fact::unknown("test"),
            by_sweep: vec![],
            hit_ns: Fact::unknown("test"),
            verdict: String::new(),
        }
    }

    #[test]
    fn each_level_has_its_roof_and_the_lowest_one_binds() {
        let bandwidth = Bandwidth {
            isa: "avx2".to_owned(),
            streams: vec![
                stream("read", 1, 16 << 10, 200.0),
                stream("copy", 1, 16 << 10, 150.0),
                stream("read", 1, 256 << 10, 80.0),
                stream("read", 1, 64 << 20, 12.0),
                stream("triad", 2, 64 << 20, 20.0),
            ],
            allocation: vec![],
            dram_array_bytes: 0,
        };
        let levels = [level(1, 32 << 10), level(2, 1 << 20)];
        let found = roofs(&bandwidth, &levels);
        let told: Vec<_> = found
            .iter()
            .map(|roof| (roof.level.as_str(), roof.threads, roof.gbps))
            .collect();
        assert_eq!(
            told,
            [("L1", 1, 200.0), ("L2", 1, 80.0), ("DRAM", 1, 12.0), ("DRAM", 2, 20.0)]
        );
        assert_eq!(
            binding(0.25, 1e9, 100.0, &found, &levels),
            ("DRAM bandwidth".to_owned(), 3.0)
        );
        assert_eq!(
            binding(1.0, 1e5, 100.0, &found, &levels),
            ("L2 bandwidth".to_owned(), 80.0)
        );
        assert_eq!(
            binding(100.0, 1e9, 100.0, &found, &levels),
            ("FMA peak".to_owned(), 100.0)
        );
    }

    #[test]
    fn kernels_run_and_count_their_operands() {
        let ctx = Context::new(Isa::Portable, Threads::one()).unwrap();
        let mut small = product(8, 4, 2);
        (small.run)(&ctx).unwrap();
        assert_eq!((small.flops, small.bytes), (128.0, 4.0 * (16.0 + 8.0 + 32.0)));
        for make in &JOBS[4..] {
            let mut job = make(1 << 14);
            (job.run)(&ctx).unwrap();
            assert!(
                job.flops >= f64::from(1 << 14) && job.bytes >= f64::from(4 << 14),
                "{}",
                job.name
            );
        }
    }
}
