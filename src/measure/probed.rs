//! What `tilelab probe` found: the memory system as claimed and as measured. Every value that may be missing is a
//! [`Fact`]; every curve keeps its raw samples.

use serde::{Deserialize, Serialize};

use super::{Fact, GpuProbe};

/// A probe's findings. A stage that was not run, or not finished, is a [`Fact`] without a value that says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// CPUs, caches, pages, as the system claims them.
    pub topology: Topology,
    /// Width and speed of the memory bus, as the firmware claims them.
    pub bus: Bus,
    /// A card, where one was probed; the stages of the CPU then have no values.
    pub gpu: Fact<GpuProbe>,
    /// Core clock while the probe ran, GHz.
    pub clock_ghz: Fact<f64>,
    /// How far the run can be trusted.
    pub grade: Grade,
    /// Latency by working set, and the caches found in it.
    pub latency: Fact<Latency>,
    /// One line a page: the reach of the TLBs.
    pub tlb: Fact<Curve>,
    /// Several chains at once, in DRAM.
    pub parallelism: Fact<Vec<Chains>>,
    /// Latency beside other CPUs that stream.
    pub loaded: Fact<Vec<Loaded>>,
    /// A cache line handed from CPU to CPU.
    pub cores: Fact<Cores>,
    /// Latency from a node's CPU to a node's memory.
    pub nodes: Fact<Vec<NodePair>>,
    /// Bandwidth by kernel, working set and threads.
    pub bandwidth: Fact<Bandwidth>,
    /// Compute peak, roofs, and the kernels under them.
    pub roofline: Fact<Roofline>,
    /// What a reader must know beside it.
    pub notes: Vec<String>,
}

/// CPUs, caches and pages as the system claims them; only CPUs that the process may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// CPUs that this process may use, ascending.
    pub cpus: Vec<Cpu>,
    /// CPUs that the system has online.
    pub online: Fact<usize>,
    /// Sockets among the usable CPUs.
    pub sockets: Fact<usize>,
    /// Physical cores among the usable CPUs.
    pub cores: Fact<usize>,
    /// NUMA nodes among the usable CPUs.
    pub nodes: Fact<usize>,
    /// Data and unified caches of the first usable CPU, from the first level up.
    pub caches: Vec<ClaimedCache>,
    /// Data TLBs as CPUID claims them, such as `L1 data TLB, 4 KiB pages: 72 entries`.
    pub tlbs: Fact<Vec<String>>,
    /// Bytes of a page.
    pub page_bytes: Fact<u64>,
    /// Whether a process may have transparent huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Fact<String>,
    /// Instruction sets that matter here.
    pub isas: Vec<String>,
    /// Hypervisor's name; `none` on bare metal.
    pub hypervisor: Fact<String>,
    /// Whether a thread that was pinned to each CPU ran there, asked with getcpu.
    pub pinning: Fact<bool>,
}

/// One usable CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its number.
    pub cpu: usize,
    /// Number of its core within the package, if told.
    pub core: Option<usize>,
    /// Its socket, if told.
    pub package: Option<usize>,
    /// Its NUMA node, if told.
    pub node: Option<usize>,
    /// Usable CPUs of the same core, without itself.
    pub siblings: Vec<usize>,
}

/// One cache as claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimedCache {
    /// 1, 2, 3 ...
    pub level: u32,
    /// `data` or `unified`.
    pub kind: String,
    /// Size in bytes.
    pub bytes: Fact<u64>,
    /// Bytes of a line.
    pub line_bytes: Fact<u32>,
    /// Ways of associativity.
    pub ways: Fact<u32>,
    /// CPUs that share it, usable or not.
    pub shared_by: Fact<Vec<usize>>,
    /// Size that CPUID claims, beside sysfs.
    pub cpuid_bytes: Fact<u64>,
}

/// Memory bus as the firmware's tables (SMBIOS type 17) claim it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bus {
    /// Memory devices, one a socket, filled or empty.
    pub devices: Fact<Vec<MemoryDevice>>,
    /// Channels, inferred from the locators' text: never more than that.
    pub channels: Fact<usize>,
    /// Data width of all filled channels, bits.
    pub width_bits: Fact<u64>,
    /// Width times configured speed, GB/s.
    pub peak_gbps: Fact<f64>,
    /// The least width that the measured bandwidth needs at the speed given with `--dram`, bits.
    pub least_width_bits: Fact<u64>,
    /// What was odd in the tables.
    pub notes: Vec<String>,
}

