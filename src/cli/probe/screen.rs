//! A probe on a terminal: a few lines a stage.

use super::card;
use crate::measure::{Bandwidth, Bus, Cores, Fact, Latency, Probe, Roofline, Stream, Table, Topology, binary_bytes};
use crate::probe::Stage;

/// What a stage found.
pub fn stage(stage: Stage, found: &Probe) -> String {
    let text = match stage {
        Stage::Topology => topology(&found.topology),
        Stage::Bus => bus(&found.bus),
        Stage::Latency => told(&found.latency, "latency", latency),
        Stage::Tlb => told(&found.tlb, "TLB", |curve| {
            let knees = curve.knees.iter().map(|knee| {
                let (low, high) = knee.interval;
                format!(
                    "{:.0} pages ({low:.0} .. {high:.0}), +{:.1} ns",
                    knee.size,
                    knee.after_ns - knee.before_ns
                )
            });
            let knees: Vec<String> = knees.collect();
            let text = if knees.is_empty() {
                "no knee".to_owned()
            } else {
                knees.join("; ")
            };
            format!("TLB, 4 KiB pages: {text}\n")
        }),
        Stage::Parallelism => told(&found.parallelism, "loads in flight", |rows| {
            let mut table = Table::new(&["chains", "ns a load", "in flight"]);
            for row in rows {
                table.row(vec![
                    row.chains.to_string(),
                    format!("{:.2}", row.ns),
                    format!("{:.1}", row.in_flight),
                ]);
            }
            table.render()
        }),
        Stage::Loaded => told(&found.loaded, "latency under load", |rows| {
            let mut table = Table::new(&["CPUs that read", "of their time", "GB/s", "latency"]);
            for row in rows {
                let share = format!("{:.0} %", 100.0 * row.duty);
                table.row(vec![
                    row.streams.to_string(),
                    share,
                    format!("{:.1}", row.gbps),
                    format!("{:.1} ns", row.ns),
                ]);
            }
            table.render()
        }),
        Stage::Cores => told(&found.cores, "core to core", cores),
        Stage::Nodes => told(&found.nodes, "NUMA", |pairs| {
            let lines = pairs.iter().map(|pair| {
                format!(
                    "CPU of node {}, memory of node {}: {:.1} ns\n",
                    pair.cpu_node, pair.memory_node, pair.ns
                )
            });
            lines.collect()
        }),
        Stage::Bandwidth => told(&found.bandwidth, "bandwidth", bandwidth),
        Stage::Roofline => told(&found.roofline, "roofline", roofline),
        Stage::Card | Stage::Copies | Stage::Streams | Stage::Launches | Stage::Chase => {
            told(&found.gpu, "card", |gpu| card::stage(stage, gpu))
        }
    };
    text + "\n"
}

/// What stands behind all stages.
pub fn closing(found: &Probe) -> String {
    let ghz = |ghz: &Fact<f64>| ghz.map(|ghz| format!("{ghz:.2} GHz"));
    let mut text = match &found.gpu.value {
        Some(gpu) => format!(
            "clock of the card: {} ({})\n",
            ghz(&gpu.clock_ghz),
            gpu.clock_ghz.source
        ),
        None => format!(
            "GPU: {}\nclock while measuring: {}\n",
            found.gpu.source,
            ghz(&found.clock_ghz)
        ),
    };
    if found.bus.least_width_bits.value.is_some() {
        text += &format!(
            "memory bus: at least {} bits ({})\n",
            found.bus.least_width_bits, found.bus.least_width_bits.source
        );
    }
    for note in &found.notes {
        text += &format!("note: {note}\n");
    }
    let grade = &found.grade;
    text += &format!("grade of this run: {}", grade.grade);
    if !grade.reasons.is_empty() {
        text += &format!(" ({})", grade.reasons.join("; "));
    }
    text + "\n"
}

/// Stages of a card that were to run and could not, with their reasons: there a call of the driver failed, or a result was wrong.
pub fn failures(found: &Probe, stages: &[Stage]) -> Vec<String> {
    let Some(gpu) = &found.gpu.value else {
        return Vec::new();
    };
    let facts = [
        (Stage::Copies, gpu.copies.value.is_some(), &gpu.copies.source),
        (Stage::Streams, gpu.streams.value.is_some(), &gpu.streams.source),
        (Stage::Launches, gpu.launches.value.is_some(), &gpu.launches.source),
        (Stage::Chase, gpu.latency.value.is_some(), &gpu.latency.source),
    ];
    let failed = facts
        .into_iter()
        .filter(|(stage, known, _)| stages.contains(stage) && !known);
    failed
        .map(|(stage, _, why)| format!("{}: {why}", stage.name()))
        .collect()
}

