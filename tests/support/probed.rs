//! A probe, made up: three curves, six kernels, two CPUs.

use tilelab::measure::*;

fn unknown<T>(why: &str) -> Fact<T> {
    Fact::unknown(why)
}

fn knee(size: f64, before_ns: f64, after_ns: f64) -> Knee {
    Knee {
        size,
        interval: (0.9 * size, 1.1 * size),
        before_ns,
        after_ns,
    }
}

fn curve(name: &str, title: &str, slower: f64) -> Curve {
    let sizes = (0..10).map(|step| 1024u64 << (2 * step));
    let ns = |size: u64| {
        if size <= 32 << 10 {
            1.1
        } else if size <= 1 << 20 {
            4.2 * slower
        } else {
            90.0 * slower
        }
    };
    Curve {
        name: name.to_owned(),
        title: title.to_owned(),
        stride_bytes: 64,
        huge_bytes: Fact::known(256 << 20, "AnonHugePages in smaps"),
        visits: sizes
            .clone()
            .map(|size| Visit {
                size,
                sweep: 0,
                at_s: 1.0,
                ns: vec![ns(size); 3],
                dropped: 0,
            })
            .collect(),
        points: sizes
            .map(|size| CurvePoint {
                size,
                ns: ns(size),
                interval_ns: (0.98 * ns(size), 1.02 * ns(size)),
            })
            .collect(),
        knees: vec![knee(32768.0, 1.1, 4.2), knee(1e6, 4.2, 90.0)],
        plateau_ns: Fact::known(90.0 * slower, "the last octave is flat"),
    }
}

fn level(level: u32, claimed: u64, found: Option<f64>, verdict: &str) -> Level {
    Level {
        level,
        claimed_bytes: Fact::known(claimed, "sysfs"),
        found: Fact::of(
            found.map(|size| knee(size, 1.1, 4.2)),
            "pages-2m",
            "the curve has no knee near it",
        ),
        by_sweep: found.into_iter().collect(),
        hit_ns: Fact::known(f64::from(level), "pages-2m"),
        verdict: verdict.to_owned(),
    }
}

fn bandwidth() -> Bandwidth {
    let kernels = [
        ("read", false),
        ("write", false),
        ("copy", false),
        ("copy", true),
        ("triad", false),
        ("triad", true),
    ];
    let rows = kernels.iter().zip(1..).flat_map(|(&(kernel, non_temporal), number)| {
        (0..5).map(move |step| {
            let gbps = f64::from(100 - 7 * number) / f64::from(1 + step);
            Stream {
                kernel: kernel.to_owned(),
                non_temporal,
                threads: 1,
                bytes: 12288 << (3 * step),
                gbps,
                interval_gbps: (0.97 * gbps, 1.03 * gbps),
                with_allocation_gbps: 1.5 * gbps,
                disturbed: false,
                samples_ns: vec![1e6; 5],
                slice_bytes: 1 << 20,
            }
        })
    });
    Bandwidth {
        isa: "avx2".to_owned(),
        streams: rows.collect(),
        allocation: vec![Allocation {
            kernel: "copy".to_owned(),
            threads: 1,
            ratio: 1.46,
            interval: (1.43, 1.49),
            if_allocated: 1.5,
        }],
        dram_array_bytes: 128 << 20,
    }
}

fn roofline() -> Roofline {
    let placed = |kernel: &str, intensity, gflops, bound_by: &str| Placed {
        kernel: kernel.to_owned(),
        intensity,
        gflops,
        bytes: 1 << 20,
        bound_by: bound_by.to_owned(),
        percent_of_roof: 88.0,
        samples_ns: vec![1e6; 5],
    };
    let roof = |level: &str, gbps| Roof {
        level: level.to_owned(),
        threads: 1,
        gbps,
        source: "copy over 12288 bytes a thread".to_owned(),
    };
    Roofline {
        peaks: vec![Peak {
            isa: "avx2".to_owned(),
            element: "f32".to_owned(),
            threads: 1,
            gflops: 118.0,
            samples: vec![117.0, 118.0],
        }],
        roofs: vec![roof("L1", 250.0), roof("L2", 110.0), roof("DRAM", 20.0)],
        kernels: vec![
            placed("gemm, 1024x1024x1024", 170.0, 104.0, "FMA peak"),
            placed("sgd, 16384x1024", 0.25, 4.4, "DRAM bandwidth"),
        ],
    }
}

