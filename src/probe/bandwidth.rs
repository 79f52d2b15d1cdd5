//! Bandwidth by kernel, working set and threads. Each thread has arrays of its own, which it touched first; all threads
//! begin each slice together. Kernels take turns in every round, a plain one beside its non-temporal twin.

use std::time::{Duration, Instant};

use tilelab_kernels::Isa;

use super::memory::{Mapping, Pages};
use super::pin;
use super::slices::{Clockwork, Meeting, slice};
use super::stream::{Arrays, MULTIPLE, Op, has_non_temporal};
use crate::measure::{Allocation, Bandwidth, Ordered, Stream, paired_ratio};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Rounds of every kernel.
    pub rounds: usize,
    /// Time of a slice.
    pub slice: Duration,
    /// Sizes an octave are one in this many.
    pub octaves: u32,
}

impl Effort {
    /// For a first look.
    pub fn quick() -> Self {
        Self {
            rounds: 5,
            slice: Duration::from_micros(400),
            octaves: 2,
        }
    }

    /// For figures to keep.
    pub fn full() -> Self {
        Self {
            rounds: 15,
            slice: Duration::from_millis(1),
            octaves: 1,
        }
    }
}

/// A kernel with its stores.
type Turn = (Op, bool);

/// Kernels in the order of a round: twins are neighbours.
fn turns() -> Vec<Turn> {
    let twins = |op: Op| [(op, false), (op, true)];
    let all = Op::ALL.into_iter().flat_map(twins);
    all.filter(|&(op, nt)| !nt || (op != Op::Read && has_non_temporal()))
        .collect()
}

/// All sizes at one thread and at all, the largest at every number of threads. `array_bytes`: one array of the largest.
///
/// # Errors
/// One line, if there is no memory or a thread can't be pinned.
pub fn measure(
    clock: &mut Clockwork<'_>,
    cpus: &[usize],
    array_bytes: usize,
    effort: &Effort,
    mut progress: impl FnMut(f64),
) -> Result<Bandwidth, String> {
    let isa = Isa::available()[0];
    let largest = 3 * array_bytes;
    let mut sizes = Vec::new();
    let mut bytes = 12 << 10;
    while bytes < largest / 2 {
        sizes.push(bytes);
        bytes <<= effort.octaves;
    }
    sizes.push(largest);
    let counts = thread_counts(cpus.len());
    let mut cases: Vec<(usize, usize)> = Vec::new();
    for &bytes in &sizes {
        let all = counts
            .iter()
            .filter(|&&threads| bytes == largest || threads == 1 || threads == cpus.len());
        cases.extend(all.map(|&threads| (threads, bytes)));
    }
    let (mut streams, mut allocation) = (Vec::new(), Vec::new());
    for (number, &(threads, bytes)) in cases.iter().enumerate() {
        if clock.stopped() {
            break;
        }
        let rows = one_case(
            clock,
            &cpus[..threads],
            bytes / threads_share(threads, bytes, largest),
            isa,
            effort,
        )?;
        if bytes == largest {
            allocation.extend(allocations(&rows, threads));
        }
        streams.extend(rows);
        progress((number + 1) as f64 / cases.len() as f64);
    }
    if streams.is_empty() {
        return Err("stopped before the first size was done".to_owned());
    }
    Ok(Bandwidth {
        isa: isa.id().to_owned(),
        streams,
        allocation,
        dram_array_bytes: array_bytes as u64,
    })
}

/// In DRAM the arrays of all threads together are the size asked for: they share the memory. In caches each thread has
/// its own.
fn threads_share(threads: usize, bytes: usize, largest: usize) -> usize {
    if bytes == largest { threads } else { 1 }
}

/// 1, 2, 4, ... and all.
fn thread_counts(cpus: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = (0..)
        .map(|power| 1 << power)
        .take_while(|&count| count < cpus)
        .collect();
    counts.push(cpus.max(1));
    counts
}

