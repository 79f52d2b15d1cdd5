//! Tables of a probe.

use crate::measure::{Bandwidth, Bus, Cores, Fact, Latency, MemoryDevice, Probe, Roofline, Topology};
use crate::report::format::{bytes, fixed, nanoseconds, number};
use crate::report::sections::{Column, Layout, Table};

/// Every table that there are figures for.
pub fn all(found: &Probe) -> Vec<Table> {
    let mut tables = Vec::new();
    tables.extend(found.latency.value.as_ref().map(levels));
    tables.push(topology(&found.topology));
    if found.gpu.value.is_none() {
        tables.extend(bus(&found.bus));
    }
    tables.extend(found.cores.value.as_ref().map(cores));
    tables.extend(found.parallelism.value.as_ref().map(|rows| {
        let row =
            |row: &crate::measure::Chains| vec![row.chains.to_string(), nanoseconds(row.ns), fixed(row.in_flight, 1)];
        let head = vec![
            Column::number("chains"),
            Column::number("a load"),
            Column::number("in flight"),
        ];
        table(
            "Loads in flight, in DRAM",
            head,
            rows.iter().map(row).collect(),
            Layout::Card,
        )
    }));
    tables.extend(found.loaded.value.as_ref().map(|rows| {
        let row = |row: &crate::measure::Loaded| {
            vec![
                row.streams.to_string(),
                format!("{} %", fixed(100.0 * row.duty, 0)),
                fixed(row.gbps, 1),
                nanoseconds(row.ns),
            ]
        };
        let head = vec![
            Column::number("CPUs that read"),
            Column::number("of their time"),
            Column::number("GB/s"),
            Column::number("latency"),
        ];
        table("Latency under load", head, rows.iter().map(row).collect(), Layout::Card)
    }));
    tables.extend(found.nodes.value.as_ref().map(|pairs| {
        let row = |pair: &crate::measure::NodePair| {
            vec![
                pair.cpu_node.to_string(),
                pair.memory_node.to_string(),
                nanoseconds(pair.ns),
            ]
        };
        let head = vec![
            Column::number("node of the CPU"),
            Column::number("of the memory"),
            Column::number("latency"),
        ];
        table("NUMA", head, pairs.iter().map(row).collect(), Layout::Card)
    }));
    if let Some(found) = &found.roofline.value {
        tables.extend(roofline(found));
    }
    if let Some(found) = &found.bandwidth.value {
        tables.extend(bandwidth(found));
    }
    tables
}

pub(super) fn table(caption: &str, head: Vec<Column>, rows: Vec<Vec<String>>, layout: Layout) -> Table {
    Table {
        caption: caption.to_owned(),
        head,
        rows,
        wrong: Vec::new(),
        layout,
    }
}

pub(super) fn size(fact: &Fact<u64>) -> String {
    fact.map(|size| bytes(*size)).to_string()
}

pub(super) fn levels(found: &Latency) -> Table {
    let measured = |size: f64| bytes((size / 1024.0).round().max(1.0) as u64 * 1024);
    let row = |level: &crate::measure::Level| {
        let knee = level.found.value.as_ref();
        vec![
            format!("L{}", level.level),
            size(&level.claimed_bytes),
            knee.map_or_else(
                || format!("not found: {}", level.found.source),
                |knee| measured(knee.size),
            ),
            knee.map_or(String::new(), |knee| {
                format!("{} to {}", measured(knee.interval.0), measured(knee.interval.1))
            }),
            level
                .by_sweep
                .iter()
                .map(|size| measured(*size))
                .collect::<Vec<_>>()
                .join(", "),
            level.hit_ns.map(|ns| nanoseconds(*ns)).to_string(),
            level.verdict.clone(),
        ]
    };
    let head = vec![
        Column::text("cache"),
        Column::number("claimed"),
        Column::number("found"),
        Column::number("90 % interval"),
        Column::number("in each sweep"),
        Column::number("a load that hits"),
        Column::text("verdict"),
    ];
    table(
        "Caches, claimed and found",
        head,
        found.levels.iter().map(row).collect(),
        Layout::Wide,
    )
}

