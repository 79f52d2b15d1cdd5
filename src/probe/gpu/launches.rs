//! What a launch costs: waited for one by one, queued, in a row, and through a captured graph. The kernel is a chase of no loads.

use std::time::Instant;

use tilelab_kernels::cuda::{CudaError, Stream};

use super::Effort;
use super::bench::Bench;
use crate::measure::{GpuLaunch, Ordered};
use crate::probe::slices::Clockwork;

/// Launches in a row, and in a graph.
const ROW: u32 = 64;

/// Nanoseconds of one sample, over all of its launches.
type Sample<'a> = Box<dyn FnMut(&mut Bench) -> Result<f64, String> + 'a>;

/// In words, how many launches a sample has, and how one is taken.
type Way<'a> = (String, u32, Sample<'a>);

/// Every way of launching; they take turns in every round. A stop leaves the rounds that were done.
///
/// # Errors
/// One line, of the driver.
pub fn measure(bench: &mut Bench, clock: &mut Clockwork<'_>, effort: &Effort) -> Result<Vec<GpuLaunch>, String> {
    let call = bench.idle(0).map_err(told)?;
    let row = |stream: &Stream| (0..ROW).try_for_each(|_| stream.launch(&call));
    let one = bench.stream().capture(|stream| stream.launch(&call)).map_err(told)?;
    let many = bench.stream().capture(row).map_err(told)?;
    let mut ways: [Way<'_>; 6] = [
        (
            "one launch, and a wait for it".to_owned(),
            1,
            Box::new(|bench| waited(bench, |stream| stream.launch(&call))),
        ),
        (
            "a graph of one launch, and a wait for it".to_owned(),
            1,
            Box::new(|bench| waited(bench, |stream| stream.replay(&one))),
        ),
        (
            format!("{ROW} launches queued, the host's time alone"),
            ROW,
            Box::new(|bench| queued(bench, row)),
        ),
        (
            format!("{ROW} launches in a row, on the card"),
            ROW,
            Box::new(|bench| bench.span(|stream, _| row(stream))),
        ),
        (
            format!("a graph of {ROW} launches, on the card"),
            ROW,
            Box::new(|bench| bench.span(|stream, _| stream.replay(&many))),
        ),
        (
            "two events with nothing between them".to_owned(),
            1,
            Box::new(|bench| bench.span(|_, _| Ok(()))),
        ),
    ];
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    // The first round warms up.
    for round in 0..=effort.launches {
        if clock.stopped() && round > 1 {
            break;
        }
        for ((_, launches, sample), samples) in ways.iter_mut().zip(&mut samples) {
            let ns = sample(bench)? / f64::from(*launches);
            if round > 0 {
                samples.push(ns);
            }
        }
    }
    let summary = |(what, samples_ns): (String, Vec<f64>)| {
        let ordered = Ordered::new(&samples_ns).map_err(|error| error.to_string())?;
        let interval = ordered.median_interval();
        Ok(GpuLaunch {
            what,
            ns: ordered.median(),
            interval_ns: (interval.low, interval.high),
            samples_ns,
        })
    };
    let names = ways.into_iter().map(|(what, ..)| what);
    names.zip(samples).map(summary).collect()
}

fn told(error: CudaError) -> String {
    error.to_string()
}

/// By the host's clock, from the call to the answer.
fn waited(bench: &Bench, work: impl FnOnce(&Stream) -> Result<(), CudaError>) -> Result<f64, String> {
    let start = Instant::now();
    work(bench.stream())
        .and_then(|()| bench.stream().synchronize())
        .map_err(told)?;
    Ok(start.elapsed().as_nanos() as f64)
}

/// By the host's clock, until all are queued.
fn queued(bench: &Bench, work: impl FnOnce(&Stream) -> Result<(), CudaError>) -> Result<f64, String> {
    let start = Instant::now();
    work(bench.stream()).map_err(told)?;
    let ns = start.elapsed().as_nanos() as f64;
    bench.stream().synchronize().map_err(told)?;
    Ok(ns)
}
