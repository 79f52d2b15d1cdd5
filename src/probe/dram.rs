//! What more than one load at once changes: chains side by side, other CPUs that stream, one line a page.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::Isa;

use super::chain::{Chain, Order};
use super::latency::{self, Effort, curve, visit};
use super::memory::{Mapping, Pages};
use super::pin;
use super::slices::{Clockwork, spin_for};
use super::stream::{Arrays, MULTIPLE, Op};
use crate::measure::{Chains, Curve, Fact, Loaded, NodePair, Ordered};

/// Chains at once.
pub const CHAINS: [u32; 9] = [1, 2, 3, 4, 6, 8, 10, 12, 16];

/// Loads in flight: the time of a load, over all chains, by the number of chains.
///
/// # Errors
/// One line, if there is no memory.
pub fn parallelism(clock: &mut Clockwork<'_>, bytes: usize, effort: &Effort, seed: u64) -> Result<Vec<Chains>, String> {
    let mut memory = Mapping::new(bytes, Pages::Huge)?;
    memory.words().fill(0);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chain = Chain::new(memory.words(), bytes / 64, 8, 0, Order::Random, &mut rng);
    let mut samples = vec![Vec::new(); CHAINS.len()];
    // About 100 ns a step of one chain; more chains share them.
    let steps = (effort.slice.as_nanos() as usize / 100).max(512);
    for _ in 0..3 * effort.slices {
        for (samples, &chains) in samples.iter_mut().zip(&CHAINS) {
            if clock.stopped() {
                break;
            }
            let each = (steps / chains as usize).next_multiple_of(16) * 2;
            if let Some(ns) = clock.slice(|| many(&mut chain, chains, each)) {
                samples.push(ns / (each * chains as usize) as f64);
            }
        }
    }
    let medians: Vec<Option<f64>> = samples
        .iter()
        .map(|samples| Some(Ordered::new(samples).ok()?.median()))
        .collect();
    let alone = medians[0].ok_or("no slice of a single chain was left undisturbed")?;
    let rows = CHAINS.iter().zip(samples).zip(medians);
    Ok(rows
        .filter_map(|((&chains, samples), ns)| {
            let ns = ns?;
            Some(Chains {
                chains,
                ns,
                in_flight: alone / ns,
                samples,
            })
        })
        .collect())
}

fn many(chain: &mut Chain<'_>, chains: u32, steps: usize) {
    match chains {
        1 => chain.walk_many::<1>(steps),
        2 => chain.walk_many::<2>(steps),
        3 => chain.walk_many::<3>(steps),
        4 => chain.walk_many::<4>(steps),
        6 => chain.walk_many::<6>(steps),
        8 => chain.walk_many::<8>(steps),
        10 => chain.walk_many::<10>(steps),
        12 => chain.walk_many::<12>(steps),
        _ => chain.walk_many::<16>(steps),
    }
}

/// Latency on the first CPU while the others read arrays of their own for a share of their time.
///
/// # Errors
/// One line, if there is no other CPU or no memory.
pub fn loaded(
    clock: &mut Clockwork<'_>,
    cpus: &[usize],
    bytes: usize,
    effort: &Effort,
    seed: u64,
) -> Result<Vec<Loaded>, String> {
    let [first, others @ ..] = cpus else {
        return Err("the system does not tell which CPUs may be used".to_owned());
    };
    if others.is_empty() {
        return Err("this process may use one CPU; a load needs another".to_owned());
    }
    pin::pin(*first)?;
    let mut memory = Mapping::new(bytes, Pages::Huge)?;
    memory.words().fill(0);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chain = Chain::new(memory.words(), bytes / 64, 8, 0, Order::Random, &mut rng);
    let isa = Isa::available()[0];
    let mut rows = Vec::new();
    for duty in [0.0, 0.25, 0.5, 1.0] {
        if clock.stopped() {
            break;
        }
        let (end, read) = (AtomicBool::new(false), AtomicU64::new(0));
        let ready = AtomicU64::new(0);
        let row = std::thread::scope(|scope| {
            for &cpu in others {
                let (end, read, ready) = (&end, &read, &ready);
                scope.spawn(move || reader(cpu, bytes / 2, duty, isa, (end, read, ready)));
            }
            while ready.load(Ordering::Acquire) < others.len() as u64 {
                std::thread::yield_now();
            }
            let steps = (effort.slice.as_nanos() as usize / 100).max(512).next_multiple_of(16);
            chain.walk(steps);
            let (from, start) = (read.load(Ordering::Relaxed), Instant::now());
            let (slices, _) = clock.slices(4 * effort.slices, || chain.walk(steps));
            let gbps = (read.load(Ordering::Relaxed) - from) as f64 / start.elapsed().as_nanos() as f64;
            end.store(true, Ordering::Release);
            let samples: Vec<f64> = slices.into_iter().map(|ns| ns / steps as f64).collect();
            Some(Loaded {
                streams: others.len(),
                duty,
                gbps,
                ns: Ordered::new(&samples).ok()?.median(),
                samples,
            })
        });
        rows.extend(row);
    }
    if rows.is_empty() {
        Err("no slice was left undisturbed".to_owned())
    } else {
        Ok(rows)
    }
}

