//! Copies between host and card, within the card, and from card to card. Each kind moves a pattern of its own, and what arrived is compared with it.

use std::time::Instant;

use tilelab_kernels::cuda::{Buffer, CudaError, Event, Gpu, Pinned, Stream};

use super::bench::Bench;
use super::{Effort, rates};
use crate::measure::GpuCopy;
use crate::probe::slices::Clockwork;

/// Copies of pageable memory in a sample: each waits for the one before, so that more of them tell no more.
const PAGEABLE: u32 = 2;

/// The kinds, in their order: way, the host's memory.
const KINDS: [(&str, &str); 6] = [
    ("host to device", "pinned"),
    ("device to host", "pinned"),
    ("both ways", "pinned"),
    ("host to device", "pageable"),
    ("device to host", "pageable"),
    ("device to device", "none"),
];

/// Memory on both sides.
struct Sides {
    bytes: usize,
    /// Where copies up arrive, and copies down come from.
    above: Buffer,
    below: Buffer,
    up: Pinned,
    down: Pinned,
    pageable: Vec<u8>,
    /// The way down of copies both ways at once.
    other: Stream,
    back: Event,
}

/// Every kind, `bytes` bytes a copy. A stop leaves those that were done.
///
/// # Errors
/// One line: of the driver, or where a pattern came out changed.
pub fn measure(
    bench: &mut Bench,
    clock: &mut Clockwork<'_>,
    bytes: usize,
    effort: &Effort,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<GpuCopy>, String> {
    let mut sides = Sides::new(bench, bytes).map_err(told)?;
    let peers = bench.gpu().others().map_err(told)?;
    let kinds = (KINDS.len() + 2 * peers.len()) as f64;
    let mut found = Vec::new();
    for (number, (way, host)) in (0u32..).zip(KINDS) {
        if clock.stopped() {
            return Ok(found);
        }
        let copies = if host == "pageable" { PAGEABLE } else { effort.copies };
        let sent = pattern(bytes, u64::from(number));
        sides.lay(way, host, &sent).map_err(told)?;
        let samples_ns = samples(clock, effort, || match host {
            "pageable" => sides.by_the_host(way, copies),
            _ => bench.span(|stream, begin| sides.queue(stream, begin, way, copies)),
        })?;
        sides.compare(way, host, &sent)?;
        let moved = match way {
            "both ways" | "device to device" => 2 * bytes as u64,
            _ => bytes as u64,
        };
        found.push(copied(way, host, (bytes, copies, moved), samples_ns)?);
        progress(found.len() as f64 / kinds);
    }
    drop(sides);
    for peer in &peers {
        // A card that others fill is left out.
        if peer.free_bytes().map_err(told)? < 2 * bytes {
            continue;
        }
        for row in across(bench, clock, peer, bytes, effort)? {
            found.push(row);
            progress(found.len() as f64 / kinds);
        }
    }
    Ok(found)
}

/// To another card and from it, each byte counted once.
fn across(
    bench: &mut Bench,
    clock: &mut Clockwork<'_>,
    peer: &Gpu,
    bytes: usize,
    effort: &Effort,
) -> Result<Vec<GpuCopy>, String> {
    let direct = bench.gpu().reaches(peer).map_err(told)? && peer.reaches(bench.gpu()).map_err(told)?;
    let host = if direct { "none" } else { "the driver's" };
    let mut here = Buffer::new(bench.gpu(), bytes).map_err(told)?;
    let mut there = Buffer::new(peer, bytes).map_err(told)?;
    let mut rows = Vec::new();
    for (seed, word) in [(KINDS.len() as u64, "to"), (KINDS.len() as u64 + 1, "from")] {
        if clock.stopped() {
            break;
        }
        let way = format!("{word} cuda:{}", peer.ordinal());
        let (source, target) = match word {
            "to" => (&mut here, &mut there),
            _ => (&mut there, &mut here),
        };
        let sent = pattern(bytes, seed);
        source.write(0, &sent).map_err(told)?;
        target.write(0, &vec![0; bytes]).map_err(told)?;
        let samples_ns = samples(clock, effort, || {
            bench.span(|stream, _| (0..effort.copies).try_for_each(|_| source.copy_across(stream, target)))
        })?;
        let mut arrived = vec![0; bytes];
        target.read(0, &mut arrived).map_err(told)?;
        same(&way, &sent, &arrived)?;
        rows.push(copied(&way, host, (bytes, effort.copies, bytes as u64), samples_ns)?);
    }
    Ok(rows)
}

/// Nanoseconds of each sample; the first warms up. A stop ends them once there is one.
fn samples(
    clock: &Clockwork<'_>,
    effort: &Effort,
    mut sample: impl FnMut() -> Result<f64, String>,
) -> Result<Vec<f64>, String> {
    sample()?;
    let mut samples_ns = vec![sample()?];
    while samples_ns.len() < effort.samples as usize && !clock.stopped() {
        samples_ns.push(sample()?);
    }
    Ok(samples_ns)
}

/// A row of samples of `copies` copies of `bytes` bytes, each of which counts as `moved`.
fn copied(
    way: &str,
    host: &str,
    (bytes, copies, moved): (usize, u32, u64),
    samples_ns: Vec<f64>,
) -> Result<GpuCopy, String> {
    let (gbps, interval_gbps) = rates(moved * u64::from(copies), &samples_ns)?;
    Ok(GpuCopy {
        way: way.to_owned(),
        host: host.to_owned(),
        bytes: bytes as u64,
        copies,
        gbps,
        interval_gbps,
        clock: if host == "pageable" { "host" } else { "events" }.to_owned(),
        samples_ns,
    })
}

fn told(error: CudaError) -> String {
    error.to_string()
}

impl Sides {
    fn new(bench: &Bench, bytes: usize) -> Result<Self, CudaError> {
        let gpu = bench.gpu();
        Ok(Self {
            bytes,
            above: Buffer::new(gpu, bytes)?,
            below: Buffer::new(gpu, bytes)?,
            up: Pinned::new(gpu, bytes)?,
            down: Pinned::new(gpu, bytes)?,
            pageable: vec![0; bytes],
            other: Stream::new(gpu)?,
            back: Event::new(gpu)?,
        })
    }

    /// The pattern where a copy comes from, zeros where it goes to.
    fn lay(&mut self, way: &str, host: &str, sent: &[u8]) -> Result<(), CudaError> {
        let zeros = vec![0; self.bytes];
        self.above.write(0, &zeros)?;
        self.up.bytes_mut()?.copy_from_slice(sent);
        self.down.bytes_mut()?.fill(0);
        self.below.write(0, sent)?;
        match (way, host) {
            ("device to host", "pageable") => self.pageable.fill(0),
            _ => self.pageable.copy_from_slice(sent),
        }
        Ok(())
    }

    /// Copies that the card makes by itself. Both ways: the other stream begins when this one does, and this one ends when both have.
    fn queue(&mut self, stream: &Stream, begin: &Event, way: &str, copies: u32) -> Result<(), CudaError> {
        let (above, below) = (self.above.slice(0, self.bytes), self.below.slice(0, self.bytes));
        match way {
            "host to device" => self.up.upload_times(stream, above, self.bytes, copies),
            "device to host" => self.down.download_times(stream, below, self.bytes, copies),
            "both ways" => {
                self.other.wait(begin)?;
                self.up.upload_times(stream, above, self.bytes, copies)?;
                self.down.download_times(&self.other, below, self.bytes, copies)?;
                self.back.record(&self.other)?;
                stream.wait(&self.back)
            }
            _ => (0..copies).try_for_each(|_| stream.copy(below, above)),
        }
    }

    /// Copies that the host waits for, by its own clock: the driver moves pageable memory through a buffer of its own.
    fn by_the_host(&mut self, way: &str, copies: u32) -> Result<f64, String> {
        let start = Instant::now();
        let done = (0..copies).try_for_each(|_| match way {
            "host to device" => self.above.write(0, &self.pageable),
            _ => self.below.read(0, &mut self.pageable),
        });
        done.map_err(told)?;
        Ok(start.elapsed().as_nanos() as f64)
    }

    /// What arrived against what was sent.
    fn compare(&mut self, way: &str, host: &str, sent: &[u8]) -> Result<(), String> {
        let title = format!("{way}, {host}");
        if way != "device to host" {
            let mut arrived = vec![0; self.bytes];
            self.above.read(0, &mut arrived).map_err(told)?;
            same(&title, sent, &arrived)?;
        }
        match (way, host) {
            ("device to host" | "both ways", "pinned") => same(&title, sent, self.down.bytes_mut().map_err(told)?),
            ("device to host", _) => same(&title, sent, &self.pageable),
            _ => Ok(()),
        }
    }
}

/// Bytes that no shift and no repetition leaves as they are: words of splitmix64 (Steele, Lea and Flood 2014), counted on.
fn pattern(bytes: usize, seed: u64) -> Vec<u8> {
    let word = |place: u64| {
        let x = (place + 1 + (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let words = (0..bytes.div_ceil(8) as u64).flat_map(|place| word(place).to_le_bytes());
    words.take(bytes).collect()
}

/// The first byte that differs, as an error.
fn same(title: &str, sent: &[u8], arrived: &[u8]) -> Result<(), String> {
    if sent == arrived {
        return Ok(());
    }
    let place = sent.iter().zip(arrived).position(|(sent, arrived)| sent != arrived);
    let place = place.unwrap_or(sent.len().min(arrived.len()));
    Err(format!(
        "{title}: the pattern came out changed from byte {place} of {} on: the link or the memory is not to be trusted",
        sent.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_differs_from_every_other_and_from_itself_moved() {
        let (a, b) = (pattern(4099, 0), pattern(4099, 1));
        assert_eq!(a.len(), 4099);
        assert_ne!(a, b);
        assert!((1..512).all(|by| a[by..] != a[..a.len() - by]));
        assert_eq!(same("x", &a, &a), Ok(()));
        let mut changed = a.clone();
        changed[4000] ^= 1;
        assert!(
            same("device to host", &a, &changed)
                .unwrap_err()
                .contains("byte 4000 of 4099")
        );
        assert!(same("x", &a, &a[..10]).is_err());
    }
}
