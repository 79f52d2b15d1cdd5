//! The memory system: claimed beside measured.

mod card;
mod charts;
mod tables;

use crate::measure::{Fact, Probe, Record, binary_bytes};
use crate::report::format::{bytes, fixed, percent, plural};

use super::{Headline, Section, Tone, Verdict, outline};

/// A probe.
pub fn section(record: &Record, found: &Probe) -> Section {
    let mut section = outline(record, Verdict::new(tone(found), verdict(found)));
    section.headline = headline(found);
    section.notes = found.notes.clone();
    section.notes.extend(reasons(found));
    section.charts = charts::all(found);
    section.tables = tables::all(found);
    if let Some(gpu) = &found.gpu.value {
        section.charts.extend(card::charts(gpu));
        section.tables.splice(0..0, card::tables(gpu));
    }
    section.conditions.extend(conditions(found));
    section
}

fn tone(found: &Probe) -> Tone {
    if found.grade.grade == "poor" {
        Tone::Bad
    } else {
        Tone::Plain
    }
}

fn verdict(found: &Probe) -> String {
    let mut parts = Vec::new();
    let card = found.gpu.value.as_ref();
    parts.extend(card.map(card::verdict).unwrap_or_default());
    let latency = card.map_or(&found.latency, |gpu| &gpu.latency);
    for level in latency.value.iter().flat_map(|latency| &latency.levels) {
        let size = level
            .found
            .value
            .as_ref()
            .map(|knee| binary_bytes((knee.size / 1024.0).round() as u64 * 1024));
        let size = size.map_or("not found".to_owned(), |size| format!("found at {size}"));
        let claimed = level.claimed_bytes.map(|size| bytes(*size));
        parts.push(format!("L{} claims {claimed}, {size}: {}", level.level, level.verdict));
    }
    if parts.is_empty() {
        parts.push(format!("caches were not looked for ({})", found.latency.source));
    }
    if let Some(best) = dram(found) {
        parts.push(format!("DRAM gives up to {} GB/s", fixed(best, 1)));
    }
    parts.push(format!("the run is graded {}", found.grade.grade));
    format!("{}.", parts.join("; "))
}

/// The highest rate over the largest arrays, GB/s.
fn dram(found: &Probe) -> Option<f64> {
    let roofs = &found.roofline.value.as_ref()?.roofs;
    roofs
        .iter()
        .filter(|roof| roof.level == "DRAM")
        .map(|roof| roof.gbps)
        .max_by(f64::total_cmp)
}

fn headline(found: &Probe) -> Option<Headline> {
    if let Some(gpu) = &found.gpu.value {
        return card::headline(gpu);
    }
    Some(Headline {
        value: format!("{} GB/s", fixed(dram(found)?, 1)),
        label: "from DRAM".to_owned(),
    })
}

/// Why what is missing is missing, but for what nobody asked for.
fn reasons(found: &Probe) -> Vec<String> {
    fn of<T>(name: &str, fact: &Fact<T>) -> Option<String> {
        let told = fact.value.is_none() && fact.source != "not asked for";
        told.then(|| format!("{name}: unknown: {}.", fact.source))
    }
    if let Some(gpu) = &found.gpu.value {
        return card::reasons(gpu);
    }
    [
        of("Memory bus", &found.bus.devices),
        of("Latency", &found.latency),
        of("TLB", &found.tlb),
        of("Loads in flight", &found.parallelism),
        of("Latency under load", &found.loaded),
        of("Core to core", &found.cores),
        of("NUMA", &found.nodes),
        of("Bandwidth", &found.bandwidth),
        of("Roofline", &found.roofline),
        of("GPU", &found.gpu),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn conditions(found: &Probe) -> Vec<(String, String)> {
    let grade = &found.grade;
    let mut told = vec![
        (
            "grade",
            if grade.reasons.is_empty() {
                grade.grade.clone()
            } else {
                format!("{}: {}", grade.grade, grade.reasons.join("; "))
            },
        ),
        ("CPUs", plural(found.topology.cpus.len(), "usable CPU")),
        (
            "clock while measuring",
            found.clock_ghz.map(|ghz| format!("{} GHz", fixed(*ghz, 2))).to_string(),
        ),
        (
            "CPU time taken by the hypervisor",
            grade.steal.map(|share| percent(*share)).to_string(),
        ),
        (
            "load average before",
            grade.load_before.map(|load| fixed(*load, 2)).to_string(),
        ),
        (
            "load average behind",
            grade.load_after.map(|load| fixed(*load, 2)).to_string(),
        ),
        ("slices dropped", percent(grade.slices_dropped)),
        ("pinning", found.topology.pinning.source.clone()),
    ];
    if let Some(bandwidth) = &found.bandwidth.value {
        told.push((
            "arrays in DRAM",
            format!(
                "{} each, kernels in {}",
                bytes(bandwidth.dram_array_bytes),
                bandwidth.isa
            ),
        ));
    }
    told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