/// One socket for memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryDevice {
    /// Text printed on the board, such as `DIMM_A1`.
    pub locator: String,
    /// Text of the bank, such as `P0 CHANNEL A`.
    pub bank: String,
    /// Kind of memory, such as `DDR5`.
    pub kind: String,
    /// Size in bytes; 0 if the socket is empty.
    pub bytes: Fact<u64>,
    /// Data Width: bits that carry data.
    pub data_bits: Fact<u32>,
    /// Total Width: with ECC's bits.
    pub total_bits: Fact<u32>,
    /// Speed that it was configured to, MT/s.
    pub configured_mts: Fact<u32>,
    /// Speed on its nameplate, MT/s.
    pub rated_mts: Fact<u32>,
    /// Channel read from the locators' text, if it names one.
    pub channel: Option<String>,
}

/// How far a run can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// `good`, `fair` or `poor`.
    pub grade: String,
    /// Why it is not better.
    pub reasons: Vec<String>,
    /// Share that the hypervisor took of the CPU time wanted, 0 to 1.
    pub steal: Fact<f64>,
    /// One-minute load average before the first stage.
    pub load_before: Fact<f64>,
    /// And behind the last.
    pub load_after: Fact<f64>,
    /// Share of timed slices that were dropped because another thread got the CPU meanwhile.
    pub slices_dropped: f64,
}

/// Latency by working set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Three kinds of page walk, [`Curve::name`] `tlb-reach`, `pages-4k` and `pages-2m`, and strides.
    pub curves: Vec<Curve>,
    /// Claimed caches beside those found.
    pub levels: Vec<Level>,
}

/// Time of a dependent load by size of the working set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Id, such as `pages-4k`.
    pub name: String,
    /// What it is, in words.
    pub title: String,
    /// Distance of the lines visited, bytes.
    pub stride_bytes: u64,
    /// Bytes of the buffer on 2 MiB pages, counted in smaps.
    pub huge_bytes: Fact<u64>,
    /// Every visit of a size, in the order of time.
    pub visits: Vec<Visit>,
    /// Summary by size.
    pub points: Vec<CurvePoint>,
    /// Where it bends, ascending.
    pub knees: Vec<Knee>,
    /// Nanoseconds of the last octaves, if they are flat.
    pub plateau_ns: Fact<f64>,
}

/// One visit of a size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// Working set, bytes (for the TLB: pages).
    pub size: u64,
    /// Sweep that it belongs to, from 0.
    pub sweep: u32,
    /// When, seconds after the record's start.
    pub at_s: f64,
    /// Nanoseconds a load, one a slice.
    pub ns: Vec<f64>,
    /// Slices dropped for a context switch.
    pub dropped: u32,
}

/// Summary of one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Working set, bytes (for the TLB: pages).
    pub size: u64,
    /// Median over the slices.
    pub ns: f64,
    /// Its 95 percent interval.
    pub interval_ns: (f64, f64),
}

/// A change point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// Size at which latency begins to rise.
    pub size: f64,
    /// Its 90 percent interval (bootstrap over the slices).
    pub interval: (f64, f64),
    /// Latency below it, ns.
    pub before_ns: f64,
    /// Latency that it rises to, ns.
    pub after_ns: f64,
}

/// A claimed cache beside the one found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// 1, 2, 3 ...
    pub level: u32,
    /// Bytes claimed.
    pub claimed_bytes: Fact<u64>,
    /// The knee found, if any.
    pub found: Fact<Knee>,
    /// Its size in each sweep by itself, where one was found.
    pub by_sweep: Vec<f64>,
    /// Latency of a load that hits it, ns.
    pub hit_ns: Fact<f64>,
    /// Both compared, in words.
    pub verdict: String,
}

/// Chains at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chains {
    /// How many.
    pub chains: u32,
    /// Nanoseconds a load, over all chains: median.
    pub ns: f64,
    /// How many loads were in flight: one chain's time over this.
    pub in_flight: f64,
    /// Nanoseconds a load, one a slice.
    pub samples: Vec<f64>,
}

