//! A card's part of a probe: what is claimed, copies, streams, launches, latency.

use crate::measure::{Fact, GpuCard, GpuCopy, GpuLaunch, GpuProbe, GpuStream, Latency};
use crate::report::chart::{Chart, Join, Point, Rule, Series};
use crate::report::format::{bytes, fixed, nanoseconds};
use crate::report::sections::{Column, Headline, Layout, Table};

use super::charts::{EDGES, curves, drawable, edges, log};
use super::tables::{levels, size, table};

/// What a reader wants to know first.
pub fn verdict(gpu: &GpuProbe) -> Vec<String> {
    let mut parts = vec![format!("{} is {}", gpu.device, gpu.card.name)];
    if let Some(best) = best(gpu) {
        let share = gpu.card.peak_gbps.value.map(|peak| 100.0 * best.gbps / peak);
        let share = share.map_or(String::new(), |share| {
            format!(", {} % of what bus and clock allow", fixed(share, 0))
        });
        parts.push(format!(
            "its memory gives up to {} GB/s ({} over {}){share}",
            fixed(best.gbps, 1),
            best.kernel,
            bytes(best.bytes)
        ));
    }
    // The link's own speed: not through the driver's buffers, and not within the card.
    let all = gpu.copies.value.iter().flatten();
    let copies = all.filter(|row| row.host != "pageable" && row.way != "device to device");
    for row in copies {
        parts.push(format!("{}: {} GB/s", row.way, fixed(row.gbps, 1)));
    }
    parts
}

/// The fastest kernel over the largest working set.
fn best(gpu: &GpuProbe) -> Option<&GpuStream> {
    let rows = gpu.streams.value.as_ref()?;
    let largest = rows.iter().map(|row| row.bytes).max()?;
    rows.iter()
        .filter(|row| row.bytes == largest)
        .max_by(|a, b| a.gbps.total_cmp(&b.gbps))
}

/// The figure of the section.
pub fn headline(gpu: &GpuProbe) -> Option<Headline> {
    Some(Headline {
        value: format!("{} GB/s", fixed(best(gpu)?.gbps, 1)),
        label: format!("from the memory of {}", gpu.device),
    })
}

/// Why what is missing is missing, but for what nobody asked for.
pub fn reasons(gpu: &GpuProbe) -> Vec<String> {
    let stages = [
        ("Copies", gpu.copies.value.is_some(), &gpu.copies.source),
        ("Streams", gpu.streams.value.is_some(), &gpu.streams.source),
        ("Launches", gpu.launches.value.is_some(), &gpu.launches.source),
        ("Latency", gpu.latency.value.is_some(), &gpu.latency.source),
    ];
    let missing = stages
        .into_iter()
        .filter(|(_, known, why)| !known && *why != "not asked for");
    missing
        .map(|(name, _, why)| format!("{name}: unknown: {why}."))
        .collect()
}

/// Every chart that there are figures for.
pub fn charts(gpu: &GpuProbe) -> Vec<Chart> {
    let latency = gpu.latency.value.as_ref();
    let edges = || latency.map_or_else(Vec::new, edges);
    let drawn = |latency: &&Latency| latency.curves.iter().any(drawable);
    let mut charts: Vec<Chart> = latency
        .filter(drawn)
        .map(|latency| Chart {
            title: format!("Latency by working set, {}", gpu.device),
            note: format!("Medians of a dependent load of one thread, with their 95 % intervals. {EDGES}"),
            ..curves(latency, edges())
        })
        .into_iter()
        .collect();
    if let Some(rows) = &gpu.streams.value {
        let mut kernels: Vec<&str> = rows.iter().map(|row| row.kernel.as_str()).collect();
        kernels.sort_unstable();
        kernels.dedup();
        let point = |row: &GpuStream| Point {
            x: row.bytes as f64 / 1024.0,
            y: row.gbps,
            interval: Some(row.interval_gbps),
        };
        let series = kernels.iter().map(|&kernel| Series {
            name: kernel.to_owned(),
            join: Join::Line,
            points: rows.iter().filter(|row| row.kernel == kernel).map(point).collect(),
        });
        let peak = gpu.card.peak_gbps.value.map(|y| Rule {
            label: "theoretical".to_owned(),
            y,
        });
        charts.push(Chart {
            title: format!("Bandwidth by working set, {}", gpu.device),
            note: format!(
                "Bytes of all arrays, each once a pass; a pass is a launch, which small sets feel. Medians with their 95 % intervals. {EDGES}"
            ),
            x: log("working set", "KiB"),
            y: log("bandwidth", "GB/s"),
            series: series.collect(),
            rules: peak.into_iter().collect(),
            edges: edges(),
            ..Chart::default()
        });
    }
    charts
}

