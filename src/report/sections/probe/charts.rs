//! Charts of a probe.

use crate::measure::{Bandwidth, Curve, Latency, Probe, Roofline, Stream};
use crate::report::chart::{Axis, Chart, Edge, Join, Point, Rule, Series};
use crate::report::ticks::Scale;

const KIB: f64 = 1024.0;

/// How to read the edges.
pub(super) const EDGES: &str = "Upright lines are cache sizes: named at the top as claimed, at the foot as found.";

/// Every chart that there are figures for.
pub fn all(found: &Probe) -> Vec<Chart> {
    let edges = || found.latency.value.as_ref().map_or_else(Vec::new, edges);
    let mut charts = Vec::new();
    if let Some(latency) = found
        .latency
        .value
        .as_ref()
        .filter(|latency| latency.curves.iter().any(drawable))
    {
        charts.push(curves(latency, edges()));
    }
    if let Some(bandwidth) = &found.bandwidth.value {
        charts.extend(streams(bandwidth, &edges()));
    }
    if let Some(roofline) = &found.roofline.value {
        charts.extend(roofs(roofline));
    }
    if let Some(tlb) = found.tlb.value.as_ref().filter(|curve| drawable(curve)) {
        charts.push(pages(tlb));
    }
    charts
}

pub(super) fn drawable(curve: &Curve) -> bool {
    curve.points.len() > 1
}

pub(super) fn log(label: &str, unit: &str) -> Axis {
    Axis {
        scale: Scale::Log,
        ..Axis::new(label, unit)
    }
}

pub(super) fn edges(latency: &Latency) -> Vec<Edge> {
    let edge = |level: u32, what: &str, bytes: f64| Edge {
        label: format!("L{level} {what}"),
        name: format!("L{level}"),
        x: bytes / KIB,
        at_foot: what == "found",
    };
    let claimed = latency
        .levels
        .iter()
        .filter_map(|level| Some(edge(level.level, "claimed", level.claimed_bytes.value? as f64)));
    let found = latency
        .levels
        .iter()
        .filter_map(|level| Some(edge(level.level, "found", level.found.value.as_ref()?.size)));
    claimed.chain(found).collect()
}

fn points(curve: &Curve, unit: f64) -> Vec<Point> {
    let point = |point: &crate::measure::CurvePoint| Point {
        x: point.size as f64 / unit,
        y: point.ns,
        interval: Some(point.interval_ns),
    };
    curve.points.iter().map(point).collect()
}

pub(super) fn curves(latency: &Latency, edges: Vec<Edge>) -> Chart {
    let series = latency.curves.iter().map(|curve| Series {
        name: curve.title.clone(),
        join: Join::Line,
        points: points(curve, KIB),
    });
    Chart {
        title: "Latency by working set".to_owned(),
        note: format!("Medians of a dependent load, with their 95 % intervals. {EDGES}"),
        x: log("working set", "KiB"),
        y: log("latency", "ns"),
        series: series.collect(),
        edges,
        ..Chart::default()
    }
}

fn pages(curve: &Curve) -> Chart {
    // Names take turns at top and foot: neighbours may be an octave apart.
    let knees = curve.knees.iter().enumerate().map(|(number, knee)| Edge {
        label: "knee".to_owned(),
        name: format!("{:.0}", knee.size),
        x: knee.size,
        at_foot: number % 2 == 1,
    });
    Chart {
        title: "One line a page".to_owned(),
        note: "What address translation adds on 4 KiB pages: the time of as many lines close together is taken off. Upright lines are the knees found.".to_owned(),
        x: log("pages", ""),
        y: log("latency", "ns"),
        series: vec![Series {
            name: "4 KiB pages".to_owned(),
            join: Join::Line,
            points: points(curve, 1.0),
        }],
        edges: knees.collect(),
        ..Chart::default()
    }
}

/// One chart for one thread, and one for all.
fn streams(bandwidth: &Bandwidth, edges: &[Edge]) -> Vec<Chart> {
    let count = |pick: fn(std::vec::IntoIter<usize>) -> Option<usize>| {
        pick(
            bandwidth
                .streams
                .iter()
                .map(|row| row.threads)
                .collect::<Vec<_>>()
                .into_iter(),
        )
    };
    let (one, all) = (count(Iterator::min), count(Iterator::max));
    let mut charts: Vec<Chart> = one.iter().map(|&threads| by_size(bandwidth, threads, edges)).collect();
    if let Some(all) = all.filter(|all| Some(*all) != one) {
        charts.push(by_size(bandwidth, all, edges));
    }
    charts.extend(saturation(bandwidth));
    charts
}

