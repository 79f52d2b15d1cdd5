//! The stages of a probe, in their order, and what they leave.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::dram::fact;
use super::slices::{Clockwork, clock_ghz};
use super::{bandwidth, bus, cores, dram, grade, latency, levels, pin, roofline, topology};
use crate::measure::{Fact, Latency, Machine, Probe, Topology};

/// A stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// CPUs, caches, pages, hypervisor
    Topology,
    /// Memory bus, from the firmware's tables
    Bus,
    /// Latency by working set, and the caches found in it
    Latency,
    /// One line a page
    Tlb,
    /// Several chains at once
    Parallelism,
    /// Latency beside CPUs that stream
    Loaded,
    /// Core to core
    Cores,
    /// NUMA node to node
    Nodes,
    /// Streaming kernels
    Bandwidth,
    /// FMA peak, roofs, kernels
    Roofline,
    /// Of a card: what its driver claims
    Card,
    /// Of a card: copies from, to and within it
    Copies,
    /// Of a card: streaming kernels
    Streams,
    /// Of a card: what a launch costs
    Launches,
    /// Of a card: latency by working set, and the caches found in it
    Chase,
}

impl Stage {
    /// Those of a card, in their order.
    pub const GPU: [Stage; 5] = [
        Stage::Card,
        Stage::Copies,
        Stage::Streams,
        Stage::Launches,
        Stage::Chase,
    ];

    /// Those of the CPU, in their order.
    pub const CPU: [Stage; 10] = [
        Stage::Topology,
        Stage::Bus,
        Stage::Latency,
        Stage::Tlb,
        Stage::Parallelism,
        Stage::Loaded,
        Stage::Cores,
        Stage::Nodes,
        Stage::Bandwidth,
        Stage::Roofline,
    ];

    /// Name, as `--only` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Topology => "topology",
            Stage::Bus => "bus",
            Stage::Latency => "latency",
            Stage::Tlb => "tlb",
            Stage::Parallelism => "parallelism",
            Stage::Loaded => "loaded",
            Stage::Cores => "cores",
            Stage::Nodes => "nodes",
            Stage::Bandwidth => "bandwidth",
            Stage::Roofline => "roofline",
            Stage::Card => "card",
            Stage::Copies => "copies",
            Stage::Streams => "streams",
            Stage::Launches => "launches",
            Stage::Chase => "chase",
        }
    }
}

/// What is probed.
#[derive(Debug, Clone)]
pub struct Options {
    /// A first look: fewer sizes, sweeps and slices.
    pub quick: bool,
    /// Stages to run; topology is always read.
    pub stages: Vec<Stage>,
    /// Most bytes that may be taken at once.
    pub max_bytes: u64,
    /// The memory's speed in MT/s, where the user knows it.
    pub dram_mts: Option<u32>,
    /// Fixes permutations and bootstraps.
    pub seed: u64,
}

/// What is told while a probe runs.
pub enum Event<'a> {
    /// A share of a stage is done, 0 to 1.
    Progress(Stage, f64),
    /// A stage is over; the probe holds what it left.
    Done(Stage, &'a Probe),
}