/// Every table that there are figures for.
pub fn tables(gpu: &GpuProbe) -> Vec<Table> {
    let mut tables = vec![claimed(&gpu.card, &gpu.clock_ghz)];
    tables.extend(gpu.latency.value.as_ref().map(levels));
    tables.extend(gpu.copies.value.as_ref().map(|rows| copies(rows)));
    tables.extend(
        gpu.streams
            .value
            .as_ref()
            .map(|rows| streams(rows, gpu.card.peak_gbps.value)),
    );
    tables.extend(gpu.launches.value.as_ref().map(|rows| launches(rows)));
    tables
}

fn claimed(card: &GpuCard, clock_ghz: &Fact<f64>) -> Table {
    let mhz = |fact: &Fact<f64>| {
        (
            fact.map(|mhz| format!("{} MHz", fixed(*mhz, 0))).to_string(),
            fact.source.clone(),
        )
    };
    let told = |value: String, source: &str| (value, source.to_owned());
    let rows = [
        ("card", told(card.name.clone(), "")),
        ("compute capability", told(card.capability.clone(), "")),
        ("driver for CUDA", told(card.driver.clone(), "")),
        (
            "multiprocessors",
            told(card.multiprocessors.to_string(), &card.multiprocessors.source),
        ),
        ("highest clock", mhz(&card.clock_mhz)),
        (
            "clock while measuring",
            told(
                clock_ghz.map(|ghz| format!("{} MHz", fixed(1e3 * ghz, 0))).to_string(),
                &clock_ghz.source,
            ),
        ),
        (
            "L1 and shared memory",
            told(size(&card.l1_bytes), &card.l1_bytes.source),
        ),
        ("L2", told(size(&card.l2_bytes), &card.l2_bytes.source)),
        ("memory", told(size(&card.memory_bytes), &card.memory_bytes.source)),
        ("memory's clock", mhz(&card.memory_clock_mhz)),
        (
            "memory bus, bits",
            told(card.bus_width_bits.to_string(), &card.bus_width_bits.source),
        ),
        (
            "theoretical bandwidth",
            told(
                card.peak_gbps
                    .map(|gbps| format!("{} GB/s", fixed(*gbps, 1)))
                    .to_string(),
                &card.peak_gbps.source,
            ),
        ),
    ];
    let rows = rows.into_iter().map(|(name, (value, source))| {
        // An unknown value has its reason already.
        let source = if value.contains(&source) { String::new() } else { source };
        vec![name.to_owned(), value, source]
    });
    let head = vec![Column::text(""), Column::text("value"), Column::text("source")];
    table("The card, as claimed", head, rows.collect(), Layout::Card)
}

fn range((low, high): (f64, f64)) -> String {
    format!("{} to {}", fixed(low, 2), fixed(high, 2))
}

fn copies(rows: &[GpuCopy]) -> Table {
    let row = |row: &GpuCopy| {
        vec![
            row.way.clone(),
            row.host.clone(),
            fixed(row.gbps, 2),
            range(row.interval_gbps),
            format!("{} x {}", row.copies, bytes(row.bytes)),
            row.clock.clone(),
            row.samples_ns.len().to_string(),
        ]
    };
    let head = vec![
        Column::text("copy"),
        Column::text("host's memory"),
        Column::number("GB/s"),
        Column::number("95 % interval"),
        Column::number("copies of a sample"),
        Column::text("timed by"),
        Column::number("samples"),
    ];
    table(
        "Copies from, to and within the card, and between cards",
        head,
        rows.iter().map(row).collect(),
        Layout::Wide,
    )
}

fn streams(rows: &[GpuStream], peak: Option<f64>) -> Table {
    let row = |row: &GpuStream| {
        vec![
            row.kernel.clone(),
            bytes(row.bytes),
            fixed(row.gbps, 2),
            range(row.interval_gbps),
            peak.map_or("unknown".to_owned(), |peak| {
                format!("{} %", fixed(100.0 * row.gbps / peak, 1))
            }),
            row.passes.to_string(),
            row.samples_ns.len().to_string(),
        ]
    };
    let head = vec![
        Column::text("kernel"),
        Column::number("working set"),
        Column::number("GB/s"),
        Column::number("95 % interval"),
        Column::number("of theoretical"),
        Column::number("passes of a sample"),
        Column::number("samples"),
    ];
    table(
        "Bandwidth of the card, every kernel",
        head,
        rows.iter().map(row).collect(),
        Layout::Folded,
    )
}

fn launches(rows: &[GpuLaunch]) -> Table {
    let row = |row: &GpuLaunch| {
        let (low, high) = row.interval_ns;
        vec![
            row.what.clone(),
            nanoseconds(row.ns),
            format!("{} to {}", nanoseconds(low), nanoseconds(high)),
        ]
    };
    let head = vec![
        Column::text(""),
        Column::number("a launch"),
        Column::number("95 % interval"),
    ];
    table(
        "What a launch costs",
        head,
        rows.iter().map(row).collect(),
        Layout::Card,
    )
}