/// Kernels that a chart of six looks has room for; the table has all.
const SHOWN: [(&str, bool, &str); 6] = [
    ("read", false, "read"),
    ("write", false, "write"),
    ("copy", false, "copy"),
    ("copy", true, "copy, non-temporal"),
    ("triad", false, "triad"),
    ("triad", true, "triad, non-temporal"),
];

fn rows<'a>(bandwidth: &'a Bandwidth, kernel: &'a str, non_temporal: bool) -> impl Iterator<Item = &'a Stream> {
    bandwidth
        .streams
        .iter()
        .filter(move |row| row.kernel == kernel && row.non_temporal == non_temporal)
}

fn rate(row: &Stream, x: f64) -> Point {
    Point {
        x,
        y: row.gbps,
        interval: Some(row.interval_gbps),
    }
}

fn by_size(bandwidth: &Bandwidth, threads: usize, edges: &[Edge]) -> Chart {
    let series = SHOWN.iter().map(|&(kernel, non_temporal, name)| Series {
        name: name.to_owned(),
        join: Join::Line,
        points: rows(bandwidth, kernel, non_temporal)
            .filter(|row| row.threads == threads)
            .map(|row| rate(row, row.bytes as f64 / KIB))
            .collect(),
    });
    Chart {
        title: format!(
            "Bandwidth by working set, {}",
            crate::report::format::plural(threads, "thread")
        ),
        note: format!(
            "STREAM's bytes, medians with their 95 % intervals; the working set is that of one thread. {EDGES}"
        ),
        x: log("working set", "KiB"),
        y: log("bandwidth", "GB/s"),
        series: series.filter(|series| !series.points.is_empty()).collect(),
        edges: edges.to_vec(),
        ..Chart::default()
    }
}

/// DRAM by threads; nothing to draw below three counts.
fn saturation(bandwidth: &Bandwidth) -> Option<Chart> {
    let total = |row: &Stream| row.bytes * row.threads as u64;
    let most = bandwidth.streams.iter().map(total).max()?;
    let series: Vec<Series> = SHOWN
        .iter()
        .map(|&(kernel, non_temporal, name)| Series {
            name: name.to_owned(),
            join: Join::Line,
            points: rows(bandwidth, kernel, non_temporal)
                .filter(|row| total(row) * 10 > most * 9)
                .map(|row| rate(row, row.threads as f64))
                .collect(),
        })
        .collect();
    (series.iter().any(|series| series.points.len() > 2)).then(|| Chart {
        title: "DRAM bandwidth by threads".to_owned(),
        note: "STREAM's bytes over the largest arrays: where the curve turns flat, the memory is saturated.".to_owned(),
        x: Axis {
            whole: true,
            ..Axis::new("threads", "")
        },
        y: Axis {
            from_zero: true,
            ..Axis::new("bandwidth", "GB/s")
        },
        series,
        ..Chart::default()
    })
}

/// Roofs of one thread, and the kernels under them.
fn roofs(roofline: &Roofline) -> Option<Chart> {
    let one = roofline.roofs.iter().map(|roof| roof.threads).min()?;
    let peak = roofline
        .peaks
        .iter()
        .filter(|peak| peak.threads == 1 && peak.element == "f32")
        .map(|peak| peak.gflops);
    let peak = peak.max_by(f64::total_cmp)?;
    let intensities = || roofline.kernels.iter().map(|kernel| kernel.intensity);
    let low = intensities().fold(0.1, f64::min) / 2.0;
    let high = intensities().fold(100.0, f64::max) * 2.0;
    let mut series = vec![Series {
        name: "kernels".to_owned(),
        join: Join::Apart,
        points: roofline
            .kernels
            .iter()
            .map(|kernel| Point::new(kernel.intensity, kernel.gflops))
            .collect(),
    }];
    series.extend(roofline.roofs.iter().filter(|roof| roof.threads == one).map(|roof| {
        Series {
            name: format!("{} {:.0} GB/s", roof.level, roof.gbps),
            join: Join::Line,
            // Up to the ridge, then along the peak.
            points: [low, peak / roof.gbps, high]
                .map(|x| Point::new(x, (x * roof.gbps).min(peak)))
                .into(),
        }
    }));
    Some(Chart {
        title: "Roofline, one thread, f32".to_owned(),
        note: "Roofs are this run's own plateaus; a kernel's intensity is computed from its operands, its rate measured. The table names each kernel.".to_owned(),
        x: log("intensity", "flop/byte"),
        y: log("rate", "GFLOP/s"),
        series,
        rules: vec![Rule {
            label: "FMA peak".to_owned(),
            y: peak,
        }],
        ..Chart::default()
    })
}
