//! Latency on a card: one thread follows a chain over working sets from 1 KiB to beyond the second-level cache. After a warm-up lap in the
//! same launch it times slices by the multiprocessor's own clock. Where a walk ended is held against where its cycle says.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::cuda::probe::{Walk, chase};
use tilelab_kernels::cuda::{Buffer, CudaError};

use super::Effort;
use super::bench::Bench;
use crate::measure::{Curve, Fact, GpuCard, Ordered, Visit};
use crate::probe::latency;
use crate::probe::slices::Clockwork;

/// Bytes between the elements of a chain: a line of every card since Fermi.
const LINE_BYTES: usize = 128;

/// Elements of 4 bytes in a line.
const LINE_WORDS: usize = LINE_BYTES / 4;

/// A launch at least this long tells the clock: what the events take beside it is below a hundredth.
const TELLING_NS: f64 = 1e6;

/// A cycle through lines.
struct Ring {
    /// Lines in the order of the walk.
    order: Vec<u32>,
    /// The element of each line that is on it.
    word: u32,
}

impl Ring {
    /// The lines in random order, closed to a ring: each cyclic order is as likely as any other.
    fn new(lines: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut order: Vec<u32> = (0..lines as u32).collect();
        order.shuffle(rng);
        let word = order[0] % LINE_WORDS as u32;
        Self { order, word }
    }

    /// The element that the walk is at after so many loads.
    fn at(&self, loads: u64) -> u32 {
        self.order[(loads % self.order.len() as u64) as usize] * LINE_WORDS as u32 + self.word
    }

    /// What every element holds: those on the ring the index of the next, others 0.
    fn elements(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.order.len() * LINE_BYTES];
        for loads in 0..self.order.len() as u64 {
            let place = 4 * self.at(loads) as usize;
            bytes[place..place + 4].copy_from_slice(&self.at(loads + 1).to_le_bytes());
        }
        bytes
    }
}

/// One walk's cycles.
struct Walked {
    /// Of a load, one a slice.
    slices: Vec<f64>,
    /// Cycles over nanoseconds of the whole launch, if it was long enough to tell.
    ghz: Option<f64>,
}

/// The curve, and the clock that turned its cycles into nanoseconds. A stop leaves the sizes that were done.
///
/// # Errors
/// One line: of the driver, or where a walk ended at another place than its chain leads to.
pub fn curve(
    bench: &mut Bench,
    clock: &mut Clockwork<'_>,
    (card, most): (&GpuCard, usize),
    (effort, seed): (&Effort, u64),
    progress: &mut dyn FnMut(f64),
) -> Result<(Curve, Fact<f64>), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let told = |error: CudaError| error.to_string();
    let mut memory = Buffer::new(bench.gpu(), most).map_err(told)?;
    let out = Buffer::new(bench.gpu(), 8 * (2 + effort.slices as usize)).map_err(told)?;
    let enough = warm_enough(card.l2_bytes.value);
    let mut visits = Vec::new();
    let mut ghz = Vec::new();
    for (sweep, sizes) in latency::sweeps(most, effort.per_octave, effort.sweeps, effort.budget) {
        for (place, &bytes) in sizes.iter().enumerate() {
            if clock.stopped() {
                break;
            }
            let ring = Ring::new(bytes / LINE_BYTES, &mut rng);
            memory.write(0, &ring.elements()).map_err(told)?;
            let walk = Walk {
                start: ring.at(0),
                warm: (bytes / LINE_BYTES).min(enough) as u32,
                steps: effort.steps,
                slices: effort.slices,
            };
            let walked = walked(bench, &ring, walk, (&memory, &out))?;
            ghz.extend(walked.ghz);
            visits.push(Visit {
                size: bytes as u64,
                sweep,
                at_s: clock.at_s(),
                ns: walked.slices,
                dropped: 0,
            });
            progress((f64::from(sweep) + (place + 1) as f64 / sizes.len() as f64) / f64::from(effort.sweeps));
        }
    }
    let ghz = frequency(&ghz, card);
    let Some(cycles_per_ns) = ghz.value else {
        return Err(format!("cycles, but no nanoseconds: {}", ghz.source));
    };
    for visit in &mut visits {
        visit.ns.iter_mut().for_each(|cycles| *cycles /= cycles_per_ns);
    }
    let pages = Fact::unknown("the driver tells no page size of the card's memory");
    let title = "random, every 128 bytes, one thread of the card";
    let curve = latency::curve("device", title, LINE_BYTES, pages, visits, seed);
    Ok((curve, ghz))
}

