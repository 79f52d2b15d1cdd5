//! An experiment: its finding in words, plots, pictures, tables, the notebook's figures beside ours, and its checks.

pub mod errata;
mod words;

use crate::measure::{Beside, Cell, Claim, Experiment, Held, Plot, PlotAxis, Record, Relation, Sheet, Trace};
use crate::report::chart::{Axis, Chart, Join, Point, Rule, Series};
use crate::report::drawing::Drawing;
use crate::report::format::{fixed, number, plural};
use crate::report::ticks::Scale;

use super::{Column, Layout, Section, Table, outline};

/// An experiment.
pub fn section(record: &Record, experiment: &Experiment) -> Section {
    let mut section = outline(record, words::verdict(experiment));
    section.notes.push(format!("Expected: {}", experiment.expects));
    section
        .notes
        .extend(experiment.shrunk.iter().map(|what| format!("Quick: {what}")));
    section.charts = experiment.plots.iter().map(chart).collect();
    let pictures = experiment.pictures.iter().map(Drawing::picture);
    section.drawings = pictures
        .chain(experiment.graphs.iter().filter_map(Drawing::graph))
        .collect();
    section.tables.extend(beside(&experiment.beside));
    section.tables.extend(experiment.sheets.iter().map(table));
    section.tables.push(checks(&experiment.checks));
    section.conditions.extend(experiment.settings.iter().cloned());
    section
}

fn chart(plot: &Plot) -> Chart {
    let rules = plot.rules.iter().map(|(label, y)| Rule {
        label: label.clone(),
        y: *y,
    });
    Chart {
        title: plot.title.clone(),
        note: plot.note.clone(),
        x: axis(&plot.x),
        y: axis(&plot.y),
        series: plot.traces.iter().map(series).collect(),
        rules: rules.collect(),
        ..Chart::default()
    }
}

fn axis(axis: &PlotAxis) -> Axis {
    Axis {
        scale: if axis.log { Scale::Log } else { Scale::Linear },
        whole: axis.whole,
        ..Axis::new(&axis.label, &axis.unit)
    }
}

fn series(trace: &Trace) -> Series {
    let point = |(at, (&x, &y)): (usize, (&f64, &f64))| Point {
        interval: trace.error.get(at).map(|error| (y - error, y + error)),
        ..Point::new(x, y)
    };
    Series {
        name: trace.name.clone(),
        join: if trace.joined { Join::Line } else { Join::Apart },
        points: trace.x.iter().zip(&trace.y).enumerate().map(point).collect(),
    }
}

fn table(sheet: &Sheet) -> Table {
    // A column is one of numbers if any cell below its head is.
    let numeric = |at: usize| {
        sheet
            .rows
            .iter()
            .any(|row| matches!(row.get(at), Some(Cell::Number(_))))
    };
    let column = |(at, label): (usize, &String)| Column {
        label: label.clone(),
        numeric: numeric(at),
    };
    let text = |cell: &Cell| match cell {
        Cell::Number(value) => number(*value),
        Cell::Text(text) => text.clone(),
    };
    Table {
        caption: sheet.caption.clone(),
        head: sheet.head.iter().enumerate().map(column).collect(),
        rows: sheet.rows.iter().map(|row| row.iter().map(text).collect()).collect(),
        wrong: Vec::new(),
        layout: Layout::folded_if(sheet.rows.len() > 15),
    }
}

/// Whether a figure is held to something and misses it.
pub fn missed(held: Held) -> bool {
    matches!(held, Held::Within { met: false, .. } | Held::Behaviour { met: false })
}

/// What a figure is held to, in words.
pub fn holding(held: Held) -> String {
    let said = |met: bool| if met { "met" } else { "MISSED" };
    match held {
        Held::Within { distance, met } => format!("within {}: {}", number(distance), said(met)),
        Held::Behaviour { met } => format!("same behaviour: {}", said(met)),
        Held::Nothing => "-".to_owned(),
    }
}

fn beside(rows: &[Beside]) -> Option<Table> {
    let cells = |row: &Beside| {
        vec![
            row.of.clone(),
            row.figure.clone(),
            number(row.notebook),
            number(row.ours),
            row.deviation.map_or("-".to_owned(), |deviation| fixed(deviation, 4)),
            row.seeds.to_string(),
            holding(row.held),
        ]
    };
    (!rows.is_empty()).then(|| Table {
        caption: "The notebook's figures beside ours".to_owned(),
        head: vec![
            Column::text("of"),
            Column::text("figure"),
            Column::number("notebook"),
            Column::number("here, mean"),
            Column::number("deviation"),
            Column::number("seeds"),
            Column::text("held to"),
        ],
        rows: rows.iter().map(cells).collect(),
        wrong: (0..rows.len()).filter(|&at| missed(rows[at].held)).collect(),
        layout: Layout::folded_if(rows.len() > 20),
    })
}

fn checks(checks: &[Claim]) -> Table {
    let relation = |relation: Relation| match relation {
        Relation::AtMost => "at most",
        Relation::AtLeast => "at least",
        Relation::Equals => "exactly",
    };
    let cells = |check: &Claim| {
        vec![
            check.name.clone(),
            number(check.value),
            relation(check.relation).to_owned(),
            number(check.bound),
            if check.passed { "holds" } else { "FAILS" }.to_owned(),
        ]
    };
    Table {
        caption: format!("What must hold, {}", plural(checks.len(), "check")),
        head: vec![
            Column::text("check"),
            Column::number("value"),
            Column::text(""),
            Column::number("bound"),
            Column::text(""),
        ],
        rows: checks.iter().map(cells).collect(),
        wrong: (0..checks.len()).filter(|&at| !checks[at].passed).collect(),
        layout: Layout::folded_if(checks.iter().all(|check| check.passed) && checks.len() > 6),
    }
}
