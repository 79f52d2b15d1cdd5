//! What `tilelab probe --device cuda:N` found: a card as its driver claims it, and as measured.

use serde::{Deserialize, Serialize};

use super::{Fact, Latency};

/// A card. A stage that was not run, or not finished, is a [`Fact`] without a value that says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuProbe {
    /// Its name here, such as `cuda:0`.
    pub device: String,
    /// What the driver claims.
    pub card: GpuCard,
    /// Clock of the multiprocessor that measured latencies, GHz; its cycles over the events' time.
    pub clock_ghz: Fact<f64>,
    /// Copies from, to and within the card.
    pub copies: Fact<Vec<GpuCopy>>,
    /// Our kernels that stream through the card's memory.
    pub streams: Fact<Vec<GpuStream>>,
    /// What a launch costs.
    pub launches: Fact<Vec<GpuLaunch>>,
    /// Latency of one thread's loads by working set, and the caches found in it.
    pub latency: Fact<Latency>,
}

/// A card as its driver claims it; an attribute of 0 is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuCard {
    /// Its name.
    pub name: String,
    /// Compute capability, such as `8.6`.
    pub capability: String,
    /// The CUDA version that the driver knows, such as `12.4`.
    pub driver: String,
    /// Multiprocessors.
    pub multiprocessors: Fact<u32>,
    /// Highest clock of the multiprocessors, MHz.
    pub clock_mhz: Fact<f64>,
    /// Highest clock of the memory, MHz.
    pub memory_clock_mhz: Fact<f64>,
    /// Width of the memory bus, bits.
    pub bus_width_bits: Fact<u32>,
    /// Memory that a multiprocessor divides between first-level cache and shared memory, bytes.
    pub l1_bytes: Fact<u64>,
    /// Second-level cache, bytes.
    pub l2_bytes: Fact<u64>,
    /// Memory, bytes.
    pub memory_bytes: Fact<u64>,
    /// Two transfers a cycle of the memory's clock over the whole bus, GB/s.
    pub peak_gbps: Fact<f64>,
}

/// One kind of copy, whose result was compared with what was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuCopy {
    /// `host to device`, `device to host`, `both ways`, `device to device` (within the card), or `to cuda:N` and `from cuda:N`, another card.
    pub way: String,
    /// The host's memory: `pinned`, `pageable`, or `none`; `the driver's` where cards can't reach each other.
    pub host: String,
    /// Bytes of one copy.
    pub bytes: u64,
    /// Copies of a sample, one behind the other; for both ways in each direction.
    pub copies: u32,
    /// GB/s: median. Both ways: of the two together; within the card a byte counts twice, read and written.
    pub gbps: f64,
    /// Its 95 percent interval.
    pub interval_gbps: (f64, f64),
    /// `events` behind a kernel that held the card back, or the `host`'s clock.
    pub clock: String,
    /// Nanoseconds a sample.
    pub samples_ns: Vec<f64>,
}

/// One kernel over one working set, whose result was compared with what it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuStream {
    /// `read`, `write`, `copy` or `triad`.
    pub kernel: String,
    /// Bytes of all its arrays, each of which a pass reads or writes once.
    pub bytes: u64,
    /// Passes of a sample, a launch each.
    pub passes: u32,
    /// GB/s: median.
    pub gbps: f64,
    /// Its 95 percent interval.
    pub interval_gbps: (f64, f64),
    /// Nanoseconds a sample.
    pub samples_ns: Vec<f64>,
}

/// What a launch costs, one way of launching.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuLaunch {
    /// In words, such as `one launch and a wait for it`.
    pub what: String,
    /// Nanoseconds a launch: median.
    pub ns: f64,
    /// Its 95 percent interval.
    pub interval_ns: (f64, f64),
    /// Nanoseconds a launch, one a sample.
    pub samples_ns: Vec<f64>,
}
