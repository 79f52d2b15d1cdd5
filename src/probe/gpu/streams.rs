//! Our kernels over the card's own memory: read, write, copy, triad, by working set. Arrays hold small whole numbers, so that every
//! result is exact and compared as such.

use tilelab_kernels::cuda::probe::{Stream, stream, threads};
use tilelab_kernels::cuda::{Buffer, Call, CudaError, Slice};

use super::bench::Bench;
use super::{Effort, rates};
use crate::measure::GpuStream;
use crate::probe::slices::Clockwork;

/// A sample is as many passes as take about this long, nanoseconds.
const SAMPLE_NS: f64 = 1e6;

/// And no more: what a queue of launches holds with ease.
const MOST_PASSES: f64 = 32.0;

/// Kernels and their arrays.
const KERNELS: [(&str, usize); 4] = [("read", 1), ("write", 1), ("copy", 2), ("triad", 3)];

/// Working sets around the second-level cache, and far beyond it; within `most`; multiples of 96 bytes, so that
/// one array, two and three end on 16.
pub fn working_sets(l2: Option<u64>, most: u64) -> Vec<u64> {
    let l2 = l2.unwrap_or(4 << 20);
    // Four times the last cache, as STREAM asks.
    let beyond = (4 * l2).max(256 << 20).min(most);
    let mut sets: Vec<u64> = [l2 / 4, l2 / 2, l2, 2 * l2, beyond]
        .into_iter()
        .filter(|&bytes| bytes <= beyond)
        .map(|bytes| bytes / 96 * 96)
        .filter(|&bytes| bytes > 0)
        .collect();
    sets.dedup();
    sets
}

/// Three arrays: what is read, what is read beside it, what is written.
struct Arrays {
    x: Buffer,
    y: Buffer,
    out: Buffer,
    sums: Buffer,
}

/// What element `i` of each input holds.
fn x_at(i: usize) -> f32 {
    (i.wrapping_mul(0x9e37_79b1) >> 13 & 3) as f32
}

fn y_at(i: usize) -> f32 {
    (i.wrapping_mul(0x85eb_ca77) >> 13 & 7) as f32
}