/// A whole probe of a made-up machine.
pub fn probe() -> Probe {
    let cpu = |cpu: usize| Cpu {
        cpu,
        core: Some(cpu),
        package: Some(0),
        node: Some(0),
        siblings: vec![],
    };
    let why = "only root may read it";
    Probe {
        topology: Topology {
            cpus: vec![cpu(0), cpu(1)],
            online: Fact::known(2, "sysfs"),
            sockets: Fact::known(1, "sysfs"),
            cores: Fact::known(2, "sysfs"),
            nodes: Fact::known(1, "sysfs"),
            caches: vec![ClaimedCache {
                level: 1,
                kind: "data".to_owned(),
                bytes: Fact::known(32 << 10, "sysfs"),
                line_bytes: Fact::known(64, "sysfs"),
                ways: unknown("sysfs says \"-1\""),
                shared_by: Fact::known(vec![0], "sysfs"),
                cpuid_bytes: Fact::known(32 << 10, "CPUID"),
            }],
            tlbs: Fact::known(vec!["L1 data TLB, 4 KiB pages: 72 entries".to_owned()], "CPUID"),
            page_bytes: Fact::known(4096, "smaps"),
            huge_pages: Fact::known("madvise".to_owned(), "sysfs"),
            isas: vec!["avx2".to_owned(), "fma".to_owned()],
            hypervisor: Fact::known("KVM".to_owned(), "CPUID"),
            pinning: Fact::known(true, "getcpu"),
        },
        bus: Bus {
            devices: unknown(why),
            channels: unknown(why),
            width_bits: unknown(why),
            peak_gbps: unknown(why),
            least_width_bits: Fact::known(50, "20.0 GB/s measured, at the 3200 MT/s given"),
            notes: vec![],
        },
        gpu: unknown("no CUDA driver found"),
        clock_ghz: Fact::known(3.7, "a chain of additions"),
        grade: Grade {
            grade: "fair".to_owned(),
            reasons: vec!["the load average was 1.9 before it began".to_owned()],
            steal: Fact::known(0.0, "/proc/stat"),
            load_before: Fact::known(1.9, "/proc/loadavg"),
            load_after: Fact::known(1.5, "/proc/loadavg"),
            slices_dropped: 0.01,
        },
        latency: Fact::known(
            Latency {
                curves: vec![
                    curve("tlb-reach", "within TLB reach", 1.0),
                    curve("pages-4k", "random, 4 KiB pages", 2.0),
                    curve("pages-2m", "random, 2 MiB pages", 1.4),
                ],
                levels: vec![
                    level(1, 32 << 10, Some(32768.0), "as claimed, within a factor of two"),
                    level(2, 1 << 20, Some(1e6), "as claimed, within a factor of two"),
                    level(3, 32 << 20, None, "not seen: no rise in the curve is its end"),
                ],
            },
            "chases on one pinned thread",
        ),
        tlb: Fact::known(tlb(), "chases"),
        parallelism: Fact::known(
            vec![Chains {
                chains: 1,
                ns: 90.0,
                in_flight: 1.0,
                samples: vec![90.0; 3],
            }],
            "chases",
        ),
        loaded: unknown("this process may use one CPU; a load needs another"),
        cores: Fact::known(
            Cores {
                pairs: vec![CorePair {
                    a: 0,
                    b: 1,
                    smt: false,
                    ns: 32.0,
                    p10_ns: 31.5,
                    modes_ns: vec![32.0, 160.0],
                    samples: vec![32.0; 3],
                }],
                left_out: 0,
            },
            "threads",
        ),
        nodes: unknown("one node: there is nothing to compare"),
        bandwidth: Fact::known(bandwidth(), "threads"),
        roofline: Fact::known(roofline(), "kernels"),
        notes: vec![],
    }
}

/// Its sizes are pages.
fn tlb() -> Curve {
    let mut curve = curve("tlb", "one line a page", 1.0);
    curve.points.iter_mut().for_each(|point| point.size /= 1024);
    curve.knees = vec![knee(64.0, 1.1, 4.2), knee(2048.0, 4.2, 90.0)];
    curve
}
