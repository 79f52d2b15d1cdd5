//! `tilelab experiment compare`: every figure of the notebook that a record holds, beside ours.

use std::path::Path;

use serde_json::json;

use super::super::{Usage, print};
use crate::measure::{Beside, Body, Table};
use crate::report;
use crate::report::format::number;
use crate::report::sections::experiment::{holding, missed};

/// Runs the command. Fails if a figure misses what it is held to.
pub fn run(out: &Path, as_json: bool) -> anyhow::Result<()> {
    let raw = out.join("raw");
    let (records, problems) = report::load(&raw);
    // A folder that is not there is told below, with the way out.
    for problem in problems.iter().filter(|problem| problem.file != raw) {
        eprintln!("warning: {problem}");
    }
    let mut rows = Vec::new();
    let mut held = 0;
    let mut shown = String::new();
    for record in &records {
        let Body::Experiment(found) = &record.body else {
            continue;
        };
        if found.beside.is_empty() {
            continue;
        }
        let size = if record.quick { "quick" } else { "full" };
        if as_json {
            for row in &found.beside {
                shown += &format!(
                    "{}\n",
                    json!({"experiment": found.experiment, "size": size, "row": row})
                );
            }
        } else {
            shown += &format!("{} ({size})\n{}\n", found.experiment, table(&found.beside).render());
        }
        held += found
            .beside
            .iter()
            .filter(|row| row.held != crate::measure::Held::Nothing)
            .count();
        rows.extend(found.beside.iter().map(|row| (&found.experiment, row)));
    }
    if rows.is_empty() {
        return Err(Usage(format!(
            "{}: no record has a figure of the notebook; run some first, with tilelab experiment run all",
            raw.display()
        ))
        .into());
    }
    let misses: Vec<String> = rows
        .iter()
        .filter(|(_, row)| missed(row.held))
        .map(|(name, row)| format!("{name}: {}, {}", row.of, row.figure))
        .collect();
    if as_json {
        shown += &format!(
            "{}\n",
            json!({"event": "done", "figures": rows.len(), "held": held, "missed": misses})
        );
    } else {
        let met = held - misses.len();
        shown += &format!(
            "{} figures; {met} of the {held} that are held to something meet it\n",
            rows.len()
        );
    }
    print(&shown)?;
    anyhow::ensure!(misses.is_empty(), "missed: {}", misses.join("; "));
    Ok(())
}

/// The figures as a table.
pub fn table(rows: &[Beside]) -> Table {
    let mut table = Table::new(&["of", "figure", "notebook", "here", "deviation", "seeds", "held to"]);
    for row in rows {
        let deviation = row
            .deviation
            .map_or("-".to_owned(), |deviation| format!("{deviation:.4}"));
        table.row(vec![
            row.of.clone(),
            row.figure.clone(),
            number(row.notebook),
            number(row.ours),
            deviation,
            row.seeds.to_string(),
            holding(row.held),
        ]);
    }
    table
}