pub(super) fn told<T>(fact: &Fact<T>, name: &str, show: impl FnOnce(&T) -> String) -> String {
    match &fact.value {
        Some(value) => show(value),
        None => format!("{name}: unknown: {}\n", fact.source),
    }
}

pub(super) fn size(fact: &Fact<u64>) -> String {
    fact.map(|bytes| binary_bytes(*bytes)).to_string()
}

fn topology(found: &Topology) -> String {
    let cpus: Vec<String> = found.cpus.iter().map(|cpu| cpu.cpu.to_string()).collect();
    let mut text = format!("usable CPUs: {} of {} online", cpus.join(","), found.online);
    text += &format!(
        "; sockets {}, cores {}, NUMA nodes {}\n",
        found.sockets, found.cores, found.nodes
    );
    text += &format!("instruction sets: {}\n", found.isas.join(" "));
    for cache in &found.caches {
        text += &format!(
            "L{} {}: {}, line {}, ways {}",
            cache.level,
            cache.kind,
            size(&cache.bytes),
            cache.line_bytes,
            cache.ways
        );
        text += &format!(", shared by {} CPUs", cache.shared_by.map(Vec::len));
        if cache.cpuid_bytes.value.is_some() && cache.cpuid_bytes.value != cache.bytes.value {
            text += &format!(" (CPUID says {})", size(&cache.cpuid_bytes));
        }
        text.push('\n');
    }
    for tlb in found.tlbs.value.iter().flatten() {
        text += &format!("{tlb}\n");
    }
    text += &format!("pages: {}, huge pages: {}\n", size(&found.page_bytes), found.huge_pages);
    text += &format!("hypervisor: {}\n", found.hypervisor);
    if found.pinning.value != Some(true) {
        text += &format!("pinning: {}\n", found.pinning.source);
    }
    text
}

fn bus(found: &Bus) -> String {
    let Some(devices) = &found.devices.value else {
        return format!("memory bus: unknown: {}\n", found.devices.source);
    };
    let mut table = Table::new(&[
        "memory device",
        "bank",
        "kind",
        "size",
        "data bits",
        "total",
        "configured",
        "rated",
        "channel",
    ]);
    for device in devices {
        let mts = |speed: &Fact<u32>| speed.value.map_or("?".to_owned(), |mts| format!("{mts} MT/s"));
        let bits = |bits: &Fact<u32>| bits.value.map_or("?".to_owned(), |bits| bits.to_string());
        table.row(vec![
            device.locator.clone(),
            device.bank.clone(),
            device.kind.clone(),
            match device.bytes.value {
                Some(0) => "empty".to_owned(),
                Some(bytes) => binary_bytes(bytes),
                None => "?".to_owned(),
            },
            bits(&device.data_bits),
            bits(&device.total_bits),
            mts(&device.configured_mts),
            mts(&device.rated_mts),
            device.channel.clone().unwrap_or_else(|| "?".to_owned()),
        ]);
    }
    let mut text = table.render();
    text += &format!("channels: {} ({})\n", found.channels, found.channels.source);
    text += &format!("width: {} bits\n", found.width_bits);
    text += &format!(
        "theoretical bandwidth: {}\n",
        found.peak_gbps.map(|gbps| format!("{gbps:.1} GB/s"))
    );
    found.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}

pub(super) fn latency(found: &Latency) -> String {
    let mut table = Table::new(&["cache", "claimed", "found", "90 % interval", "load that hits", ""]);
    for level in &found.levels {
        let knee = level.found.value.as_ref();
        table.row(vec![
            format!("L{}", level.level),
            level.claimed_bytes.value.map_or("?".to_owned(), binary_bytes),
            knee.map_or("-".to_owned(), |knee| rounded(knee.size)),
            knee.map_or("-".to_owned(), |knee| {
                format!("{} .. {}", rounded(knee.interval.0), rounded(knee.interval.1))
            }),
            level.hit_ns.value.map_or("-".to_owned(), |ns| format!("{ns:.2} ns")),
            level.verdict.clone(),
        ]);
    }
    let mut text = table.render();
    for curve in &found.curves {
        let huge = curve.huge_bytes.value.filter(|&bytes| bytes > 0);
        text += &format!("{}: ", curve.title);
        text += &match (&curve.plateau_ns.value, curve.points.last()) {
            (Some(ns), Some(last)) => format!("{ns:.1} ns at {}", binary_bytes(last.size)),
            (None, Some(last)) => format!(
                "{:.1} ns at {} ({})",
                last.ns,
                binary_bytes(last.size),
                curve.plateau_ns.source
            ),
            _ => "nothing was measured".to_owned(),
        };
        text += &huge.map_or(String::new(), |bytes| {
            format!("; {} on 2 MiB pages", binary_bytes(bytes))
        });
        text.push('\n');
    }
    text
}

