//! A search for a learning rate: the loss over the rate, and the suggestion.

use crate::measure::{RateOutcome, RatePoint, RateSearch, Record};
use crate::report::chart::{Axis, Chart, Edge, Point, Series};
use crate::report::format::{fixed, number};
use crate::report::ticks::Scale;

use super::{Column, Headline, Layout, Section, Table, Tone, Verdict, outline};

/// A search for a learning rate.
pub fn section(record: &Record, search: &RateSearch) -> Section {
    let mut section = outline(record, verdict(&search.outcome));
    if let RateOutcome::Suggested { lr } = search.outcome {
        section.headline = Some(Headline {
            value: number(lr),
            label: "suggested learning rate".to_owned(),
        });
    }
    if !search.points.is_empty() {
        section.charts.push(chart(search));
        section.tables.push(table(&search.points));
    }
    let settings = search
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}").trim_end().to_owned());
    section
        .conditions
        .push(("settings".to_owned(), settings.collect::<Vec<_>>().join(", ")));
    section
}

fn verdict(outcome: &RateOutcome) -> Verdict {
    match outcome {
        RateOutcome::Suggested { lr } => {
            let text = format!("Half of the loss's fall is done at a learning rate of {}.", number(*lr));
            Verdict::new(Tone::Plain, text)
        }
        RateOutcome::NotFinite => Verdict::new(
            Tone::Bad,
            "No suggestion: the loss was not finite almost from the first step on.",
        ),
        RateOutcome::NeverFell => Verdict::new(
            Tone::Bad,
            "No suggestion: the loss fell at none of the rates, so the model does not learn with these options.",
        ),
    }
}

fn chart(search: &RateSearch) -> Chart {
    let points = &search.points;
    let suggested = match search.outcome {
        RateOutcome::Suggested { lr } => Some(Edge {
            label: "suggested rate".to_owned(),
            name: "suggested".to_owned(),
            x: lr,
            ..Edge::default()
        }),
        _ => None,
    };
    let series = |name: &str, value: fn(&RatePoint) -> f64| Series {
        name: name.to_owned(),
        points: points.iter().map(|point| Point::new(point.lr, value(point))).collect(),
        ..Series::default()
    };
    Chart {
        title: "Loss while the learning rate rises".to_owned(),
        x: Axis {
            scale: Scale::Log,
            ..Axis::new("learning rate", "")
        },
        y: Axis {
            decimals: Some(4),
            ..Axis::new("loss", "")
        },
        series: vec![
            series("smoothed", |point| point.smoothed),
            series("of each batch", |point| point.loss),
        ],
        edges: suggested.into_iter().collect(),
        ..Chart::default()
    }
}

fn table(points: &[RatePoint]) -> Table {
    Table {
        caption: "Every step".to_owned(),
        head: ["learning rate", "loss", "smoothed"].map(Column::number).into(),
        rows: points
            .iter()
            .map(|point| vec![number(point.lr), fixed(point.loss, 4), fixed(point.smoothed, 4)])
            .collect(),
        wrong: Vec::new(),
        layout: Layout::folded_if(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_words() {
        for (outcome, words) in [
            (RateOutcome::Suggested { lr: 0.1 }, "at a learning rate of 0.1"),
            (RateOutcome::NotFinite, "not finite"),
            (RateOutcome::NeverFell, "at none of the rates"),
        ] {
            assert!(verdict(&outcome).text.contains(words), "{outcome:?}");
        }
    }
}
