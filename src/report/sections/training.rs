//! A training run: loss, accuracy, and the notebook's four figures for each epoch.

use crate::measure::{Epoch, Record, Training};
use crate::report::chart::{Axis, Chart, Point, Series};
use crate::report::format::{count, fixed, number, percent, plural, seconds};

use super::{Column, Headline, Layout, Section, Table, Tone, Verdict, outline};

/// A training run.
pub fn section(record: &Record, training: &Training) -> Section {
    let mut section = outline(record, verdict(training));
    section.headline = training.epochs.last().map(|last| Headline {
        value: percent(last.test_acc),
        label: format!("test accuracy after {}", plural(last.epoch, "epoch")),
    });
    if !training.epochs.is_empty() {
        section.charts = vec![loss(&training.epochs), accuracy(&training.epochs)];
        section.tables.push(figures(&training.epochs));
        section.tables.extend(layers(&training.epochs));
    }
    if let Some(found) = &training.classification {
        super::classification::add(&mut section, found);
    }
    section.conditions.extend(conditions(training));
    section
}

fn verdict(training: &Training) -> Verdict {
    let Some(last) = training.epochs.last() else {
        return Verdict::new(Tone::Bad, "No epoch was finished.");
    };
    if let Some(lost) = training.epochs.iter().find(|epoch| !epoch.train_loss.is_finite()) {
        let text = format!(
            "The run diverged: from epoch {} on the training loss is not a finite number.",
            lost.epoch
        );
        return Verdict::new(Tone::Bad, text);
    }
    let text = format!(
        "After {} the network is right on {} of the test images; the training loss fell from {} untrained to {}.",
        plural(last.epoch, "epoch"),
        percent(last.test_acc),
        fixed(training.first_loss, 3),
        fixed(last.train_loss, 4)
    );
    // NaN must not pass for a loss that fell.
    let fell = last.train_loss < training.first_loss;
    let text = if fell {
        text
    } else {
        text.replace("fell from", "went from")
    };
    Verdict::new(Tone::Plain, text)
}

fn series(name: &str, epochs: &[Epoch], value: impl Fn(&Epoch) -> f64) -> Series {
    let points = epochs
        .iter()
        .map(|epoch| Point::new(epoch.epoch as f64, value(epoch)))
        .collect();
    Series {
        name: name.to_owned(),
        points,
        ..Series::default()
    }
}

fn epochs_axis() -> Axis {
    Axis {
        whole: true,
        ..Axis::new("epoch", "")
    }
}

fn loss(epochs: &[Epoch]) -> Chart {
    Chart {
        title: "Loss over the epochs".to_owned(),
        x: epochs_axis(),
        y: Axis {
            from_zero: true,
            decimals: Some(4),
            ..Axis::new("cross-entropy loss", "")
        },
        series: vec![
            series("train, while training", epochs, |epoch| epoch.train_loss),
            series("test, after the epoch", epochs, |epoch| epoch.test_loss),
        ],
        ..Chart::default()
    }
}

fn accuracy(epochs: &[Epoch]) -> Chart {
    Chart {
        title: "Accuracy over the epochs".to_owned(),
        x: epochs_axis(),
        y: Axis {
            decimals: Some(2),
            ..Axis::new("accuracy", "%")
        },
        series: vec![
            series("train, after the epoch", epochs, |epoch| 100.0 * epoch.train_acc),
            series("test, after the epoch", epochs, |epoch| 100.0 * epoch.test_acc),
        ],
        ..Chart::default()
    }
}

fn figures(epochs: &[Epoch]) -> Table {
    let rate = |value: f64| {
        if value.is_finite() && value >= 0.0 {
            count(value.round() as u64)
        } else {
            number(value)
        }
    };
    Table {
        caption: "Every epoch".to_owned(),
        head: [
            "epoch",
            "train loss",
            "test loss",
            "train accuracy",
            "test accuracy",
            "seconds",
            "samples/s",
        ]
        .map(Column::number)
        .into(),
        rows: epochs
            .iter()
            .map(|epoch| {
                vec![
                    epoch.epoch.to_string(),
                    fixed(epoch.train_loss, 4),
                    fixed(epoch.test_loss, 4),
                    percent(epoch.train_acc),
                    percent(epoch.test_acc),
                    fixed(epoch.seconds, 2),
                    rate(epoch.samples_per_s),
                ]
            })
            .collect(),
        wrong: Vec::new(),
        layout: Layout::folded_if(epochs.len() > 15),
    }
}

/// What every layer did after each epoch, if that was asked for.
fn layers(epochs: &[Epoch]) -> Option<Table> {
    let share = |share: Option<f64>| share.map_or("-".to_owned(), percent);
    let rows = epochs.iter().flat_map(|epoch| {
        epoch.layers.iter().map(|layer| {
            vec![
                epoch.epoch.to_string(),
                layer.layer.to_string(),
                number(layer.gradient_norm),
                share(layer.dead_units),
                share(layer.sparsity),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let head = ["epoch", "layer", "gradient norm", "dead units", "outputs that are 0"];
    (!rows.is_empty()).then(|| Table {
        caption: "Every layer after each epoch, on the first batch".to_owned(),
        head: head.map(Column::number).into(),
        layout: Layout::folded_if(rows.len() > 15),
        rows,
        wrong: Vec::new(),
    })
}

fn conditions(training: &Training) -> Vec<(String, String)> {
    let layers: Vec<String> = training.layers.iter().map(usize::to_string).collect();
    let settings: Vec<String> = training
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}").trim_end().to_owned())
        .collect();
    let rows = format!(
        "{} to train on, {} to test on",
        count(training.train_rows as u64),
        count(training.test_rows as u64)
    );
    let time = training
        .epochs
        .iter()
        .map(|epoch| epoch.seconds)
        .fold(0.0, |sum, seconds| sum + seconds);
    [
        (
            "network",
            format!(
                "{}; {} trained numbers",
                layers.join("-"),
                count(training.parameters as u64)
            ),
        ),
        ("settings", settings.join(", ")),
        ("seed", training.seed.to_string()),
        ("data", training.data.clone()),
        ("images", rows),
        (
            "device",
            format!(
                "{}, kernel {}, {}",
                training.device,
                training.kernel,
                plural(training.threads, "thread")
            ),
        ),
        ("time of all epochs", seconds(time)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