/// What one thread saw of one turn: begin, end, and whether it kept its CPU.
type Seen = (Instant, Instant, bool);

/// One thread's part of a case: times by turn and round, elements of a slice, bytes of its arrays.
type Part = (Vec<Vec<Seen>>, usize, usize);

fn one_case(
    clock: &mut Clockwork<'_>,
    cpus: &[usize],
    bytes: usize,
    isa: Isa,
    effort: &Effort,
) -> Result<Vec<Stream>, String> {
    let meeting = Meeting::new(cpus.len());
    let turns = turns();
    let outcome: Vec<Result<Part, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                let (meeting, turns) = (&meeting, &turns);
                scope.spawn(move || one_thread(cpu, bytes, isa, effort, (meeting, turns)))
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        };
        threads.into_iter().map(join).collect()
    });
    let outcome: Vec<Part> = outcome.into_iter().collect::<Result<_, _>>()?;
    let (elements, passes_bytes) = (outcome[0].1, outcome[0].2);
    let mut rows = Vec::new();
    for (turn, &(op, non_temporal)) in turns.iter().enumerate() {
        let mut quiet = Vec::new();
        let mut all = Vec::new();
        for round in 0..effort.rounds {
            let seen: Vec<Seen> = outcome.iter().map(|thread| thread.0[turn][round]).collect();
            let begin = seen.iter().map(|seen| seen.0).min();
            let end = seen.iter().map(|seen| seen.1).max();
            let Some((begin, end)) = begin.zip(end) else { continue };
            let ns = (end - begin).as_nanos() as f64;
            let undisturbed = seen.iter().all(|seen| seen.2);
            clock.count(undisturbed);
            all.push(ns);
            if undisturbed {
                quiet.push(ns);
            }
        }
        // On a busy machine all rounds may be disturbed.
        let disturbed = quiet.len() < 3.min(all.len());
        let samples = if disturbed { all } else { quiet };
        let Ok(ordered) = Ordered::new(&samples) else { continue };
        let moved = (elements * cpus.len()) as f64;
        let rate = |ns: f64, bytes: u64| moved * bytes as f64 / ns.max(1.0);
        let interval = ordered.median_interval();
        rows.push(Stream {
            kernel: op.name().to_owned(),
            non_temporal,
            threads: cpus.len(),
            bytes: passes_bytes as u64,
            gbps: rate(ordered.median(), op.bytes()),
            interval_gbps: (rate(interval.high, op.bytes()), rate(interval.low, op.bytes())),
            with_allocation_gbps: rate(
                ordered.median(),
                if non_temporal { op.bytes() } else { op.bytes_allocated() },
            ),
            disturbed,
            samples_ns: samples,
            slice_bytes: moved as u64 * op.bytes(),
        });
    }
    Ok(rows)
}

