//! What the parameters did: slices, importance, and the two most important together.

use crate::measure::{Importance, Search, SearchContour, SearchParameter};
use crate::report::chart::{Axis, Chart, Join, Point, Series};
use crate::report::format::percent;
use crate::report::ticks::Scale;

use super::super::{Column, Layout, Table};
use super::charts::{shown, value_axis};

/// Bands of a contour.
const BANDS: usize = 5;
/// Pairs that a reader looks at.
const PAIRS: usize = 10;

pub fn charts(search: &Search) -> Vec<Chart> {
    let contour = search
        .importance
        .as_ref()
        .and_then(|importance| importance.contour.as_ref());
    let contour = contour.and_then(|contour| contoured(search, contour));
    contour.into_iter().chain(slices(search)).collect()
}

pub fn tables(search: &Search) -> Vec<Table> {
    search.importance.as_ref().map(importance).unwrap_or_default()
}

/// The axis of a parameter; a choice is its number, from 1.
fn axis(parameter: &SearchParameter) -> Axis {
    Axis {
        scale: if parameter.log { Scale::Log } else { Scale::Linear },
        whole: parameter.whole,
        ..Axis::new(&parameter.name, "")
    }
}

fn on_axis(parameter: &SearchParameter, x: f64) -> f64 {
    if parameter.choices.is_empty() { x } else { x + 1.0 }
}

/// What the numbers of a choice mean.
fn legend(parameter: &SearchParameter) -> String {
    let named = parameter
        .choices
        .iter()
        .enumerate()
        .map(|(i, name)| format!("{} is {name}", i + 1));
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        String::new()
    } else {
        format!("{}: {}.", parameter.name, named.join(", "))
    }
}

fn slices(search: &Search) -> impl Iterator<Item = Chart> {
    search.parameters.iter().filter_map(|parameter| {
        let point = |trial: &crate::measure::SearchTrial| {
            let value = trial.parameters.iter().find(|value| value.name == parameter.name)?;
            Some(Point::new(on_axis(parameter, value.x), shown(search, trial.value?)))
        };
        let mut points: Vec<Point> = search.trials.iter().filter_map(point).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        let absent = if parameter.conditional {
            "Trials without this parameter are not there."
        } else {
            ""
        };
        (!points.is_empty()).then(|| Chart {
            title: format!("{}: every complete trial", parameter.name),
            note: [legend(parameter), absent.to_owned()].join(" ").trim().to_owned(),
            x: axis(parameter),
            y: value_axis(search),
            series: vec![Series {
                name: "trial".to_owned(),
                join: Join::Apart,
                points,
            }],
            ..Chart::default()
        })
    })
}

/// Bands of the expected value, the fuller the better.
fn contoured(search: &Search, contour: &SearchContour) -> Option<Chart> {
    let find = |name: &str| search.parameters.iter().find(|parameter| parameter.name == name);
    let (first, second) = (find(&contour.parameters.0)?, find(&contour.parameters.1)?);
    let values = || contour.values.iter().flatten().copied();
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    if low >= high {
        return None;
    }
    let bound = |band: usize| low + (high - low) * band as f64 / BANDS as f64;
    let band_of = |x: f64| (((x - low) / (high - low) * BANDS as f64) as usize).min(BANDS - 1);
    let axis_of_values = value_axis(search);
    let text = |x: f64| axis_of_values.text(shown(search, x));
    let mut bands: Vec<Series> = (0..BANDS)
        .map(|band| Series {
            name: axis_of_values.text_with_unit(&format!("{} to {}", text(bound(band)), text(bound(band + 1)))),
            join: Join::Cells,
            ..Series::default()
        })
        .collect();
    for (row, &y) in contour.values.iter().zip(&contour.y) {
        for (&value, &x) in row.iter().zip(&contour.x) {
            bands[band_of(value)]
                .points
                .push(Point::new(on_axis(first, x), on_axis(second, y)));
        }
    }
    // The fullest band is the best one.
    if !search.maximize {
        bands.reverse();
    }
    let note = [
        "The forest's mean over all other parameters.".to_owned(),
        legend(first),
        legend(second),
    ];
    Some(Chart {
        title: format!("{} and {} together", first.name, second.name),
        note: note.join(" ").trim_end().to_owned(),
        x: axis(first),
        y: axis(second),
        series: bands,
        ..Chart::default()
    })
}

fn importance(importance: &Importance) -> Vec<Table> {
    let alone = importance
        .alone
        .iter()
        .map(|(name, share)| vec![name.clone(), percent(*share)]);
    let pairs = importance.pairs.iter().take(PAIRS);
    let pairs = pairs.map(|(first, second, share)| vec![format!("{first} and {second}"), percent(*share)]);
    let table = |caption: String, head: &str, rows: Vec<Vec<String>>| Table {
        caption,
        head: vec![Column::text(head), Column::number("share of the variance")],
        rows,
        wrong: Vec::new(),
        layout: Layout::Card,
    };
    let mut tables = vec![table(
        format!(
            "What each parameter does alone, over {} complete trials",
            importance.trials
        ),
        "parameter",
        alone.collect(),
    )];
    let pairs: Vec<_> = pairs.collect();
    if !pairs.is_empty() {
        let caption = "What two do together, beyond each alone: why one after the other is not enough".to_owned();
        tables.push(table(caption, "parameters", pairs));
    }
    tables
}
