//! A hyperparameter search: how the best came, what each trial saw, what made the difference, and the command to copy.

mod charts;
mod parameters;

use crate::measure::{Record, Search, SearchTrial};
use crate::report::format::{count, fixed, percent, plural, seconds};

use super::{Column, Headline, Layout, Section, Table, Tone, Verdict, outline};

/// A hyperparameter search.
pub fn section(record: &Record, search: &Search) -> Section {
    let mut section = outline(record, verdict(search));
    section.headline = headline(search);
    if search.trials.iter().any(|trial| trial.value.is_some()) {
        section.charts = charts::all(search);
        section.charts.extend(parameters::charts(search));
    }
    section.notes = notes(search);
    section.tables.extend(best(search));
    section.tables.extend(parameters::tables(search));
    section.tables.push(trials(search));
    section.conditions.extend(conditions(search));
    section
}

/// Trials in this state.
fn of<'a>(search: &'a Search, state: &'a str) -> impl Iterator<Item = &'a SearchTrial> {
    search.trials.iter().filter(move |trial| trial.state == state)
}

/// The figure that trials are judged by: a share in percent, or a loss.
fn figure(search: &Search, value: f64) -> String {
    if search.measure == "accuracy" {
        percent(value)
    } else {
        fixed(value, 4)
    }
}

fn best_trial(search: &Search) -> Option<(&SearchTrial, f64)> {
    let best = search.best.and_then(|number| search.trials.get(number))?;
    Some((best, best.value?))
}

fn verdict(search: &Search) -> Verdict {
    let Some((best, value)) = best_trial(search) else {
        return Verdict::new(Tone::Bad, "No trial is complete: nothing is known yet.");
    };
    let mut text = format!(
        "Of {} ({} complete, {} pruned, {} failed) trial {} is the best: validation {} {}.",
        plural(search.trials.len(), "trial"),
        of(search, "complete").count(),
        of(search, "pruned").count(),
        of(search, "failed").count(),
        best.number,
        search.measure,
        figure(search, value)
    );
    if let Some(mean) = mean_accuracy(search) {
        text += &format!(
            " Trained on all rows it is right on {} of the test set, mean of {}.",
            percent(mean),
            plural(search.tests.len(), "seed")
        );
    }
    Verdict::new(Tone::Plain, text)
}

/// The one figure that the records do not hold: the mean of their test runs.
fn mean_accuracy(search: &Search) -> Option<f64> {
    let sum: f64 = search.tests.iter().map(|test| test.accuracy).sum();
    (!search.tests.is_empty()).then(|| sum / search.tests.len() as f64)
}

fn headline(search: &Search) -> Option<Headline> {
    let tested = mean_accuracy(search).map(|mean| (percent(mean), "test accuracy of the best configuration"));
    let chosen = best_trial(search).map(|(_, value)| (figure(search, value), "best of the search, on validation"));
    tested.or(chosen).map(|(value, label)| Headline {
        value,
        label: label.to_owned(),
    })
}

fn notes(search: &Search) -> Vec<String> {
    let mut notes = Vec::new();
    if !search.best_command.is_empty() {
        notes.push(format!("To train the best again: {}", search.best_command));
    }
    if let Some(importance) = &search.importance
        && !importance.left_out.is_empty()
    {
        notes.push(format!(
            "Nothing is said of the importance of {}: some complete trials do not have them.",
            importance.left_out.join(", ")
        ));
    }
    notes
}

/// The best configuration and its test runs.
fn best(search: &Search) -> Vec<Table> {
    let Some((best, _)) = best_trial(search) else {
        return Vec::new();
    };
    let searched = best
        .parameters
        .iter()
        .map(|value| vec![value.name.clone(), value.text.clone()]);
    let fixed_ones = search.fixed.iter().map(|(flag, value)| {
        vec![
            flag.trim_start_matches('-').replace('-', "_"),
            format!("{value} (not searched)"),
        ]
    });
    let mut tables = vec![Table {
        caption: format!("The best configuration, trial {}", best.number),
        head: vec![Column::text("hyperparameter"), Column::text("value")],
        rows: searched.chain(fixed_ones).collect(),
        wrong: Vec::new(),
        layout: Layout::Card,
    }];
    if !search.tests.is_empty() {
        let row = |test: &crate::measure::SearchTest| {
            vec![test.seed.to_string(), percent(test.accuracy), fixed(test.loss, 4)]
        };
        tables.push(Table {
            caption: "Trained on all rows, tested once".to_owned(),
            head: ["seed", "test accuracy", "test loss"].map(Column::number).into(),
            rows: search.tests.iter().map(row).collect(),
            wrong: Vec::new(),
            layout: Layout::Card,
        });
    }
    tables
}

fn trials(search: &Search) -> Table {
    let row = |trial: &SearchTrial| {
        let time = trial
            .ended_s
            .zip(trial.started_s)
            .map_or("-".to_owned(), |(to, from)| fixed(to - from, 1));
        let parameters: Vec<String> = trial
            .parameters
            .iter()
            .map(|value| format!("{}={}", value.name, value.text))
            .collect();
        vec![
            trial.number.to_string(),
            trial.state.clone(),
            trial.value.map_or("-".to_owned(), |value| figure(search, value)),
            trial
                .curve
                .last()
                .map_or("-".to_owned(), |(epoch, _)| epoch.to_string()),
            time,
            parameters.join(" "),
            trial.note.clone(),
        ]
    };
    let numeric = [true, false, true, true, true, false, false];
    let head = ["trial", "state", "value", "epochs", "seconds", "configuration", "note"];
    let column = |(label, numeric): (&str, bool)| {
        if numeric {
            Column::number(label)
        } else {
            Column::text(label)
        }
    };
    Table {
        caption: "Every trial".to_owned(),
        head: head.into_iter().zip(numeric).map(column).collect(),
        rows: search.trials.iter().map(row).collect(),
        wrong: search
            .trials
            .iter()
            .enumerate()
            .filter(|(_, trial)| trial.state == "failed")
            .map(|(i, _)| i)
            .collect(),
        layout: Layout::folded_if(search.trials.len() > 15),
    }
}

fn conditions(search: &Search) -> Vec<(String, String)> {
    let busy: f64 = search
        .trials
        .iter()
        .filter_map(|trial| Some(trial.ended_s? - trial.started_s?))
        .sum();
    [
        ("study", format!("{}, which Optuna opens", search.study)),
        ("sampler", search.sampler.clone()),
        ("pruner", search.pruner.clone()),
        ("jobs", search.jobs.to_string()),
        ("seed", search.seed.to_string()),
        ("data", search.data.clone()),
        (
            "rows",
            format!(
                "trials learn from {} and are judged by {}",
                count(search.rows.0 as u64),
                count(search.rows.1 as u64)
            ),
        ),
        ("time of all trials", seconds(busy)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