/// Probes this machine. A stop, or a stage that can't be, leaves a reason in its place; nothing here fails.
pub fn run(
    options: &Options,
    machine: &Machine,
    started: Instant,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Event<'_>),
) -> Probe {
    let mut clock = Clockwork::new(started, stop);
    let topology = topology::read(machine);
    let before = grade::Before::read();
    let mut found = empty(topology, options);
    found.bus = bus::read_in(std::path::Path::new("/"), machine.hypervisor.as_deref());
    let cpus: Vec<usize> = found.topology.cpus.iter().map(|cpu| cpu.cpu).collect();
    let first = cpus.first().copied();
    let mut ghz = Vec::new();
    ghz.extend(first.and_then(|cpu| pin::on_cpu(cpu, clock_ghz).0));
    for stage in Stage::CPU {
        if !options.stages.contains(&stage) {
            continue;
        }
        if clock.stopped() {
            found.notes.push(format!(
                "stopped before {}; what stands here was measured",
                stage.name()
            ));
            break;
        }
        watch(Event::Progress(stage, 0.0));
        let Some(first) = first else {
            found
                .notes
                .push("the system does not tell which CPUs may be used: nothing was measured".to_owned());
            break;
        };
        one(stage, options, (first, &cpus), (&mut clock, &mut found), &mut |share| {
            watch(Event::Progress(stage, share))
        });
        watch(Event::Done(stage, &found));
    }
    ghz.extend(first.and_then(|cpu| pin::on_cpu(cpu, clock_ghz).0));
    let fastest = ghz.into_iter().fold(0.0, f64::max);
    let source = "a chain of dependent additions before and behind the stages";
    found.clock_ghz = Fact::of(
        Some(fastest).filter(|ghz| *ghz > 0.0),
        source,
        "the chain of additions is written for x86-64",
    );
    if let Some(mts) = options.dram_mts {
        let rows = found.bandwidth.value.iter().flat_map(|bandwidth| &bandwidth.streams);
        let largest = found
            .bandwidth
            .value
            .as_ref()
            .map_or(0, |bandwidth| bandwidth.dram_array_bytes);
        let in_dram = rows.filter(|row| row.bytes * row.threads as u64 >= largest);
        // Bytes that surely went over the bus: without allocation.
        let gbps = in_dram.map(|row| row.gbps).fold(0.0, f64::max);
        found.bus.least_width_bits = bus::least_width(gbps, mts);
    }
    found.grade = before.grade(&clock, &found);
    found
}

/// Why a stage has left nothing.
pub(super) fn skipped(options: &Options, stage: Stage) -> &'static str {
    if options.stages.contains(&stage) {
        "stopped before it"
    } else {
        "not asked for"
    }
}

/// Nothing measured yet.
pub(super) fn empty(topology: Topology, options: &Options) -> Probe {
    let skipped = |stage: Stage| skipped(options, stage);
    Probe {
        topology,
        bus: bus::parse(Vec::new()),
        gpu: Fact::unknown("this run probed the CPU; --device cuda:0 probes a card"),
        clock_ghz: Fact::unknown("not measured"),
        grade: grade::none(),
        latency: Fact::unknown(skipped(Stage::Latency)),
        tlb: Fact::unknown(skipped(Stage::Tlb)),
        parallelism: Fact::unknown(skipped(Stage::Parallelism)),
        loaded: Fact::unknown(skipped(Stage::Loaded)),
        cores: Fact::unknown(skipped(Stage::Cores)),
        nodes: Fact::unknown(skipped(Stage::Nodes)),
        bandwidth: Fact::unknown(skipped(Stage::Bandwidth)),
        roofline: Fact::unknown(skipped(Stage::Roofline)),
        notes: Vec::new(),
    }
}