/// Every kernel over every set. A stop leaves those that were done.
///
/// # Errors
/// One line: of the driver, or where a result is wrong.
pub fn measure(
    bench: &mut Bench,
    clock: &mut Clockwork<'_>,
    sets: &[u64],
    effort: &Effort,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<GpuStream>, String> {
    let most = sets.iter().copied().max().unwrap_or(0) as usize / 4;
    let arrays = Arrays::new(bench, most).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let cases: Vec<(u64, &str, usize)> = sets
        .iter()
        .flat_map(|&bytes| KERNELS.map(|(kernel, arrays)| (bytes, kernel, arrays)))
        .collect();
    for (place, &(bytes, kernel, count)) in cases.iter().enumerate() {
        if clock.stopped() {
            break;
        }
        let len = bytes as usize / count / 4;
        let told = |error: CudaError| error.to_string();
        let call = arrays.call(kernel, len).map_err(told)?;
        bench.stream().zero(arrays.out.slice(0, 4 * most)).map_err(told)?;
        let once = bench.span(|stream, _| stream.launch(&call))?;
        let passes = (SAMPLE_NS / once.max(1.0)).clamp(1.0, MOST_PASSES) as u32;
        let mut samples_ns = Vec::new();
        for sample in 0..effort.samples {
            if clock.stopped() && sample > 0 {
                break;
            }
            samples_ns.push(bench.span(|stream, _| (0..passes).try_for_each(|_| stream.launch(&call)))?);
        }
        arrays.compare(kernel, len)?;
        let (gbps, interval_gbps) = rates(bytes * u64::from(passes), &samples_ns)?;
        found.push(GpuStream {
            kernel: kernel.to_owned(),
            bytes,
            passes,
            gbps,
            interval_gbps,
            samples_ns,
        });
        progress((place + 1) as f64 / cases.len() as f64);
    }
    Ok(found)
}

impl Arrays {
    /// Each of `most` elements: one kernel alone may take the whole set in one array.
    fn new(bench: &Bench, most: usize) -> Result<Self, CudaError> {
        let filled = |at: fn(usize) -> f32| -> Result<Buffer, CudaError> {
            let mut buffer = Buffer::new(bench.gpu(), 4 * most)?;
            let values: Vec<u8> = (0..most).flat_map(|i| at(i).to_le_bytes()).collect();
            buffer.write(0, &values)?;
            Ok(buffer)
        };
        Ok(Self {
            x: filled(x_at)?,
            y: filled(y_at)?,
            out: Buffer::new(bench.gpu(), 4 * most)?,
            sums: Buffer::new(bench.gpu(), 4 * threads(most))?,
        })
    }

    fn call(&self, kernel: &str, len: usize) -> Result<Call, CudaError> {
        let part = |buffer: &Buffer| -> Slice<f32> { buffer.slice(0, len) };
        let (x, y, out) = (part(&self.x), part(&self.y), part(&self.out));
        let work = match kernel {
            "read" => Stream::Read(x, self.sums.slice(0, threads(len))),
            "write" => Stream::Write(out),
            "copy" => Stream::Copy(x, out),
            _ => Stream::Triad(x, y, out),
        };
        Ok(stream(work)?)
    }

    /// What the kernel left against what it must leave.
    fn compare(&self, kernel: &str, len: usize) -> Result<(), String> {
        let read = |buffer: &Buffer, len: usize| -> Result<Vec<u8>, String> {
            let mut bytes = vec![0; 4 * len];
            buffer.read(0, &mut bytes).map_err(|error| error.to_string())?;
            Ok(bytes)
        };
        let floats = |bytes: &[u8]| -> Vec<f32> {
            let float = |x: &[u8]| f32::from_le_bytes([x[0], x[1], x[2], x[3]]);
            bytes.chunks_exact(4).map(float).collect()
        };
        if kernel == "read" {
            let sums = floats(&read(&self.sums, threads(len))?);
            let got: f64 = sums.iter().map(|&sum| f64::from(sum)).sum();
            let must: f64 = (0..len).map(|i| f64::from(x_at(i))).sum();
            return if got == must {
                Ok(())
            } else {
                Err(format!("read: the sum of {len} elements came out as {got}, not {must}"))
            };
        }
        let must = |i: usize| match kernel {
            "write" => 1.0,
            "copy" => x_at(i),
            _ => x_at(i) + 3.0 * y_at(i),
        };
        let got = floats(&read(&self.out, len)?);
        match (0..len).find(|&i| got[i] != must(i)) {
            None => Ok(()),
            Some(i) => Err(format!(
                "{kernel}: element {i} of {len} came out as {}, not {}",
                got[i],
                must(i)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_sets_lie_around_the_cache_and_beyond_it() {
        let sets = working_sets(Some(6 << 20), 64 << 30);
        assert_eq!(sets.len(), 5);
        assert!(sets.windows(2).all(|pair| pair[0] < pair[1]) && sets.iter().all(|bytes| bytes % 96 == 0));
        assert!(sets[4] > 250 << 20, "beyond the cache");
        let small = working_sets(Some(6 << 20), 8 << 20);
        assert!(
            small.iter().all(|&bytes| bytes <= 8 << 20) && small.len() == 4,
            "{small:?}"
        );
        assert!(!working_sets(None, 1 << 20).is_empty() && working_sets(Some(0), 0).is_empty());
    }

    #[test]
    fn inputs_are_small_whole_numbers_that_vary() {
        for (at, most) in [(x_at as fn(usize) -> f32, 3.0), (y_at, 7.0)] {
            let values: Vec<f32> = (0..4096).map(at).collect();
            assert!(values.iter().all(|&x| x >= 0.0 && x <= most && x.fract() == 0.0));
            let zeros = values.iter().filter(|&&x| x == 0.0).count();
            assert!(zeros > 0 && zeros < 2048, "{zeros} of 4096 are 0");
        }
    }
}
