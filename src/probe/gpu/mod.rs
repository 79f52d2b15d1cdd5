//! A card: what its driver claims, copies, streams, launches, latency. Runs on our kernels (`kernels/cuda/probe.cu`).

mod bench;
mod card;
mod chase;
mod copies;
mod launches;
mod streams;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tilelab_kernels::cuda::Gpu;

use self::bench::Bench;
use super::dram::fact;
use super::slices::Clockwork;
use super::stages::{Event, Options, Stage, empty, skipped};
use super::{bus, grade, levels, topology};
use crate::measure::{Fact, GpuProbe, Latency, Machine, Ordered, Probe};

/// How much is measured.
#[derive(Debug, Clone)]
struct Effort {
    /// Bytes of one copy, if memory allows.
    copy_bytes: u64,
    /// Copies of a sample.
    copies: u32,
    /// Samples of copies and streams.
    samples: u32,
    /// Rounds of launches.
    launches: u32,
    /// Sizes an octave of the chase.
    per_octave: u32,
    /// Sweeps over all sizes.
    sweeps: u32,
    /// Timed slices of a visit, and loads of each.
    slices: u32,
    steps: u32,
    /// No sweep begins that would end later than this.
    budget: Duration,
}

impl Effort {
    /// For a first look.
    fn quick() -> Self {
        Self {
            copy_bytes: 64 << 20,
            copies: 8,
            samples: 5,
            launches: 20,
            per_octave: 3,
            sweeps: 2,
            slices: 3,
            steps: 1 << 11,
            budget: Duration::from_secs(12),
        }
    }

    /// For figures to keep.
    fn full() -> Self {
        Self {
            copy_bytes: 256 << 20,
            copies: 16,
            samples: 11,
            launches: 200,
            per_octave: 4,
            sweeps: 4,
            slices: 7,
            steps: 1 << 12,
            budget: Duration::from_secs(75),
        }
    }
}

/// Bytes of each buffer, from what may be taken here and what is free there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    copy: u64,
    stream: u64,
    chase: u64,
}

impl Room {
    fn new(options: &Options, effort: &Effort, l2: Option<u64>, free: u64) -> Self {
        // Copies have three buffers here and what is sent and compared, and two there; streams three there and as many here while they are
        // filled and compared.
        let most = (options.max_bytes / 8).min(free / 4);
        let four_times = (4 * l2.unwrap_or(16 << 20)).max(64 << 20);
        Self {
            copy: effort.copy_bytes.min(most) / 4096 * 4096,
            stream: most,
            chase: four_times.min(most) / 256 * 256,
        }
    }
}

/// Probes a card. A stop, or a stage that can't be, leaves a reason in its place; nothing here fails.
pub fn run(
    (gpu, device): (&Gpu, &str),
    (options, machine): (&Options, &Machine),
    started: Instant,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Event<'_>),
) -> Probe {
    let mut clock = Clockwork::new(started, stop);
    let before = grade::Before::read();
    let mut found = empty(topology::read(machine), options);
    found.bus = bus::read_in(std::path::Path::new("/"), machine.hypervisor.as_deref());
    let card = card::claimed(gpu.facts());
    let missing = |stage: Stage| skipped(options, stage);
    let mut probed = GpuProbe {
        device: device.to_owned(),
        card,
        clock_ghz: Fact::unknown(missing(Stage::Chase)),
        copies: Fact::unknown(missing(Stage::Copies)),
        streams: Fact::unknown(missing(Stage::Streams)),
        launches: Fact::unknown(missing(Stage::Launches)),
        latency: Fact::unknown(missing(Stage::Chase)),
    };
    let mut bench = Bench::new(gpu).map_err(|error| error.to_string());
    for stage in Stage::GPU {
        if !options.stages.contains(&stage) {
            continue;
        }
        if clock.stopped() {
            let name = stage.name();
            found
                .notes
                .push(format!("stopped before {name}; what stands here was measured"));
            break;
        }
        watch(Event::Progress(stage, 0.0));
        one(stage, options, &mut bench, (&mut clock, &mut probed), &mut |share| {
            watch(Event::Progress(stage, share))
        });
        found.notes.extend(small_sets(stage, &probed));
        found.gpu = Fact::known(probed.clone(), "the stages of a card");
        watch(Event::Done(stage, &found));
    }
    found.gpu = Fact::known(probed, "the stages of a card");
    found.clock_ghz = Fact::unknown("no stage ran on the CPU");
    found.grade = before.grade(&clock, &found);
    found
}

