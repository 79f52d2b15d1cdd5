//! A card's stages on a terminal.

use std::collections::BTreeSet;

use super::screen::{latency, size, told};
use crate::measure::{GpuCard, GpuCopy, GpuLaunch, GpuProbe, GpuStream, Table, binary_bytes, duration};
use crate::probe::Stage;

/// What a stage found.
pub fn stage(stage: Stage, found: &GpuProbe) -> String {
    let peak = found.card.peak_gbps.value;
    match stage {
        Stage::Card => format!("{}: {}", found.device, card(&found.card)),
        Stage::Copies => told(&found.copies, "copies", |rows| copies(rows)),
        Stage::Streams => told(&found.streams, "streams", |rows| streams(rows, peak)),
        Stage::Launches => told(&found.launches, "launches", |rows| launches(rows)),
        Stage::Chase => told(&found.latency, "latency", latency),
        _ => String::new(),
    }
}

fn card(card: &GpuCard) -> String {
    let mut text = format!(
        "{}, compute capability {}, driver for CUDA {}\n",
        card.name, card.capability, card.driver
    );
    let mhz = |fact: &crate::measure::Fact<f64>| fact.map(|mhz| format!("{mhz:.0} MHz"));
    text += &format!(
        "multiprocessors: {}, clock: {}\n",
        card.multiprocessors,
        mhz(&card.clock_mhz)
    );
    text += &format!(
        "L1 and shared memory: {}, L2: {}, memory: {}\n",
        size(&card.l1_bytes),
        size(&card.l2_bytes),
        size(&card.memory_bytes)
    );
    text += &format!(
        "memory clock: {}, bus: {}\n",
        mhz(&card.memory_clock_mhz),
        card.bus_width_bits.map(|bits| format!("{bits} bits"))
    );
    text + &format!(
        "theoretical bandwidth: {} ({})\n",
        card.peak_gbps.map(|gbps| format!("{gbps:.1} GB/s")),
        card.peak_gbps.source
    )
}

fn copies(rows: &[GpuCopy]) -> String {
    let mut table = Table::new(&[
        "copies",
        "host memory",
        "GB/s",
        "95 % interval",
        "copies of",
        "timed by",
    ]);
    for row in rows {
        let (low, high) = row.interval_gbps;
        table.row(vec![
            row.way.clone(),
            row.host.clone(),
            format!("{:.1}", row.gbps),
            format!("{low:.1} .. {high:.1}"),
            format!("{} x {}", row.copies, binary_bytes(row.bytes)),
            row.clock.clone(),
        ]);
    }
    table.render() + "both ways: the two together; device to device: bytes read and written\n"
}

fn streams(rows: &[GpuStream], peak: Option<f64>) -> String {
    let sizes: BTreeSet<u64> = rows.iter().map(|row| row.bytes).collect();
    let mut headings = vec!["GB/s, all arrays' bytes".to_owned()];
    headings.extend(sizes.iter().map(|&bytes| binary_bytes(bytes)));
    headings.push("of theoretical".to_owned());
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    let mut kernels: Vec<&str> = rows.iter().map(|row| row.kernel.as_str()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    for kernel in kernels {
        let of = |bytes: u64| rows.iter().find(|row| row.kernel == kernel && row.bytes == bytes);
        let rate = |row: Option<&GpuStream>| row.map_or("-".to_owned(), |row| format!("{:.1}", row.gbps));
        let mut cells = vec![kernel.to_owned()];
        cells.extend(sizes.iter().map(|&bytes| rate(of(bytes))));
        // Of the largest set alone: the others lie in caches.
        let share = sizes.last().and_then(|&bytes| Some(100.0 * of(bytes)?.gbps / peak?));
        cells.push(share.map_or("-".to_owned(), |share| format!("{share:.0} %")));
        table.row(cells);
    }
    table.render()
}

fn launches(rows: &[GpuLaunch]) -> String {
    let mut table = Table::new(&["launches", "a launch", "95 % interval"]);
    for row in rows {
        let (low, high) = row.interval_ns;
        table.row(vec![
            row.what.clone(),
            duration(row.ns),
            format!("{} .. {}", duration(low), duration(high)),
        ]);
    }
    table.render()
}
