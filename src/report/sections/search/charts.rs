//! The trials: the best so far, their curves, all parameters at once, and when each ran.

use crate::measure::{Search, SearchTrial};
use crate::report::chart::{Axis, Chart, Edge, Join, Point, Series};

use super::of;

/// Curves are marked point by point only while they are few.
const MARKED: usize = 1500;

pub fn all(search: &Search) -> Vec<Chart> {
    [
        Some(history(search)),
        curves(search),
        parallel(search),
        timeline(search),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The axis of what trials are judged by.
pub fn value_axis(search: &Search) -> Axis {
    let (unit, decimals) = if search.measure == "accuracy" {
        ("%", 2)
    } else {
        ("", 4)
    };
    Axis {
        decimals: Some(decimals),
        ..Axis::new(&format!("validation {}", search.measure), unit)
    }
}

/// A value on that axis.
pub fn shown(search: &Search, value: f64) -> f64 {
    if search.measure == "accuracy" {
        100.0 * value
    } else {
        value
    }
}

fn whole(label: &str) -> Axis {
    Axis {
        whole: true,
        ..Axis::new(label, "")
    }
}

fn series(name: impl Into<String>, points: Vec<Point>) -> Series {
    Series {
        name: name.into(),
        points,
        ..Series::default()
    }
}

/// A legend's entry alone: the trials that look like it follow.
fn entry(name: &str) -> Series {
    series(name, Vec::new())
}

fn history(search: &Search) -> Chart {
    let points = |value: fn(&SearchTrial) -> Option<f64>| -> Vec<Point> {
        let point = |trial: &SearchTrial| Some(Point::new(trial.number as f64, shown(search, value(trial)?)));
        search.trials.iter().filter_map(point).collect()
    };
    Chart {
        title: "History of the best".to_owned(),
        x: whole("trial"),
        y: value_axis(search),
        series: vec![
            Series {
                join: Join::Apart,
                ..series("trial", points(|trial| trial.value))
            },
            series("best so far", points(|trial| trial.best)),
        ],
        ..Chart::default()
    }
}

/// Learning curves, pruned ones by a look of their own.
fn curves(search: &Search) -> Option<Chart> {
    let seen: usize = search.trials.iter().map(|trial| trial.curve.len()).sum();
    if seen == 0 || seen > MARKED {
        return None;
    }
    let mut shown_series = vec![entry("complete"), entry("pruned"), entry("the best")];
    for trial in &search.trials {
        let look = match &*trial.state {
            _ if search.best == Some(trial.number) => 2,
            "complete" => 0,
            "pruned" => 1,
            _ => continue,
        };
        let points = trial
            .curve
            .iter()
            .filter_map(|&(epoch, x)| Some(Point::new(epoch as f64, shown(search, x?))));
        shown_series.push(Series {
            join: Join::Like(look),
            ..series(format!("trial {}, {}", trial.number, trial.state), points.collect())
        });
    }
    Some(Chart {
        title: "Learning curves".to_owned(),
        x: whole("epoch"),
        y: value_axis(search),
        series: shown_series,
        ..Chart::default()
    })
}

/// One line a trial over all parameters, each from its smallest value to its largest.
fn parallel(search: &Search) -> Option<Chart> {
    let values: Vec<f64> = search.trials.iter().filter_map(|trial| trial.value).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low >= high || search.parameters.len() < 2 {
        return None;
    }
    let mut ranked: Vec<(usize, f64)> = search
        .trials
        .iter()
        .filter_map(|trial| Some((trial.number, trial.value?)))
        .collect();
    ranked.sort_by(|a, b| {
        if search.maximize {
            b.1.total_cmp(&a.1)
        } else {
            a.1.total_cmp(&b.1)
        }
    });
    let good: Vec<usize> = ranked
        .iter()
        .take(ranked.len().div_ceil(4))
        .map(|each| each.0)
        .collect();
    let mut lines = vec![entry("the best quarter"), entry("other complete trials")];
    for (number, value) in ranked.iter().rev() {
        let trial = &search.trials[*number];
        let place = |name: &str| {
            trial
                .parameters
                .iter()
                .find(|value| value.name == name)
                .map(|value| value.place)
        };
        let points = search.parameters.iter().enumerate();
        let points = points.filter_map(|(i, parameter)| Some(Point::new((i + 1) as f64, place(&parameter.name)?)));
        let end = Point::new((search.parameters.len() + 1) as f64, (value - low) / (high - low));
        lines.push(Series {
            join: Join::Like(usize::from(!good.contains(number))),
            ..series(format!("trial {number}"), points.chain([end]).collect())
        });
    }
    let names = search
        .parameters
        .iter()
        .map(|parameter| &*parameter.name)
        .chain([&*search.measure]);
    let edges = names.clone().enumerate().map(|(i, name)| Edge {
        label: format!("{}: {name}", i + 1),
        x: (i + 1) as f64,
        ..Edge::default()
    });
    let named: Vec<String> = names.enumerate().map(|(i, name)| format!("{} {name}", i + 1)).collect();
    Some(Chart {
        title: "All parameters at once".to_owned(),
        note: format!(
            "Each upright goes from a parameter's smallest value below to its largest above: {}.",
            named.join(", ")
        ),
        x: whole("parameter"),
        y: Axis::new("place in its range", ""),
        series: lines,
        edges: edges.collect(),
        ..Chart::default()
    })
}

fn timeline(search: &Search) -> Option<Chart> {
    let looks = ["complete", "pruned", "failed"];
    let mut lines: Vec<Series> = looks.into_iter().map(entry).collect();
    for (look, state) in looks.into_iter().enumerate() {
        for trial in of(search, state) {
            let Some((from, to)) = trial.started_s.zip(trial.ended_s) else {
                continue;
            };
            let at = |x: f64| Point::new(x, trial.number as f64);
            let job = trial.job.map_or(String::new(), |job| format!(", job {}", job + 1));
            lines.push(Series {
                join: Join::Like(look),
                ..series(format!("trial {}, {state}{job}", trial.number), vec![at(from), at(to)])
            });
        }
    }
    (lines.len() > looks.len()).then(|| Chart {
        title: "Timeline".to_owned(),
        x: Axis {
            decimals: Some(1),
            ..Axis::new("time", "s")
        },
        y: whole("trial"),
        series: lines,
        ..Chart::default()
    })
}
