//! What can be compared of a record: every figure with its unit, its interval, and which way is better.

use crate::measure::{Bench, Body, GpuProbe, Latency, Ordered, Probe, Record, Training, binary_bytes};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// A time.
    Less,
    /// A rate.
    More,
    /// A size, a loss: it can only be another one.
    Neither,
}

/// One figure of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is; the same in every record of its kind.
    pub name: String,
    /// Its unit, such as `ns`; empty for a pure number.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Median.
    pub value: f64,
    /// The median's interval; the value itself twice where the record has none.
    pub interval: (f64, f64),
}

/// Every figure of a record that can stand beside another record's. Empty for kinds that hold checks alone.
pub fn figures(record: &Record) -> Vec<Figure> {
    let mut found = Found(Vec::new());
    match &record.body {
        Body::Probe(probe) => found.probe(probe),
        Body::Bench(bench) => found.bench(bench),
        Body::Training(training) => found.training(training),
        _ => {}
    }
    let Found(mut figures) = found;
    figures.retain(|figure| figure.value.is_finite() && figure.value > 0.0);
    figures
}

struct Found(Vec<Figure>);

impl Found {
    fn add(&mut self, name: String, (unit, better): (&'static str, Better), value: f64, interval: (f64, f64)) {
        self.0.push(Figure {
            name,
            unit,
            better,
            value,
            interval,
        });
    }

    /// The median of samples, unless there are none or one is no number.
    fn samples(&mut self, name: String, kind: (&'static str, Better), samples: &[f64]) {
        if let Ok(ordered) = Ordered::new(samples) {
            let interval = ordered.median_interval();
            self.add(name, kind, ordered.median(), (interval.low, interval.high));
        }
    }

    fn bench(&mut self, bench: &Bench) {
        for case in &bench.cases {
            for result in &case.results {
                let name = format!("{}, {}", case.name, result.contestant);
                self.add(name, ("ns", Better::Less), result.median_ns, result.interval_ns);
            }
        }
    }

    fn training(&mut self, training: &Training) {
        let rates: Vec<f64> = training.epochs.iter().map(|epoch| epoch.samples_per_s).collect();
        self.samples("training".to_owned(), ("rows/s", Better::More), &rates);
        if let Some(last) = training.epochs.last() {
            let after = format!("after epoch {}", last.epoch);
            for (name, value) in [("train loss", last.train_loss), ("test loss", last.test_loss)] {
                self.add(format!("{name} {after}"), ("", Better::Neither), value, (value, value));
            }
        }
    }

    fn probe(&mut self, probe: &Probe) {
        let (ns, gbps) = (("ns", Better::Less), ("GB/s", Better::More));
        if let Some(&ghz) = probe.clock_ghz.value.as_ref() {
            self.add("clock".to_owned(), ("GHz", Better::More), ghz, (ghz, ghz));
        }
        if let Some(latency) = &probe.latency.value {
            self.latency("", latency);
        }
        if let Some(gpu) = &probe.gpu.value {
            self.card(gpu);
        }
        for row in probe.parallelism.value.iter().flatten() {
            self.samples(format!("{} chains, a load", row.chains), ns, &row.samples);
        }
        for row in probe.loaded.value.iter().flatten() {
            let name = format!("latency beside {} CPUs at {:.0} %", row.streams, 100.0 * row.duty);
            self.samples(name, ns, &row.samples);
        }
        for pair in probe.cores.value.iter().flat_map(|cores| &cores.pairs) {
            self.samples(format!("core {} to {}", pair.a, pair.b), ns, &pair.samples);
        }
        for row in probe.bandwidth.value.iter().flat_map(|bandwidth| &bandwidth.streams) {
            if row.disturbed {
                continue;
            }
            let stores = if row.non_temporal { ", non-temporal" } else { "" };
            let (size, threads) = (binary_bytes(row.bytes), row.threads);
            let name = format!("{}{stores}, {size}, threads: {threads}", row.kernel);
            self.add(name, gbps, row.gbps, row.interval_gbps);
        }
        if let Some(roofline) = &probe.roofline.value {
            for peak in &roofline.peaks {
                let name = format!("FMA peak, {} {}, threads: {}", peak.isa, peak.element, peak.threads);
                self.samples(name, ("GFLOP/s", Better::More), &peak.samples);
            }
            for kernel in &roofline.kernels {
                self.samples(kernel.kernel.clone(), ns, &kernel.samples_ns);
            }
        }
    }

    /// Caches and curves; `of` says whose.
    fn latency(&mut self, of: &str, latency: &Latency) {
        for level in &latency.levels {
            if let Some(knee) = &level.found.value {
                let name = format!("{of}L{} found", level.level);
                let kib = |bytes: f64| bytes / 1024.0;
                let interval = (kib(knee.interval.0), kib(knee.interval.1));
                self.add(name, ("KiB", Better::Neither), kib(knee.size), interval);
            }
        }
        for curve in &latency.curves {
            // One size in four: the curves of two records, not their every point.
            for point in curve.points.iter().filter(|point| is_power_of_four(point.size)) {
                let name = format!("{of}latency, {}, {}", curve.title, binary_bytes(point.size));
                self.add(name, ("ns", Better::Less), point.ns, point.interval_ns);
            }
        }
    }

    /// A card's figures. The name has no number of it: two records may have it in different slots.
    fn card(&mut self, gpu: &GpuProbe) {
        let gbps = ("GB/s", Better::More);
        if let Some(&ghz) = gpu.clock_ghz.value.as_ref() {
            self.add("card: clock".to_owned(), ("GHz", Better::More), ghz, (ghz, ghz));
        }
        for row in gpu.copies.value.iter().flatten() {
            self.add(
                format!("card: {}, {}", row.way, row.host),
                gbps,
                row.gbps,
                row.interval_gbps,
            );
        }
        for row in gpu.streams.value.iter().flatten() {
            let name = format!("card: {}, {}", row.kernel, binary_bytes(row.bytes));
            self.add(name, gbps, row.gbps, row.interval_gbps);
        }
        for row in gpu.launches.value.iter().flatten() {
            self.samples(format!("card: {}", row.what), ("ns", Better::Less), &row.samples_ns);
        }
        if let Some(latency) = &gpu.latency.value {
            self.latency("card: ", latency);
        }
    }
}

fn is_power_of_four(size: u64) -> bool {
    size.is_power_of_two() && size.trailing_zeros().is_multiple_of(2)
}
