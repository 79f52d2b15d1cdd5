//! A trained model on its test set: confusion, every class, calibration, the worst mistakes.

use crate::measure::{Calibration, Classification, Mistaken};
use crate::report::chart::{Axis, Chart, Point, Series};
use crate::report::format::{count, fixed, percent, plural};

use super::{Column, Gallery, Heat, Layout, SHADES, Section, Table};

/// Adds it to the section of its training run.
pub fn add(section: &mut Section, found: &Classification) {
    section.heat = Some(heat(found));
    section.tables.push(classes(found));
    if let Some(calibration) = &found.calibration {
        section.charts.push(reliability(calibration));
    }
    section.gallery = gallery(found);
    if section.gallery.is_none() && !found.worst.is_empty() {
        section.tables.push(worst(found));
    }
}

fn heat(found: &Classification) -> Heat {
    let cells = found.confusion.iter().map(|row| {
        let all: u64 = row.iter().sum();
        let shade = |rows: u64| {
            let share = rows as f64 / all.max(1) as f64;
            // A few mistakes among many rows shall be seen: the shade goes with the root of the share.
            (share.sqrt() * SHADES as f64).round() as usize
        };
        row.iter().map(|&rows| (count(rows), shade(rows))).collect()
    });
    Heat {
        caption: "What was taken for what, in the test set".to_owned(),
        names: found.names.clone(),
        sides: ("is", "was taken for"),
        cells: cells.collect(),
    }
}

fn classes(found: &Classification) -> Table {
    let share = |share: Option<f64>| share.map_or("-".to_owned(), percent);
    let rows = found.names.iter().zip(&found.classes).map(|(name, class)| {
        vec![
            name.clone(),
            count(class.rows),
            share(class.precision),
            share(class.recall),
            share(class.f1),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let mean = found
        .macro_f1
        .map_or(String::new(), |f1| format!("; the mean of F1 is {}", percent(f1)));
    let head = ["rows", "precision", "recall", "F1"].map(Column::number);
    Table {
        caption: format!("Every class{mean}"),
        head: [Column::text("class")].into_iter().chain(head).collect(),
        layout: Layout::folded_if(rows.len() > 20),
        rows,
        wrong: Vec::new(),
    }
}

fn reliability(calibration: &Calibration) -> Chart {
    let axis = |label| Axis {
        from_zero: true,
        decimals: Some(2),
        ..Axis::new(label, "%")
    };
    let bins = calibration.bins.iter();
    Chart {
        title: "How far its confidence can be believed".to_owned(),
        note: format!(
            "Bins of equal width; the expected calibration error is {}. Below the dashed line the model believes too much.",
            percent(calibration.error)
        ),
        x: axis("confidence"),
        y: axis("right"),
        series: vec![
            Series {
                name: "the model".to_owned(),
                points: bins
                    .map(|bin| Point::new(100.0 * bin.confidence, 100.0 * bin.right))
                    .collect(),
                ..Series::default()
            },
            Series {
                name: "as it should be".to_owned(),
                points: [0.0, 100.0].map(|x| Point::new(x, x)).into(),
                ..Series::default()
            },
        ],
        ..Chart::default()
    }
}

/// What a mistake was: label, answer, and how sure the model was of it.
fn said(found: &Classification, mistaken: &Mistaken) -> [String; 3] {
    let name = |class: usize| found.names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let sure = mistaken.confidence.map_or(String::new(), percent);
    [name(mistaken.label), name(mistaken.said), sure]
}

fn gallery(found: &Classification) -> Option<Gallery> {
    let pictures = found.worst.iter().filter_map(|mistaken| {
        let [label, answer, sure] = said(found, mistaken);
        let lines = vec![label, format!("taken for {answer}"), sure];
        Some((mistaken.picture.clone()?, lines))
    });
    let pictures: Vec<_> = pictures.collect();
    (!pictures.is_empty()).then(|| Gallery {
        caption: format!(
            "The {} with the largest loss, the worst first: what it is, what it was taken for, how sure the model was",
            plural(pictures.len(), "mistake")
        ),
        pictures,
    })
}

/// Where rows are no pictures.
fn worst(found: &Classification) -> Table {
    let rows = found.worst.iter().map(|mistaken| {
        let [label, answer, sure] = said(found, mistaken);
        vec![mistaken.row.to_string(), label, answer, sure, fixed(mistaken.loss, 4)]
    });
    Table {
        caption: "The mistakes with the largest loss".to_owned(),
        head: vec![
            Column::number("row of the test set"),
            Column::text("is"),
            Column::text("was taken for"),
            Column::number("confidence"),
            Column::number("loss"),
        ],
        rows: rows.collect(),
        wrong: Vec::new(),
        layout: Layout::folded_if(true),
    }
}