fn one(
    stage: Stage,
    options: &Options,
    (first, cpus): (usize, &[usize]),
    (clock, found): (&mut Clockwork<'_>, &mut Probe),
    progress: &mut dyn FnMut(f64),
) {
    let effort = if options.quick {
        latency::Effort::quick()
    } else {
        latency::Effort::full()
    };
    let claimed = found.topology.caches.iter().filter_map(|cache| cache.bytes.value);
    let last_cache = claimed.max().unwrap_or(32 << 20);
    let most = latency::most(last_cache, options.max_bytes);
    // Deep enough in DRAM, and half the time to build.
    let deep = most.min(if options.quick { 128 << 20 } else { 256 << 20 });
    let seed = options.seed;
    match stage {
        Stage::Topology | Stage::Bus => (),
        Stage::Card | Stage::Copies | Stage::Streams | Stage::Launches | Stage::Chase => (),
        Stage::Latency => {
            let outcome = watched(first, progress, |done| {
                latency::curves(clock, most, &effort, seed, |share| {
                    done.store((1e3 * share) as u32, Ordering::Relaxed)
                })
            });
            found.latency = fact(
                outcome.map(|curves| Latency {
                    levels: levels::compare(
                        &found.topology.caches,
                        &curves,
                        found.topology.hypervisor.value.as_deref() != Some("none"),
                        seed,
                    ),
                    curves,
                }),
                "chases on one pinned thread",
            );
        }
        Stage::Tlb => {
            let most = most.min(256 << 20);
            found.tlb = fact(
                pinned(first, || dram::tlb(clock, most, &effort, seed)),
                "chases on one pinned thread",
            );
        }
        Stage::Parallelism => {
            found.parallelism = fact(
                pinned(first, || dram::parallelism(clock, deep, &effort, seed)),
                "chases on one pinned thread",
            );
        }
        Stage::Loaded => {
            let outcome = pinned(first, || dram::loaded(clock, cpus, deep, &effort, seed));
            found.loaded = fact(outcome, "a chase on one CPU, reads on the others");
        }
        Stage::Cores => {
            let (samples, budget) = if options.quick {
                (30, Duration::from_secs(2))
            } else {
                (200, Duration::from_secs(20))
            };
            let outcome = cores::matrix(clock, &found.topology.cpus, samples, budget, progress);
            found.cores = fact(outcome, "one line handed over by pinned threads");
        }
        Stage::Nodes => {
            let mut nodes: Vec<(usize, usize)> = found
                .topology
                .cpus
                .iter()
                .filter_map(|cpu| Some((cpu.node?, cpu.cpu)))
                .collect();
            nodes.dedup_by_key(|node| node.0);
            nodes.sort_unstable();
            nodes.dedup_by_key(|node| node.0);
            found.nodes = match nodes.len() {
                0 => Fact::unknown("sysfs tells no NUMA node"),
                1 => Fact::unknown("one node: there is nothing to compare"),
                _ => fact(
                    dram::nodes(clock, &nodes, deep, &effort, seed),
                    "chases on pinned threads",
                ),
            };
        }
        Stage::Bandwidth => {
            let effort = if options.quick {
                bandwidth::Effort::quick()
            } else {
                bandwidth::Effort::full()
            };
            // Four times the last cache, as STREAM asks; three arrays in what may be taken.
            let array = (4 * last_cache).clamp(64 << 20, 4 << 30).min(options.max_bytes / 3) as usize;
            if (array as u64) < 4 * last_cache {
                found.notes.push(format!(
                    "arrays of {array} bytes are below four times the last cache: --max-mem, or little memory"
                ));
            }
            found.bandwidth = fact(
                bandwidth::measure(clock, cpus, array, &effort, progress),
                "streaming kernels on pinned threads",
            );
        }
        Stage::Roofline => {
            let (peaks, calls) = if options.quick { (5, 5) } else { (30, 25) };
            // Twice the last cache in each array, if a quarter of what may be taken allows it.
            let long = (2 * last_cache).clamp(16 << 20, 1 << 30).min(options.max_bytes / 4) as usize / 4;
            let effort = roofline::Effort { peaks, calls, long };
            let none = Vec::new();
            let levels = found.latency.value.as_ref().map_or(&none, |latency| &latency.levels);
            found.roofline = match &found.bandwidth.value {
                None => Fact::unknown("it needs the bandwidth of the same run"),
                Some(bandwidth) => {
                    let outcome = roofline::measure(clock, bandwidth, levels, effort, progress);
                    fact(
                        outcome.map_err(|error| format!("{error:#}")),
                        "kernels on one thread, peaks on one and all",
                    )
                }
            };
        }
    }
}

/// The work on a pinned thread; a refused pinning is the outcome's reason.
fn pinned<T: Send>(cpu: usize, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    let (outcome, pinned) = pin::on_cpu(cpu, work);
    pinned.and(outcome)
}

/// The same for long work, which tells its progress in thousandths; the caller's thread looks ten times a second.
fn watched<T: Send>(
    cpu: usize,
    progress: &mut dyn FnMut(f64),
    work: impl FnOnce(&AtomicU32) -> Result<T, String> + Send,
) -> Result<T, String> {
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| pin::pin(cpu).and_then(|()| work(&done)));
        while !thread.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            progress(f64::from(done.load(Ordering::Relaxed)) / 1e3);
        }
        thread
            .join()
            .unwrap_or_else(|_| Err("a measuring thread panicked".to_owned()))
    })
}
