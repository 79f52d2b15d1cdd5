//! What `tilelab train` prints: a table that grows by a line an epoch, or JSON lines, and a progress bar over either.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::files::Files;
use crate::data::grouped;
use crate::measure::{Body, Epoch, Progress, Record, Table, Training, binary_bytes};
use crate::mlp::{Event, Summary};

/// What is printed while a run trains.
pub(in crate::cli) struct Screen {
    json: bool,
    progress: Progress,
    rows: usize,
    summary: Option<Summary>,
    /// Where the table goes too.
    pub(super) files: Files,
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
            summary: None,
            files: Files::default(),
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
            Event::Summary(summary) => {
                self.summary = Some(summary.clone());
                return true;
            }
            Event::Note(note) => {
                self.progress.suspend(|| eprintln!("note: {note}"));
                return true;
            }
            Event::Started(training) => {
                if let Err(error) = self.files.begin(training) {
                    self.error = Some(error);
                    return false;
                }
                self.progress
                    .label(format!("epoch 1 of {}", setting(training, "epochs")));
                if self.json {
                    String::new()
                } else {
                    head(training, self.summary.as_ref()) + &headings(training)
                }
            }
            Event::Epoch(epoch) => {
                self.progress.label(format!("epoch {} done", epoch.epoch));
                if let Err(error) = self.files.epoch(epoch) {
                    self.error = Some(error);
                    return false;
                }
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

    /// What `--dry-run` prints.
    pub(super) fn dry(&self, summary: &Summary, training: &Training) -> String {
        if !self.json {
            return head(training, Some(summary)) + "dry run: no step was taken, nothing was written\n";
        }
        let mut line = json!({"event": "dry-run", "layers": training.layers, "parameters": training.parameters,
            "settings": training.settings.iter().cloned().collect::<BTreeMap<_, _>>(), "data": training.data,
            "first_loss": training.first_loss});
        sizes(&mut line, summary);
        format!("{line}\n")
    }

    /// The summary.
    pub(in crate::cli) fn finish(self, record: &Record, path: &Path) -> io::Result<()> {
        let Body::Training(training) = &record.body else {
            return Ok(());
        };
        drop(self.progress);
        self.files.finish(path)?;
        if self.json {
            let mut line = summary(record, training, path);
            if let Some(summary) = &self.summary {
                sizes(&mut line, summary);
            }
            return print(&format!("{line}\n"));
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

/// What is trained on what.
fn head(training: &Training, summary: Option<&Summary>) -> String {
    let settings: Vec<String> = training
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}").trim_end().to_owned())
        .collect();
    // One output tells two classes apart.
    let classes = training
        .layers
        .last()
        .map_or(f64::NAN, |&classes| classes.max(2) as f64);
    let threads = if training.threads == 1 { "thread" } else { "threads" };
    format!(
        "{}\n{}, seed {}; {} parameters\n{}{}: {}, {} {threads}\nfirst loss {:.4}, ln {classes} = {:.4}\n\n",
        training.data,
        settings.join(", "),
        training.seed,
        training.parameters,
        summary.map_or(String::new(), layers),
        training.device,
        training.kernel,
        training.threads,
        training.first_loss,
        classes.ln(),
    )
}

fn headings(training: &Training) -> String {
    let validates = !setting(training, "validation").is_empty();
    let validation = if validates { "  val_loss  val_acc" } else { "" };
    format!("epoch  train_loss  test_loss  train_acc  test_acc{validation}  seconds  samples_per_s\n")
}

/// A line a layer, then what all of it takes.
fn layers(summary: &Summary) -> String {
    let mut table = Table::new(&["layer", "size", "then", "parameters"]);
    for layer in &summary.layers {
        let (inputs, outputs) = layer.size;
        table.row(vec![
            layer.number.to_string(),
            format!("{inputs} -> {outputs}"),
            layer.activation.to_owned(),
            grouped(layer.parameters),
        ]);
    }
    format!(
        "\n{}{} of buffers; a step on {} rows is {:.1} Mflop, an epoch {} steps\n\n",
        table.render(),
        binary_bytes(summary.buffer_bytes),
        grouped(summary.batch),
        summary.step_flops as f64 / 1e6,
        summary.epoch_steps
    )
}

fn sizes(line: &mut serde_json::Value, summary: &Summary) {
    line["buffer_bytes"] = json!(summary.buffer_bytes);
    line["step_flops"] = json!(summary.step_flops);
    line["epoch_steps"] = json!(summary.epoch_steps);
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
        validation_loss,
        validation_acc,
        layers,
    } = epoch;
    let validation = validation_loss.zip(*validation_acc);
    let validation = validation.map_or(String::new(), |(loss, acc)| format!("  {loss:>8.4}  {acc:>7.4}"));
    let mut below = String::new();
    for layer in layers {
        below += &format!(
            "       layer {}: gradient norm {:.3e}",
            layer.layer, layer.gradient_norm
        );
        if let (Some(dead), Some(zeros)) = (layer.dead_units, layer.sparsity) {
            below += &format!(
                ", {:.1} % of the units dead, {:.1} % of the outputs 0",
                100.0 * dead,
                100.0 * zeros
            );
        }
        below += "\n";
    }
    format!(
        "{epoch:>5}  {train_loss:>10.4}  {test_loss:>9.4}  {train_acc:>9.4}  {test_acc:>8.4}{validation}  \
         {seconds:>7.3}  {samples_per_s:>13.0}\n{below}"
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
        if let Some(loss) = last.validation_loss {
            summary["validation_loss"] = json!(loss);
            summary["validation_acc"] = json!(last.validation_acc);
        }
    }
    summary
}
