//! Samplers on functions with known optima: how far each search stays from the best.

use crate::measure::{Record, Regret, Surrogates};
use crate::report::format::fixed;

use super::{Column, Layout, Section, Table, Tone, Verdict, outline};

/// A bench of samplers.
pub fn section(record: &Record, found: &Surrogates) -> Section {
    let mut section = outline(record, verdict(found));
    section.notes.clone_from(&found.notes);
    section.tables.push(table(found));
    section
}

fn verdict(found: &Surrogates) -> Verdict {
    let most = found.regrets.iter().map(|regret| regret.trials).max();
    let of = |sampler: &str| {
        let behind = |regret: &&Regret| Some(regret.trials) == most && regret.sampler == sampler;
        found.regrets.iter().find(behind)
    };
    match of("tpe").zip(of("random")) {
        None => Verdict::new(Tone::Plain, "TPE and random draws did not both run."),
        Some((tpe, random)) => Verdict::new(
            Tone::Plain,
            format!(
                "Behind {} trials on the function {}, half of the searches with TPE are within {} of the optimum, half of those at random \
                 within {}.",
                tpe.trials,
                tpe.surrogate,
                fixed(tpe.regret.median, 4),
                fixed(random.regret.median, 4)
            ),
        ),
    }
}

fn table(found: &Surrogates) -> Table {
    let row = |regret: &Regret| {
        vec![
            regret.surrogate.clone(),
            regret.sampler.clone(),
            regret.trials.to_string(),
            regret.runs.to_string(),
            fixed(regret.regret.median, 4),
            format!("{} to {}", fixed(regret.regret.lower, 4), fixed(regret.regret.upper, 4)),
        ]
    };
    let numbers = ["trials", "searches", "median regret", "middle half"].map(Column::number);
    Table {
        caption: "Regret: the best value of a search, less the optimum".to_owned(),
        head: [Column::text("function"), Column::text("sampler")]
            .into_iter()
            .chain(numbers)
            .collect(),
        rows: found.regrets.iter().map(row).collect(),
        wrong: Vec::new(),
        layout: Layout::Wide,
    }
}
