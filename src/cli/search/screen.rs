//! What `tilelab search` prints: a line a trial, or JSON lines, and a progress bar over either.

use std::path::Path;

use serde_json::json;

use crate::cli::print;
use crate::measure::Progress;
use crate::mlp::number;
use crate::search::training::Tested;
use crate::search::{Configuration, DIVERGED, Direction, Ended, FAILURE, Study, Told, Trial, Value};

/// What is printed while a study grows.
pub(super) struct Screen {
    json: bool,
    progress: Progress,
    direction: Direction,
    wanted: usize,
    done: usize,
    best: Option<(usize, f64)>,
}

/// Parameters in one line.
fn spelled(configuration: &Configuration) -> String {
    let parts: Vec<String> = configuration
        .iter()
        .map(|(name, value)| format!("{name}={}", short(value)))
        .collect();
    parts.join(" ")
}

/// Numbers of a continuum with four digits: the study has them all.
fn short(value: &Value) -> String {
    match value {
        Value::Float(x) => number(format!("{x:.3e}").parse().unwrap_or(*x)),
        other => other.to_string(),
    }
}

impl Screen {
    pub(super) fn new(json: bool, study: &Study, wanted: usize) -> Self {
        let done = study.trials().iter().filter(|trial| trial.state.is_finished()).count();
        let mut progress = Progress::new(wanted as u64, "trials");
        progress.label("search");
        Self {
            json,
            progress,
            direction: study.plan().direction,
            wanted,
            done,
            best: study.best().and_then(|best| Some((best.number, best.result()?))),
        }
    }

    /// Before the first trial.
    pub(super) fn begin(&mut self, data: &str, (learn, judge): (usize, usize), notes: &[String]) -> anyhow::Result<()> {
        for note in notes {
            eprintln!("note: {note}");
        }
        if self.json {
            return Ok(());
        }
        let mut text = format!("{data}\ntrials learn from {learn} rows and are judged by {judge} others\n");
        if self.done > 0 {
            text += &format!("the study has {} of {} trials\n", self.done, self.wanted);
        }
        print(&format!(
            "{text}\ntrial     state   value    best  seconds  configuration\n"
        ))
    }

    pub(super) fn show(&mut self, told: Told, trial: &Trial) {
        if told != Told::Ended {
            return self.progress.set(self.done as u64);
        }
        self.done += 1;
        if let Some(value) = trial.result()
            && self.best.is_none_or(|(_, best)| self.direction.better(value, best))
        {
            self.best = Some((trial.number, value));
        }
        let seconds = trial.ended_s.zip(trial.started_s).map(|(to, from)| to - from);
        let said = |name: &str| trial.user.get(name).and_then(|why| why.as_str()).unwrap_or_default();
        let why = [said(DIVERGED), said(FAILURE)].concat();
        let line = if self.json {
            let object = json!({
                "event": "trial", "trial": trial.number, "state": trial.state.to_string(), "value": trial.value,
                "seconds": seconds, "parameters": trial.configuration, "why": why,
            });
            format!("{object}\n")
        } else {
            let figure = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.4}"));
            let why = if why.is_empty() { why } else { format!("  ({why})") };
            format!(
                "{:>5}  {:>8}  {:>6}  {:>6}  {:>7.1}  {}{why}\n",
                trial.number,
                trial.state.to_string(),
                figure(trial.value),
                figure(self.best.map(|best| best.1)),
                seconds.unwrap_or(0.0),
                spelled(&trial.configuration),
            )
        };
        // A reader that left is no reason to lose the search; it goes on into its file.
        self.progress.suspend(|| drop(print(&line)));
        self.progress.set(self.done as u64);
    }

    /// Behind the last trial.
    pub(super) fn ended(&mut self, study: &Study, ended: Ended) -> anyhow::Result<()> {
        if ended == Ended::TimedOut {
            eprintln!("note: the time is over; the same command goes on");
        }
        if self.json || ended == Ended::Stopped {
            return Ok(());
        }
        let Some(best) = study.best() else {
            return print("\nno trial is complete\n");
        };
        let value = best.result().unwrap_or(f64::NAN);
        print(&format!(
            "\nbest: trial {} with {value:.4}: {}\n",
            best.number,
            spelled(&best.configuration)
        ))
    }

    /// The best on the test set.
    pub(super) fn tested(&mut self, tests: &[Tested], command: &str) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut text = String::new();
        if !tests.is_empty() {
            let each: Vec<String> = tests.iter().map(|tested| format!("{:.4}", tested.accuracy)).collect();
            text += &format!(
                "trained on all rows, tested once under each seed: accuracy {:.4}, mean of {}\n",
                mean(tests),
                each.join(", ")
            );
        }
        print(&format!("{text}{command}\n"))
    }

    /// The record is written.
    pub(super) fn finish(&mut self, study: &Study, tests: &[Tested], path: &Path) -> anyhow::Result<()> {
        if !self.json {
            return print(&format!("record in {}\n", path.display()));
        }
        let best = study.best();
        let object = json!({
            "event": "done", "trials": study.trials().len(), "best": best.map(|best| best.number),
            "value": best.and_then(Trial::result), "parameters": best.map(|best| &best.configuration),
            "test_accuracy": (!tests.is_empty()).then(|| mean(tests)), "record": path,
        });
        print(&format!("{object}\n"))
    }
}

fn mean(tests: &[Tested]) -> f64 {
    tests.iter().map(|tested| tested.accuracy).sum::<f64>() / tests.len() as f64
}