/// A measured size, to two figures.
fn rounded(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        bytes => format!("{:.2} MiB", bytes / 1024.0 / 1024.0),
    }
}

fn cores(found: &Cores) -> String {
    let mut table = Table::new(&["core to core", "median", "p10", "modes", ""]);
    for pair in &found.pairs {
        let modes: Vec<String> = pair.modes_ns.iter().map(|ns| format!("{ns:.0}")).collect();
        table.row(vec![
            format!("{} - {}", pair.a, pair.b),
            format!("{:.1} ns", pair.ns),
            format!("{:.1} ns", pair.p10_ns),
            modes.join(" "),
            if pair.smt { "one core" } else { "" }.to_owned(),
        ]);
    }
    let mut text = table.render();
    if found.left_out > 0 {
        text += &format!("{} pairs were left out: the time was over\n", found.left_out);
    }
    text
}

fn bandwidth(found: &Bandwidth) -> String {
    let mut counts: Vec<usize> = found.streams.iter().map(|row| row.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut text = String::new();
    for &threads in &counts {
        let mut kernels: Vec<(&str, bool)> = Vec::new();
        let rows: Vec<&Stream> = found.streams.iter().filter(|row| row.threads == threads).collect();
        let mut sizes: Vec<u64> = rows.iter().map(|row| row.bytes).collect();
        sizes.dedup();
        for row in &rows {
            if !kernels.contains(&(row.kernel.as_str(), row.non_temporal)) {
                kernels.push((&row.kernel, row.non_temporal));
            }
        }
        let heads: Vec<String> = sizes.iter().map(|&bytes| binary_bytes(bytes)).collect();
        let mut headings = vec!["GB/s, STREAM's bytes"];
        headings.extend(heads.iter().map(String::as_str));
        let mut table = Table::new(&headings);
        for (kernel, non_temporal) in kernels {
            let mut cells = vec![if non_temporal {
                format!("{kernel}, non-temporal")
            } else {
                kernel.to_owned()
            }];
            for &bytes in &sizes {
                let row = rows
                    .iter()
                    .find(|row| row.kernel == kernel && row.non_temporal == non_temporal && row.bytes == bytes);
                cells.push(row.map_or("-".to_owned(), |row| {
                    format!("{:.1}{}", row.gbps, if row.disturbed { "~" } else { "" })
                }));
            }
            table.row(cells);
        }
        text += &format!(
            "{threads} thread{}, {} kernels\n{}",
            if threads == 1 { "" } else { "s" },
            found.isa,
            table.render()
        );
    }
    if found.streams.iter().any(|row| row.disturbed) {
        text += "~ fewer than three slices were left undisturbed\n";
    }
    for row in &found.allocation {
        let (low, high) = row.interval;
        text += &format!(
            "{}, {} threads in DRAM: plain stores take {:.2} times ({low:.2} .. {high:.2}) the time of non-temporal ones; {:.2} if lines were read first and bytes were all\n",
            row.kernel, row.threads, row.ratio, row.if_allocated
        );
    }
    text
}

fn roofline(found: &Roofline) -> String {
    let mut table = Table::new(&["FMA peak", "element", "threads", "GFLOP/s"]);
    for peak in &found.peaks {
        table.row(vec![
            peak.isa.clone(),
            peak.element.clone(),
            peak.threads.to_string(),
            format!("{:.1}", peak.gflops),
        ]);
    }
    let mut text = table.render();
    let mut table = Table::new(&["roof", "threads", "GB/s", "from"]);
    for roof in &found.roofs {
        table.row(vec![
            roof.level.clone(),
            roof.threads.to_string(),
            format!("{:.1}", roof.gbps),
            roof.source.clone(),
        ]);
    }
    text += &table.render();
    let mut table = Table::new(&["kernel, one thread", "flop/byte", "GFLOP/s", "of its roof", "bound by"]);
    for kernel in &found.kernels {
        table.row(vec![
            kernel.kernel.clone(),
            format!("{:.2}", kernel.intensity),
            format!("{:.2}", kernel.gflops),
            format!("{:.0} %", kernel.percent_of_roof),
            kernel.bound_by.clone(),
        ]);
    }
    text + &table.render()
}