/// Latency beside a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// CPUs that stream.
    pub streams: usize,
    /// Share of time that they stream, 0 to 1.
    pub duty: f64,
    /// What they read, GB/s.
    pub gbps: f64,
    /// Median latency beside them, ns.
    pub ns: f64,
    /// Nanoseconds a load, one a slice.
    pub samples: Vec<f64>,
}

/// Core-to-core matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cores {
    /// Pairs measured.
    pub pairs: Vec<CorePair>,
    /// Pairs that the time budget left out.
    pub left_out: usize,
}

/// One pair of CPUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorePair {
    /// One CPU.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// Threads of one core.
    pub smt: bool,
    /// One way, ns: median.
    pub ns: f64,
    /// The tenth percentile.
    pub p10_ns: f64,
    /// Centres of the modes, where samples fall into groups.
    pub modes_ns: Vec<f64>,
    /// One way, ns, one a batch.
    pub samples: Vec<f64>,
}

/// One pair of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodePair {
    /// Node of the CPU.
    pub cpu_node: usize,
    /// Node of the memory.
    pub memory_node: usize,
    /// Median latency, ns.
    pub ns: f64,
}

/// Bandwidth of streaming kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// ISA of the kernels.
    pub isa: String,
    /// One entry a kernel, size and number of threads.
    pub streams: Vec<Stream>,
    /// Plain stores' time over non-temporal stores' time in DRAM, by kernel: near 1.5 for copy, the allocation is real.
    pub allocation: Vec<Allocation>,
    /// Bytes of each array of the DRAM rows.
    pub dram_array_bytes: u64,
}

/// One kernel at one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// `read`, `write`, `copy`, `scale`, `add` or `triad`.
    pub kernel: String,
    /// Non-temporal stores.
    pub non_temporal: bool,
    /// Threads, each with arrays of its own.
    pub threads: usize,
    /// Bytes of all arrays of one thread.
    pub bytes: u64,
    /// GB/s as STREAM counts bytes: median.
    pub gbps: f64,
    /// Its 95 percent interval.
    pub interval_gbps: (f64, f64),
    /// GB/s with the lines that plain stores read first.
    pub with_allocation_gbps: f64,
    /// Fewer than three slices were left undisturbed: these are all of them, and no roof.
    pub disturbed: bool,
    /// Nanoseconds a slice.
    pub samples_ns: Vec<f64>,
    /// Bytes of a slice, as STREAM counts.
    pub slice_bytes: u64,
}

/// Whether stores read their lines first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Kernel.
    pub kernel: String,
    /// Threads.
    pub threads: usize,
    /// Time with plain stores over time with non-temporal ones: median of neighbouring slices.
    pub ratio: f64,
    /// Its 95 percent interval.
    pub interval: (f64, f64),
    /// What it would be if all that counted were bytes, allocation included.
    pub if_allocated: f64,
}

/// Peaks and what lies under them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// FMA peaks.
    pub peaks: Vec<Peak>,
    /// Bandwidth roofs, one a level.
    pub roofs: Vec<Roof>,
    /// Kernels of the suite.
    pub kernels: Vec<Placed>,
}

/// An FMA peak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// ISA id.
    pub isa: String,
    /// `f32` or `f64`.
    pub element: String,
    /// Threads.
    pub threads: usize,
    /// GFLOP/s: the fastest of the samples.
    pub gflops: f64,
    /// GFLOP/s, one a sample.
    pub samples: Vec<f64>,
}

/// A bandwidth roof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// `L1`, `L2`, `L3` or `DRAM`.
    pub level: String,
    /// Threads.
    pub threads: usize,
    /// GB/s of this run's plateau.
    pub gbps: f64,
    /// The kernel and working set that it comes from.
    pub source: String,
}

/// A kernel under the roofs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// Kernel id with its shape.
    pub kernel: String,
    /// Flops a byte of its operands, computed.
    pub intensity: f64,
    /// Measured GFLOP/s: median.
    pub gflops: f64,
    /// Bytes of its operands.
    pub bytes: u64,
    /// The roof that binds it.
    pub bound_by: String,
    /// Percent of that roof.
    pub percent_of_roof: f64,
    /// Nanoseconds a call, one a sample.
    pub samples_ns: Vec<f64>,
}