fn topology(found: &Topology) -> Table {
    let cpus: Vec<String> = found.cpus.iter().map(|cpu| cpu.cpu.to_string()).collect();
    let mut rows = vec![
        ("usable CPUs".to_owned(), cpus.join(", ")),
        ("CPUs online".to_owned(), found.online.to_string()),
        (
            "sockets, cores, nodes".to_owned(),
            format!("{}, {}, {}", found.sockets, found.cores, found.nodes),
        ),
        ("instruction sets".to_owned(), found.isas.join(", ")),
        ("pages".to_owned(), size(&found.page_bytes)),
        ("huge pages".to_owned(), found.huge_pages.to_string()),
        ("hypervisor".to_owned(), found.hypervisor.to_string()),
    ];
    for cache in &found.caches {
        let shared = cache.shared_by.map(Vec::len);
        rows.push((
            format!("L{} {}", cache.level, cache.kind),
            format!(
                "{} (CPUID: {}), line {}, ways {}, shared by {shared}",
                size(&cache.bytes),
                size(&cache.cpuid_bytes),
                cache.line_bytes,
                cache.ways
            ),
        ));
    }
    for tlb in found.tlbs.value.iter().flatten() {
        let (name, entries) = tlb.split_once(": ").unwrap_or((tlb, ""));
        rows.push((name.to_owned(), entries.to_owned()));
    }
    let rows = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
    table(
        "Topology, as claimed",
        vec![Column::text(""), Column::text("")],
        rows,
        Layout::Card,
    )
}

fn bus(found: &Bus) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut rows = vec![
        ("channels", found.channels.to_string(), found.channels.source.clone()),
        (
            "width, bits",
            found.width_bits.to_string(),
            found.width_bits.source.clone(),
        ),
        (
            "theoretical GB/s",
            found.peak_gbps.map(|gbps| fixed(*gbps, 1)).to_string(),
            found.peak_gbps.source.clone(),
        ),
        (
            "at least, bits",
            found.least_width_bits.to_string(),
            found.least_width_bits.source.clone(),
        ),
    ];
    rows.extend(found.notes.iter().map(|note| ("note", note.clone(), String::new())));
    let rows = rows.into_iter().map(|(name, value, source)| {
        // An unknown value has its reason already.
        let source = if value.contains(&source) { String::new() } else { source };
        vec![name.to_owned(), value, source]
    });
    let head = vec![
        Column::text("memory bus"),
        Column::text("value"),
        Column::text("source"),
    ];
    tables.push(table(
        "Memory bus, as the firmware claims it",
        head,
        rows.collect(),
        Layout::Card,
    ));
    if let Some(devices) = &found.devices.value {
        let head = [
            "locator",
            "bank",
            "kind",
            "size",
            "data bits",
            "total bits",
            "configured MT/s",
            "rated MT/s",
            "channel",
        ];
        let row = |device: &MemoryDevice| {
            vec![
                device.locator.clone(),
                device.bank.clone(),
                device.kind.clone(),
                match device.bytes.value {
                    Some(0) => "empty".to_owned(),
                    _ => size(&device.bytes),
                },
                device.data_bits.to_string(),
                device.total_bits.to_string(),
                device.configured_mts.to_string(),
                device.rated_mts.to_string(),
                device.channel.clone().unwrap_or_else(|| "not named".to_owned()),
            ]
        };
        tables.push(table(
            "Memory devices",
            head.map(Column::text).into(),
            devices.iter().map(row).collect(),
            Layout::Folded,
        ));
    }
    tables
}

/// A CPU a row and a column: the heat map in figures, median nanoseconds one way.
fn cores(found: &Cores) -> Table {
    let mut cpus: Vec<usize> = found.pairs.iter().flat_map(|pair| [pair.a, pair.b]).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let cell = |a: usize, b: usize| {
        let pair = found.pairs.iter().find(|pair| (pair.a, pair.b) == (a.min(b), a.max(b)));
        pair.map_or(String::new(), |pair| {
            let smt = if pair.smt { " (one core)" } else { "" };
            let modes = if pair.modes_ns.len() > 1 {
                format!(" {} modes", pair.modes_ns.len())
            } else {
                String::new()
            };
            format!(
                "{} (p10 {}){smt}{modes} {}",
                fixed(pair.ns, 1),
                fixed(pair.p10_ns, 1),
                heat(found, pair.ns)
            )
        })
    };
    let head = std::iter::once(Column::text("CPU")).chain(cpus.iter().map(|cpu| Column::number(&cpu.to_string())));
    let rows = cpus.iter().map(|&a| {
        std::iter::once(a.to_string())
            .chain(cpus.iter().map(|&b| cell(a, b)))
            .collect()
    });
    let left = match found.left_out {
        0 => String::new(),
        count => format!("; {count} pairs left out, the time was over"),
    };
    let layout = Layout::folded_if(cpus.len() > 12);
    table(
        &format!("Core to core, one way, ns{left}"),
        head.collect(),
        rows.collect(),
        layout,
    )
}