/// Reads on `cpu` for a share of its time, until `end`.
fn reader(cpu: usize, bytes: usize, duty: f64, isa: Isa, (end, read, ready): (&AtomicBool, &AtomicU64, &AtomicU64)) {
    const CHUNK: usize = 16 * 1024 / 8 / MULTIPLE * MULTIPLE;
    // A thread that can't be pinned still loads the memory.
    let _ = pin::pin(cpu);
    let mapping = Mapping::new(3 * bytes.max(1 << 20), Pages::Huge);
    let mut mapping = match mapping {
        Ok(mapping) if duty > 0.0 => mapping,
        _ => {
            ready.fetch_add(1, Ordering::Release);
            return;
        }
    };
    let mut arrays = Arrays::new(mapping.words());
    ready.fetch_add(1, Ordering::Release);
    let mut from = 0;
    while !end.load(Ordering::Acquire) {
        let start = Instant::now();
        arrays.run(Op::Read, false, isa, from, CHUNK);
        read.fetch_add(8 * CHUNK as u64, Ordering::Relaxed);
        from = if from + 2 * CHUNK > arrays.len() {
            0
        } else {
            from + CHUNK
        };
        if duty < 1.0 {
            spin_for(start.elapsed().mul_f64(1.0 / duty - 1.0).min(Duration::from_millis(1)));
        }
    }
}

/// One line a page, by the number of pages: what address translation costs. Beside each size the same number of lines
/// is walked close together; what that costs is the caches' part and is taken off, so that the knees left are those of
/// the TLBs.
///
/// # Errors
/// One line, if there is no memory.
pub fn tlb(clock: &mut Clockwork<'_>, most: usize, effort: &Effort, seed: u64) -> Result<Curve, String> {
    const PAGE: usize = 4096;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut apart = Mapping::new(most, Pages::Small)?;
    let mut close = Mapping::new(most / PAGE * 64, Pages::Huge)?;
    apart.words().fill(0);
    close.words().fill(0);
    let huge = apart.huge_bytes();
    let pages: Vec<usize> = {
        let steps = ((most / PAGE) as f64 / 8.0).log2() * f64::from(effort.per_octave);
        let page = |step: u32| (8.0 * (f64::from(step) / f64::from(effort.per_octave)).exp2()).round() as usize;
        (0..=steps as u32).map(page).collect()
    };
    let mut visits = Vec::new();
    for sweep in 0..effort.sweeps.min(3) {
        let mut order = pages.clone();
        if sweep % 2 == 1 {
            order.reverse();
        }
        for &count in &order {
            if clock.stopped() {
                break;
            }
            let mut chain = Chain::new(close.words(), count, 8, 0, Order::Random, &mut rng);
            let base = visit(clock, &mut chain, count as u64, sweep, effort);
            let mut chain = Chain::new(apart.words(), count, PAGE / 8, 8, Order::Random, &mut rng);
            let mut walked = visit(clock, &mut chain, count as u64, sweep, effort);
            let Ok(base) = Ordered::new(&base.ns) else { continue };
            // The first visit's base stands for a load that hits the first cache.
            walked
                .ns
                .iter_mut()
                .for_each(|ns| *ns = (*ns - base.median()).max(0.0) + FIRST_CACHE_NS);
            visits.push(walked);
        }
    }
    let title = "one line a page, the caches' part taken off";
    Ok(curve("tlb", title, PAGE, huge, visits, seed))
}

/// Put under the difference, so that it is above zero: about a load that hits.
const FIRST_CACHE_NS: f64 = 1.5;