/// Loads that warm a working set up: a lap, but no more than fill the second-level cache one and a half times, behind which no more of the
/// set can be kept.
fn warm_enough(l2: Option<u64>) -> usize {
    let l2 = l2.unwrap_or(128 << 20) as usize;
    3 * l2 / 2 / LINE_BYTES
}

/// Launches the walk, and looks where it ended.
fn walked(bench: &Bench, ring: &Ring, walk: Walk, (memory, out): (&Buffer, &Buffer)) -> Result<Walked, String> {
    let told = |error: CudaError| error.to_string();
    let next = memory.slice(0, ring.order.len() * LINE_WORDS);
    let call = chase(walk, next, out.slice(0, 2 + walk.slices as usize)).map_err(|error| error.to_string())?;
    let elapsed_ns = bench.launch(&call).map_err(told)?;
    let mut bytes = vec![0; 8 * (2 + walk.slices as usize)];
    out.read(0, &mut bytes).map_err(told)?;
    let word = |x: &[u8]| u64::from_le_bytes([x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]]);
    let words: Vec<u64> = bytes.chunks_exact(8).map(word).collect();
    let end = u64::from(ring.at(walk.loads()));
    if words[0] != end {
        return Err(format!(
            "a chase of {} loads over {} lines ended at element {}, not at {end}: the card's memory or its kernel is wrong",
            walk.loads(),
            ring.order.len(),
            words[0]
        ));
    }
    Ok(Walked {
        slices: words[2..]
            .iter()
            .map(|&cycles| cycles as f64 / f64::from(walk.steps))
            .collect(),
        ghz: (elapsed_ns >= TELLING_NS).then(|| words[1] as f64 / elapsed_ns),
    })
}

/// The clock as measured, else as claimed.
fn frequency(ghz: &[f64], card: &GpuCard) -> Fact<f64> {
    match Ordered::new(ghz) {
        Ok(ghz) => Fact::known(ghz.median(), "cycles of the chases over the events' time"),
        Err(_) => Fact::of(
            card.clock_mhz.value.map(|mhz| mhz / 1e3),
            "claimed by the driver: no chase was long enough to measure it",
            "no chase was long enough to measure the clock, and the driver tells none",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_is_one_full_cycle_and_ends_where_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for lines in [1, 2, 3, 8, 31, 32, 33, 1000, 4096] {
            let ring = Ring::new(lines, &mut rng);
            let next: Vec<u32> = ring
                .elements()
                .chunks_exact(4)
                .map(|x| u32::from_le_bytes([x[0], x[1], x[2], x[3]]))
                .collect();
            assert_eq!(next.len(), lines * LINE_WORDS);
            let (mut at, mut seen) = (ring.at(0), vec![false; lines]);
            for loads in 1..=lines as u64 {
                seen[at as usize / LINE_WORDS] = true;
                at = next[at as usize];
                assert_eq!(at, ring.at(loads), "{lines} lines, {loads} loads");
            }
            assert!(
                at == ring.at(0) && seen.iter().all(|&seen| seen),
                "{lines} lines: one cycle"
            );
        }
    }

    #[test]
    fn orders_are_uniform() {
        // Of four lines there are 3! = 6 cycles; each should come up in a sixth of the draws.
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let Ring { mut order, .. } = Ring::new(4, &mut rng);
            let first = order.iter().position(|&line| line == 0).unwrap();
            order.rotate_left(first);
            *counts.entry(order).or_insert(0) += 1;
        }
        assert!(
            counts.len() == 6 && counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_warm_up_is_bounded_by_the_cache() {
        assert_eq!(warm_enough(Some(6 << 20)), 9 << 13);
        assert!(warm_enough(None) > warm_enough(Some(50 << 20)));
    }
}