/// How far a value lies between the least and the most of the matrix, as a block of text.
fn heat(found: &Cores, ns: f64) -> char {
    const SHADES: [char; 4] = ['░', '▒', '▓', '█'];
    let (low, high) = found.pairs.iter().fold((f64::INFINITY, 0.0f64), |(low, high), pair| {
        (low.min(pair.ns), high.max(pair.ns))
    });
    let share = if high > low { (ns - low) / (high - low) } else { 0.0 };
    SHADES[((share * 4.0) as usize).min(3)]
}

fn bandwidth(found: &Bandwidth) -> Vec<Table> {
    let row = |row: &crate::measure::Stream| {
        vec![
            row.kernel.clone(),
            if row.non_temporal { "non-temporal" } else { "plain" }.to_owned(),
            row.threads.to_string(),
            bytes(row.bytes),
            fixed(row.gbps, 2),
            format!("{} to {}", fixed(row.interval_gbps.0, 2), fixed(row.interval_gbps.1, 2)),
            fixed(row.with_allocation_gbps, 2),
            format!(
                "{}{}",
                row.samples_ns.len(),
                if row.disturbed { ", disturbed" } else { "" }
            ),
        ]
    };
    let head = vec![
        Column::text("kernel"),
        Column::text("stores"),
        Column::number("threads"),
        Column::number("bytes a thread"),
        Column::number("GB/s, STREAM's bytes"),
        Column::number("95 % interval"),
        Column::number("GB/s with allocation"),
        Column::number("slices"),
    ];
    let all = table(
        "Bandwidth, every kernel",
        head,
        found.streams.iter().map(row).collect(),
        Layout::Folded,
    );
    let row = |row: &crate::measure::Allocation| {
        vec![
            row.kernel.clone(),
            row.threads.to_string(),
            format!(
                "{} ({} to {})",
                fixed(row.ratio, 2),
                fixed(row.interval.0, 2),
                fixed(row.interval.1, 2)
            ),
            fixed(row.if_allocated, 2),
        ]
    };
    let head = vec![
        Column::text("kernel"),
        Column::number("threads"),
        Column::number("plain time / non-temporal time"),
        Column::number("if lines are read first and bytes are all"),
    ];
    let allocation = table(
        "Does a store read its line first? In DRAM",
        head,
        found.allocation.iter().map(row).collect(),
        Layout::Card,
    );
    let mut tables = vec![all];
    if !found.allocation.is_empty() {
        tables.insert(0, allocation);
    }
    tables
}

fn roofline(found: &Roofline) -> Vec<Table> {
    let row = |kernel: &crate::measure::Placed| {
        vec![
            kernel.kernel.clone(),
            number(kernel.intensity),
            fixed(kernel.gflops, 2),
            bytes(kernel.bytes),
            kernel.bound_by.clone(),
            format!("{} %", fixed(kernel.percent_of_roof, 0)),
        ]
    };
    let head = vec![
        Column::text("kernel, one thread"),
        Column::number("flop/byte"),
        Column::number("GFLOP/s"),
        Column::number("operands"),
        Column::text("bound by"),
        Column::number("of it"),
    ];
    let kernels = table(
        "Kernels under their roofs",
        head,
        found.kernels.iter().map(row).collect(),
        Layout::Wide,
    );
    let peaks = found.peaks.iter().map(|peak| {
        vec![
            format!("FMA peak, {}, {}", peak.isa, peak.element),
            peak.threads.to_string(),
            format!("{} GFLOP/s", fixed(peak.gflops, 1)),
            format!("the fastest of {}", peak.samples.len()),
        ]
    });
    let roofs = found.roofs.iter().map(|roof| {
        vec![
            roof.level.clone(),
            roof.threads.to_string(),
            format!("{} GB/s", fixed(roof.gbps, 1)),
            roof.source.clone(),
        ]
    });
    let head = vec![
        Column::text("roof"),
        Column::number("threads"),
        Column::number("height"),
        Column::text("from"),
    ];
    vec![
        kernels,
        table("Roofs", head, peaks.chain(roofs).collect(), Layout::Card),
    ]
}