/// One thread's part of all rounds: times by turn and round, elements of a slice, and bytes of its arrays.
fn one_thread(
    cpu: usize,
    bytes: usize,
    isa: Isa,
    effort: &Effort,
    (meeting, turns): (&Meeting, &[Turn]),
) -> Result<Part, String> {
    let ready = pin::pin(cpu).and_then(|()| Mapping::new(bytes + 4096, Pages::Huge));
    // A thread that gave up would leave the others waiting: all learn of it at the end.
    let mut memory = match ready {
        Ok(memory) => memory,
        Err(why) => {
            meet_all(meeting, effort.rounds * turns.len());
            return Err(why);
        }
    };
    let words = memory.words();
    let wanted = (bytes / 8).max(3 * MULTIPLE + 16).min(words.len());
    let mut arrays = Arrays::new(&mut words[..wanted]);
    let len = arrays.len();
    // Elements of a slice: whole passes over small arrays, a part of large ones. Guessed at 60 GB/s in caches and 12
    // beyond, the same for all threads and kernels: a slice is a fixed amount of work.
    arrays.run(Op::Triad, false, isa, 0, len.min(1 << 18));
    let small = len * 24 < 512 << 10;
    let rate = if small { 2.5 } else { 0.5 };
    let elements = (effort.slice.as_nanos() as f64 * rate) as usize;
    let (passes, part) = if elements >= len {
        (elements / len, len)
    } else {
        (1, elements.next_multiple_of(MULTIPLE).min(len))
    };
    let mut from = 0;
    let mut seen = vec![Vec::with_capacity(effort.rounds); turns.len()];
    for _ in 0..effort.rounds {
        for (seen, &(op, non_temporal)) in seen.iter_mut().zip(turns) {
            if from + part > len {
                from = 0;
            }
            if part == len {
                // Small arrays: the last turn's stores may have left them elsewhere.
                arrays.run(op, non_temporal, isa, 0, len);
            }
            meeting.wait();
            let begin = Instant::now();
            let (_, quiet) = slice(|| {
                for _ in 0..passes {
                    arrays.run(op, non_temporal, isa, from, part);
                }
            });
            seen.push((begin, Instant::now(), quiet));
            from += part;
        }
    }
    // The last turn's answer is checked whole where it went over the whole array.
    if part == len && !arrays.holds(turns[turns.len() - 1].0) {
        return Err("a streaming kernel left wrong values".to_owned());
    }
    Ok((seen, passes * part, 24 * len))
}

fn meet_all(meeting: &Meeting, times: usize) {
    for _ in 0..times {
        meeting.wait();
    }
}

/// Plain time over non-temporal time, round by round.
fn allocations(rows: &[Stream], threads: usize) -> Vec<Allocation> {
    let row = |op: Op, nt: bool| {
        rows.iter()
            .find(|row| row.kernel == op.name() && row.non_temporal == nt)
    };
    let ops = Op::ALL.into_iter().filter(|op| *op != Op::Read);
    ops.filter_map(|op| {
        let (plain, streamed) = (row(op, false)?, row(op, true)?);
        let pairs = plain.samples_ns.len().min(streamed.samples_ns.len());
        let (ratio, interval) = paired_ratio(&plain.samples_ns[..pairs], &streamed.samples_ns[..pairs]).ok()?;
        Some(Allocation {
            kernel: op.name().to_owned(),
            threads,
            ratio,
            interval: (interval.low, interval.high),
            if_allocated: op.bytes_allocated() as f64 / op.bytes() as f64,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn every_kernel_is_measured_at_every_size() {
        let stop = AtomicBool::new(false);
        let mut clock = Clockwork::new(Instant::now(), &stop);
        let effort = Effort {
            rounds: 2,
            slice: Duration::from_micros(50),
            octaves: 4,
        };
        let cpus = pin::allowed();
        let cpus = &cpus[..cpus.len().min(2)];
        if cpus.is_empty() {
            return;
        }
        let found = measure(&mut clock, cpus, 1 << 20, &effort, |_| ()).unwrap();
        let sizes = 3;
        assert_eq!(found.streams.len(), sizes * cpus.len() * turns().len());
        for row in &found.streams {
            assert!(row.gbps > 0.01 && row.with_allocation_gbps >= row.gbps, "{row:?}");
            assert!(row.interval_gbps.0 <= row.gbps && row.gbps <= row.interval_gbps.1);
            let allocated = row.with_allocation_gbps / row.gbps;
            let expected = if row.non_temporal || row.kernel == "read" {
                1.0
            } else {
                4.0 / 3.0
            };
            assert!(allocated >= expected - 1e-9, "{row:?}");
        }
        assert_eq!(
            found.allocation.len(),
            if has_non_temporal() { 5 * cpus.len() } else { 0 }
        );
    }

    #[test]
    fn threads_double_up_to_all() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
        assert_eq!(thread_counts(8), [1, 2, 4, 8]);
    }
}
