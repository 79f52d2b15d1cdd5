//! `memory-bus`: width and bandwidth of the memory bus, from the probe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tilelab_kernels::Isa;

use super::{Entry, Failure, Outcome, Run, plot};
use crate::device::available_bytes;
use crate::measure::{Finding, Machine, PlotAxis, Trace};
use crate::probe::{self, Options, Stage};

pub const ENTRY: Entry = Entry {
    name: "memory-bus",
    title: "Width and bandwidth of the memory bus",
    question: "How wide is this machine's memory bus, and what does it carry?",
    expects: "The firmware's tables say how wide the bus is where they can be read, which virtual machines seldom allow; the bandwidth can be measured anywhere, and cannot be above what width and clock allow.",
    run,
};

/// One streaming kernel in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stream {
    name: String,
    threads: usize,
    bytes: u64,
    gbps: f64,
}

/// What the probe gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Data {
    width_bits: Option<u64>,
    /// Where the width comes from, or why it is not known.
    source: String,
    peak_gbps: Option<f64>,
    streams: Vec<Stream>,
    gpu: String,
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let full = run.options().full;
    let data = run.once("probe", |run| {
        let options = Options {
            quick: !full,
            stages: vec![Stage::Bus, Stage::Bandwidth],
            max_bytes: available_bytes().unwrap_or(1 << 30) / 2,
            dram_mts: None,
            seed: run.options().seed,
        };
        let machine = Machine::detect(Isa::available().iter().map(|isa| isa.id().to_owned()).collect());
        let stop = AtomicBool::new(false);
        let found = probe::run(&options, &machine, Instant::now(), &stop, &mut |_| {
            if run.stopped() {
                stop.store(true, Ordering::Relaxed);
            }
        });
        if run.stopped() {
            return Err(Failure::Interrupted);
        }
        let streams = found.bandwidth.value.iter().flat_map(|bandwidth| &bandwidth.streams);
        let stream = |stream: &crate::measure::Stream| Stream {
            name: format!(
                "{}{}",
                stream.kernel,
                if stream.non_temporal { ", non-temporal" } else { "" }
            ),
            threads: stream.threads,
            bytes: stream.bytes,
            gbps: stream.gbps,
        };
        Ok(Data {
            width_bits: found.bus.width_bits.value,
            source: found.bus.width_bits.source.clone(),
            peak_gbps: found.bus.peak_gbps.value,
            streams: streams.map(stream).collect(),
            gpu: found.gpu.map(|gpu| gpu.card.name.clone()).to_string(),
        })
    })?;
    Ok(assess(&data, full))
}

fn assess(data: &Data, full: bool) -> Outcome {
    // What does not fit the caches: the largest arrays.
    let largest = data.streams.iter().map(|stream| stream.bytes).max().unwrap_or(0);
    let in_memory = || data.streams.iter().filter(|stream| stream.bytes == largest);
    let best = in_memory().map(|stream| stream.gbps);
    let gbps = best.fold(
        f64::NAN,
        |best, gbps| if gbps.is_nan() || gbps <= best { best } else { gbps },
    );
    let mut outcome = Outcome::new(match data.width_bits {
        Some(width_bits) => Finding::BusKnown { width_bits, gbps },
        None => Finding::BusUnknown {
            reason: data.source.clone(),
            gbps,
        },
    });
    outcome.at_least("measured bandwidth, GB/s", gbps, 0.5);
    if let Some(bits) = data.width_bits {
        outcome.equals("bits of the width beyond a multiple of 8", (bits % 8) as f64, 0.0);
    }
    if let Some(peak) = data.peak_gbps {
        outcome.at_most("measured over what width and clock allow", gbps / peak, 1.05);
    }
    let by_kernel = |threads: usize| {
        let streams = in_memory().filter(|stream| stream.threads == threads).enumerate();
        Trace::points(
            format!("{threads} threads"),
            streams.map(|(at, stream)| ((at + 1) as f64, stream.gbps)),
        )
    };
    let mut threads: Vec<usize> = in_memory().map(|stream| stream.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let (x, y) = (
        PlotAxis::new("kernel, as in the table", "").whole(),
        PlotAxis::new("bandwidth", "GB/s"),
    );
    outcome.plot(plot(
        "Streams in memory",
        x,
        y,
        threads.into_iter().map(by_kernel).collect(),
    ));
    let row = |stream: &Stream| vec![stream.name.clone().into(), stream.threads.into(), stream.gbps.into()];
    outcome.sheet(
        "Streams in memory, GB/s",
        &["kernel", "threads", "GB/s"],
        in_memory().map(row).collect(),
    );
    outcome.setting(
        "width",
        data.width_bits
            .map_or(data.source.clone(), |bits| format!("{bits} bits ({})", data.source)),
    );
    outcome.setting("GPU", data.gpu.clone());
    if !full {
        outcome.shrunk("the probe's quick sizes and slices; `tilelab probe` has everything.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{assert_holds, failed};

    #[test]
    fn branches_and_breaks() {
        let data = |width_bits, gbps| Data {
            width_bits,
            source: "no tables".to_owned(),
            peak_gbps: width_bits.map(|_| 25.6),
            streams: vec![
                Stream {
                    name: "copy".to_owned(),
                    threads: 1,
                    bytes: 1 << 12,
                    gbps: 500.0,
                },
                Stream {
                    name: "copy".to_owned(),
                    threads: 2,
                    bytes: 1 << 28,
                    gbps,
                },
            ],
            gpu: "none".to_owned(),
        };
        let known = assess(&data(Some(128), 20.0), true);
        assert_holds(&known);
        let finding = Finding::BusKnown {
            width_bits: 128,
            gbps: 20.0,
        };
        assert_eq!(known.finding(), finding, "what lies in a cache is no bus");
        assert!(matches!(
            assess(&data(None, 20.0), true).finding(),
            Finding::BusUnknown { .. }
        ));
        // More than the bus can carry; nothing measured; a width that no bus has.
        assert_eq!(failed(&assess(&data(Some(128), 40.0), true)).len(), 1);
        assert_eq!(failed(&assess(&data(None, f64::NAN), true)).len(), 1);
        assert_eq!(failed(&assess(&data(Some(63), 20.0), true)).len(), 1);
    }
}