/// Latency from a CPU of each node to memory of each node, for the CPUs given as (node, cpu).
///
/// # Errors
/// One line, if there is no memory.
pub fn nodes(
    clock: &mut Clockwork<'_>,
    nodes: &[(usize, usize)],
    bytes: usize,
    effort: &Effort,
    seed: u64,
) -> Result<Vec<NodePair>, String> {
    let mut pairs = Vec::new();
    for &(memory_node, toucher) in nodes {
        // Memory belongs to the node of the CPU that first touches it.
        let (mapping, pinned) = pin::on_cpu(toucher, || {
            let mut mapping = Mapping::new(bytes, Pages::Huge)?;
            mapping.words().fill(0);
            Ok::<_, String>(mapping)
        });
        pinned?;
        let mut mapping = mapping?;
        for &(cpu_node, cpu) in nodes {
            if clock.stopped() {
                break;
            }
            let (ns, pinned) = pin::on_cpu(cpu, || {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut chain = Chain::new(mapping.words(), bytes / 64, 8, 0, Order::Random, &mut rng);
                let visit = latency::visit(clock, &mut chain, bytes as u64, 0, effort);
                Ordered::new(&visit.ns).ok().map(|ns| ns.median())
            });
            pinned?;
            pairs.extend(ns.map(|ns| NodePair {
                cpu_node,
                memory_node,
                ns,
            }));
        }
    }
    Ok(pairs)
}

/// A stage's outcome as a fact.
pub fn fact<T>(outcome: Result<T, String>, source: &str) -> Fact<T> {
    match outcome {
        Ok(value) => Fact::known(value, source),
        Err(why) => Fact::unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests run beside these: a try may find no undisturbed slice.
    const TRIES: usize = 200;

    fn effort() -> Effort {
        Effort {
            slices: 1,
            sweeps: 1,
            per_octave: 1,
            ..Effort::quick()
        }
    }

    #[test]
    fn chains_share_the_wait_and_pages_cost() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        // A busy machine may leave a try no undisturbed slice.
        let rows = (0..TRIES)
            .find_map(|_| parallelism(&mut clock, 32 << 20, &effort(), 1).ok())
            .unwrap();
        assert!(rows[0].chains == 1 && (rows[0].in_flight - 1.0).abs() < 1e-12);
        let most = rows.iter().map(|row| row.in_flight).fold(0.0, f64::max);
        assert!(most > 1.5, "{rows:?}");
        let curve = (0..TRIES)
            .filter_map(|_| tlb(&mut clock, 32 << 20, &effort(), 1).ok())
            .find(|curve| curve.points.len() >= 10)
            .expect("a try with slices at ten sizes");
        assert!(curve.points.iter().all(|point| point.ns >= FIRST_CACHE_NS), "{curve:?}");
    }

    #[test]
    fn a_load_is_seen_and_one_cpu_has_none() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        let why = pin::on_cpu(0, || loaded(&mut clock, &[0], 4 << 20, &effort(), 1))
            .0
            .unwrap_err();
        assert!(why.contains("one CPU"), "{why}");
        let cpus = pin::allowed();
        if cpus.len() < 2 {
            return;
        }
        // A busy machine may leave no undisturbed slice, or give the other CPU to somebody else for the whole of one.
        let mut tries = (0..TRIES).filter_map(|_| {
            let rows = std::thread::scope(|scope| {
                let both = scope.spawn(|| loaded(&mut clock, &cpus[..2], 4 << 20, &effort(), 1));
                both.join().unwrap()
            });
            rows.ok()
        });
        let seen = tries.any(|rows| {
            let idle = rows.iter().filter(|row| row.duty == 0.0);
            assert!(idle.into_iter().all(|row| row.gbps == 0.0), "{rows:?}");
            rows.iter()
                .all(|row| row.ns > 1.0 && (row.duty == 0.0 || row.gbps > 0.0))
        });
        assert!(seen, "no try in which every load moved bytes");
    }

    #[test]
    fn nodes_are_crossed_with_nodes() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        // Two nodes that are one: the plumbing, not the distance.
        if let Some(&cpu) = pin::allowed().first() {
            let pairs = nodes(&mut clock, &[(0, cpu), (1, cpu)], 1 << 20, &effort(), 1).unwrap();
            let named: Vec<_> = pairs.iter().map(|pair| (pair.memory_node, pair.cpu_node)).collect();
            assert!(named.iter().all(|pair| pair.0 < 2 && pair.1 < 2) && named.len() <= 4);
        }
    }
}
