//! The machine and the build behind the figures.

use crate::measure::{Body, Machine, Record};
use crate::report::format::{bytes, date, fixed, plural};

use super::{Column, Headline, Layout, Section, Table, Tone, Verdict, slug};

/// Machines of the records, that of the newest record first.
pub fn distinct(records: &[Record]) -> Vec<Machine> {
    let mut newest_first: Vec<&Record> = records.iter().collect();
    newest_first.sort_by_key(|record| std::cmp::Reverse(record.started_unix_s));
    let mut machines: Vec<Machine> = Vec::new();
    for record in newest_first {
        if !machines.contains(&record.machine) {
            machines.push(record.machine.clone());
        }
    }
    machines
}

/// Facts of one machine, and of the newest build that measured on it.
pub fn section(machine: &Machine, records: &[Record]) -> Section {
    let here = || records.iter().filter(|record| record.machine == *machine);
    let peaks = peaks(here());
    let fastest = peaks.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let isas = if machine.isas.is_empty() {
        "none".to_owned()
    } else {
        machine.isas.join(", ")
    };
    let mut text = format!(
        "{} with {}; kernels for {isas}",
        machine.cpu,
        plural(machine.cpus, "CPU")
    );
    if let Some((threads, peak)) = fastest {
        text += &format!(
            "; a measured peak of {} GFLOP/s in fused multiply-adds on {}",
            fixed(peak, 1),
            plural(threads, "thread")
        );
    }
    text.push('.');
    Section {
        id: slug("machine"),
        title: "Machine and build".to_owned(),
        question: "Which machine, and which build, do these figures come from?".to_owned(),
        verdict: Verdict::new(Tone::Plain, text),
        notes: Vec::new(),
        headline: fastest.map(|(threads, peak)| Headline {
            value: format!("{} GFLOP/s", fixed(peak, 1)),
            label: format!("FMA peak, {}", plural(threads, "thread")),
        }),
        quick: false,
        charts: Vec::new(),
        drawings: Vec::new(),
        tables: vec![facts(machine, &peaks), caches(machine), build(here())]
            .into_iter()
            .flatten()
            .collect(),
        heat: None,
        gallery: None,
        conditions: Vec::new(),
        source: None,
    }
}

/// Highest peak seen by number of threads.
fn peaks<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<(usize, f64)> {
    let mut peaks: Vec<(usize, f64)> = Vec::new();
    for record in records {
        if let Body::Bench(bench) = &record.body
            && bench.peak_gflops.is_finite()
        {
            match peaks.iter_mut().find(|(threads, _)| *threads == bench.threads) {
                Some((_, peak)) => *peak = peak.max(bench.peak_gflops),
                None => peaks.push((bench.threads, bench.peak_gflops)),
            }
        }
    }
    peaks.sort_by_key(|(threads, _)| *threads);
    peaks
}

fn facts(machine: &Machine, peaks: &[(usize, f64)]) -> Option<Table> {
    let mut rows = vec![("CPU", machine.cpu.clone())];
    if let Some((family, model, stepping)) = machine.family_model_stepping {
        rows.push(("family, model, stepping", format!("{family}, {model}, {stepping}")));
    }
    rows.push((
        "cores",
        format!(
            "{}; {} for this process",
            plural(machine.cores, "core"),
            plural(machine.cpus, "logical CPU")
        ),
    ));
    rows.push(("kernels run on", machine.isas.join(", ")));
    for (threads, peak) in peaks {
        rows.push((
            "FMA peak",
            format!("{} GFLOP/s on {}", fixed(*peak, 2), plural(*threads, "thread")),
        ));
    }
    rows.push(("memory", bytes(machine.memory_bytes)));
    rows.push(("system", machine.os.clone()));
    if let Some(hypervisor) = &machine.hypervisor {
        rows.push(("hypervisor", hypervisor.clone()));
    }
    Some(pairs("Machine", rows))
}

fn caches(machine: &Machine) -> Option<Table> {
    let or_unknown = |value: Option<u32>| value.map_or("unknown".to_owned(), |value| value.to_string());
    let rows: Vec<Vec<String>> = machine
        .caches
        .iter()
        .map(|cache| {
            vec![
                format!("L{} {}", cache.level, cache.kind),
                bytes(cache.bytes),
                if cache.line_bytes == 0 {
                    "unknown".to_owned()
                } else {
                    bytes(u64::from(cache.line_bytes))
                },
                or_unknown(cache.ways),
                or_unknown(cache.shared_by),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        caption: "Caches, as the machine claims them".to_owned(),
        head: vec![
            Column::text("cache"),
            Column::number("size"),
            Column::number("line"),
            Column::number("ways"),
            Column::number("shared by"),
        ],
        rows,
        wrong: Vec::new(),
        layout: Layout::Card,
    })
}

fn build<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Table> {
    let newest = records.max_by_key(|record| record.started_unix_s)?;
    let build = &newest.build;
    let or_none = |text: &str, none: &str| {
        if text.is_empty() {
            none.to_owned()
        } else {
            text.to_owned()
        }
    };
    Some(pairs(
        "Build of the newest record",
        vec![
            ("version", build.version.clone()),
            ("commit", or_none(&build.commit, "outside a checkout")),
            ("compiler", build.rustc.clone()),
            ("target, profile", format!("{}, {}", build.target, build.profile)),
            ("RUSTFLAGS", or_none(&build.rustflags, "none")),
            ("measured", date(newest.started_unix_s)),
        ],
    ))
}

fn pairs(caption: &str, rows: Vec<(&str, String)>) -> Table {
    Table {
        caption: caption.to_owned(),
        head: vec![Column::text(""), Column::text("")],
        rows: rows
            .into_iter()
            .map(|(fact, value)| vec![fact.to_owned(), value])
            .collect(),
        wrong: Vec::new(),
        layout: Layout::Card,
    }
}
