//! What `tilelab train` prints: a table that grows by a line an epoch, or JSON lines, and a progress bar over either.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::measure::{Body, Epoch, Progress, Record, Training};
use crate::mlp::Event;

/// What is printed while a run trains.
pub(in crate::cli) struct Screen {
    json: bool,
    progress: Progress,
    rows: usize,
    /// Why stdout can't be written any more.
    pub(in crate::cli) error: Option<io::Error>,
}

impl Screen {
    pub(in crate::cli) fn new(json: bool, rows: usize, epochs: usize) -> Self {
        let progress = Progress::new((rows * epochs) as u64, "samples");
        Self {
            json,
            progress,
            rows,
            error: None,
        }
    }

    /// Whether it could be shown.
    pub(in crate::cli) fn show(&mut self, event: Event<'_>) -> bool {
        let text = match event {
            Event::Batch { epoch, rows } => {
                self.progress.set(((epoch - 1) * self.rows + rows) as u64);
                return true;
            }
            Event::Note(note) => {
                self.progress.suspend(|| eprintln!("note: {note}"));
                return true;
            }
            Event::Started(training) => {
                self.progress
                    .label(format!("epoch 1 of {}", setting(training, "epochs")));
                if self.json { String::new() } else { head(training) }
            }
            Event::Epoch(epoch) => {
                self.progress.label(format!("epoch {} done", epoch.epoch));
                if self.json {
                    format!("{}\n", json!(epoch))
                } else {
                    line(epoch)
                }
            }
        };
        let written = self.progress.suspend(|| print(&text));
        self.error = written.err();
        self.error.is_none()
    }

    /// The summary.
    pub(in crate::cli) fn finish(self, record: &Record, path: &Path) -> io::Result<()> {
        let Body::Training(training) = &record.body else {
            return Ok(());
        };
        drop(self.progress);
        if self.json {
            return print(&format!("{}\n", summary(record, training, path)));
        }
        print(&format!(
            "{:.1} s in all; record in {}\n",
            record.elapsed_s,
            path.display()
        ))
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn setting<'a>(training: &'a Training, name: &str) -> &'a str {
    training
        .settings
        .iter()
        .find(|(known, _)| known == name)
        .map_or("", |(_, value)| value)
}

/// What is trained on what, and the headings of the table.
fn head(training: &Training) -> String {
    let settings: Vec<String> = training
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let classes = training.layers.last().map_or(f64::NAN, |&classes| classes as f64);
    let threads = if training.threads == 1 { "thread" } else { "threads" };
    format!(
        "{}\n{}, seed {}; {} parameters\n{}: {}, {} {threads}\nfirst loss {:.4}, ln {classes} = {:.4}\n\n{}",
        training.data,
        settings.join(", "),
        training.seed,
        training.parameters,
        training.device,
        training.kernel,
        training.threads,
        training.first_loss,
        classes.ln(),
        "epoch  train_loss  test_loss  train_acc  test_acc  seconds  samples_per_s\n",
    )
}

fn line(epoch: &Epoch) -> String {
    let Epoch {
        epoch,
        train_loss,
        test_loss,
        train_acc,
        test_acc,
        seconds,
        samples_per_s,
    } = epoch;
    format!(
        "{epoch:>5}  {train_loss:>10.4}  {test_loss:>9.4}  {train_acc:>9.4}  {test_acc:>8.4}  {seconds:>7.3}  \
         {samples_per_s:>13.0}\n"
    )
}

/// The last line of `--json`: `"event": "done"`, the run, and the figures of its last epoch.
fn summary(record: &Record, training: &Training, path: &Path) -> serde_json::Value {
    let mut summary = json!({
        "event": "done",
        "layers": training.layers,
        "parameters": training.parameters,
        "settings": training.settings.iter().cloned().collect::<BTreeMap<_, _>>(),
        "seed": training.seed,
        "device": training.device,
        "kernel": training.kernel,
        "threads": training.threads,
        "data": training.data,
        "train_rows": training.train_rows,
        "test_rows": training.test_rows,
        "first_loss": training.first_loss,
        "epochs": training.epochs.len(),
        "elapsed_s": record.elapsed_s,
        "record": path,
    });
    if let Some(last) = training.epochs.last() {
        summary["train_loss"] = json!(last.train_loss);
        summary["test_loss"] = json!(last.test_loss);
        summary["train_acc"] = json!(last.train_acc);
        summary["test_acc"] = json!(last.test_acc);
    }
    summary
}
