//! Cases of one contestant held against each other: what each costs whom.

use crate::measure::{Bench, Comparison};
use crate::report::format::fixed;
use crate::report::sections::{Column, Layout, Table, Tone, Verdict};

/// For each group what its worst case costs each contestant; `None` where nothing was held against anything.
pub fn verdict(bench: &Bench) -> Option<Verdict> {
    let mut groups: Vec<&str> = Vec::new();
    for comparison in &bench.comparisons {
        if !groups.contains(&comparison.group.as_str()) {
            groups.push(&comparison.group);
        }
    }
    let sentences = groups.into_iter().map(|group| {
        let members: Vec<&Comparison> = bench.comparisons.iter().filter(|it| it.group == group).collect();
        let mut ids: Vec<&str> = Vec::new();
        for member in &members {
            if !ids.contains(&member.contestant.as_str()) {
                ids.push(&member.contestant);
            }
        }
        let costs: Vec<String> = ids.into_iter().map(|id| cost(&members, id)).collect();
        format!("{group}: {}", costs.join(", "))
    });
    let text = sentences.collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then(|| Verdict::new(Tone::Plain, format!("What it costs at most, by {text}.")))
}

/// The worst of a contestant's cases whose whole interval lies below 1.
fn cost(members: &[&Comparison], id: &str) -> String {
    let slower = members.iter().filter(|it| it.contestant == id && it.interval.1 < 1.0);
    match slower.min_by(|a, b| a.median.total_cmp(&b.median)) {
        Some(worst) => {
            let percent = fixed(100.0 * (1.0 - worst.median), 1);
            format!("{id} {percent} % ({})", worst.case)
        }
        None => format!("{id} nothing that could be told apart"),
    }
}

/// Every comparison.
pub fn table(bench: &Bench) -> Table {
    let row = |it: &Comparison| {
        let interval = format!("{} to {}", fixed(it.interval.0, 3), fixed(it.interval.1, 3));
        vec![
            it.group.clone(),
            it.case.clone(),
            it.base.clone(),
            it.contestant.clone(),
            fixed(it.median, 3),
            interval,
        ]
    };
    Table {
        caption: "Rate of a case over that of its base, in the same rounds".to_owned(),
        head: vec![
            Column::text("what differs"),
            Column::text("case"),
            Column::text("base"),
            Column::text("contestant"),
            Column::number("ratio"),
            Column::number("95 % interval"),
        ],
        rows: bench.comparisons.iter().map(row).collect(),
        wrong: Vec::new(),
        layout: Layout::Wide,
    }
}