fn one(
    stage: Stage,
    options: &Options,
    bench: &mut Result<Bench, String>,
    (clock, probed): (&mut Clockwork<'_>, &mut GpuProbe),
    progress: &mut dyn FnMut(f64),
) {
    let effort = if options.quick { Effort::quick() } else { Effort::full() };
    let with = |probed: &mut GpuProbe, reason: String| match stage {
        Stage::Copies => probed.copies = Fact::unknown(reason),
        Stage::Streams => probed.streams = Fact::unknown(reason),
        Stage::Launches => probed.launches = Fact::unknown(reason),
        Stage::Chase => {
            probed.clock_ghz = Fact::unknown(reason.clone());
            probed.latency = Fact::unknown(reason);
        }
        _ => (),
    };
    let l2 = probed.card.l2_bytes.value;
    let ready = bench.as_mut().map_err(|why| why.clone()).and_then(|bench| {
        let free = bench.gpu().free_bytes().map_err(|error| error.to_string())?;
        let room = Room::new(options, &effort, l2, free as u64);
        if room.copy == 0 || room.chase < super::latency::LEAST as u64 {
            return Err(format!("the card has {free} bytes left: too few to measure in"));
        }
        Ok((bench, room))
    });
    let (bench, room) = match ready {
        Ok(ready) => ready,
        Err(why) => return with(probed, why),
    };
    match stage {
        Stage::Copies => {
            let outcome = copies::measure(bench, clock, room.copy as usize, &effort, progress);
            probed.copies = fact(
                outcome,
                "copies between events behind a kernel that holds the card back",
            );
        }
        Stage::Streams => {
            let sets = streams::working_sets(l2, room.stream);
            let outcome = streams::measure(bench, clock, &sets, &effort, progress);
            probed.streams = fact(outcome, "our kernels between events");
        }
        Stage::Launches => {
            let outcome = launches::measure(bench, clock, &effort);
            probed.launches = fact(outcome, "a chase of no loads");
        }
        Stage::Chase => {
            let sizes = (&probed.card, room.chase as usize);
            match chase::curve(bench, clock, sizes, (&effort, options.seed), progress) {
                Ok((curve, ghz)) => {
                    let caches = card::caches(&probed.card);
                    let sharing = "other multiprocessors share it, or it lies in parts";
                    let levels = levels::against(&caches, &curve, sharing, options.seed);
                    let curves = vec![curve];
                    probed.latency = Fact::known(Latency { curves, levels }, "chases of one thread of the card");
                    probed.clock_ghz = ghz;
                }
                Err(why) => with(probed, why),
            }
        }
        _ => (),
    }
}

/// What a reader must know of working sets that are smaller than STREAM asks.
fn small_sets(stage: Stage, probed: &GpuProbe) -> Option<String> {
    let largest = probed.streams.value.iter().flatten().map(|row| row.bytes).max()?;
    let l2 = probed.card.l2_bytes.value?;
    // Sets are rounded down to whole elements.
    (stage == Stage::Streams && largest + 96 < 4 * l2).then(|| {
        format!("working sets of at most {largest} bytes are below four times the L2: --max-mem, or little memory")
    })
}

/// GB/s of samples that each moved `bytes` bytes: the median and its interval.
fn rates(bytes: u64, samples_ns: &[f64]) -> Result<(f64, (f64, f64)), String> {
    let rates: Vec<f64> = samples_ns.iter().map(|ns| bytes as f64 / ns.max(1.0)).collect();
    let ordered = Ordered::new(&rates).map_err(|error| error.to_string())?;
    let interval = ordered.median_interval();
    Ok((ordered.median(), (interval.low, interval.high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_both_memories() {
        let options = |max_bytes| Options {
            quick: true,
            stages: Vec::new(),
            max_bytes,
            dram_mts: None,
            seed: 1,
        };
        let effort = Effort::quick();
        let plenty = Room::new(&options(64 << 30), &effort, Some(50 << 20), 80 << 30);
        assert_eq!((plenty.copy, plenty.chase), (64 << 20, 200 << 20));
        let small_host = Room::new(&options(64 << 20), &effort, Some(50 << 20), 80 << 30);
        assert_eq!(
            small_host,
            Room {
                copy: 8 << 20,
                stream: 8 << 20,
                chase: 8 << 20
            }
        );
        let small_card = Room::new(&options(64 << 30), &effort, None, 1 << 20);
        assert_eq!((small_card.copy, small_card.chase), (256 << 10, 256 << 10));
        assert_eq!(Room::new(&options(64 << 30), &effort, None, 1000).copy, 0);
    }

    #[test]
    fn a_rate_is_bytes_over_nanoseconds() {
        let (gbps, (low, high)) = rates(2000, &[1000.0, 500.0, 1000.0]).unwrap();
        assert_eq!(gbps, 2.0);
        assert!(low <= 2.0 && high >= 2.0);
        assert!(rates(1, &[]).is_err());
    }
}
