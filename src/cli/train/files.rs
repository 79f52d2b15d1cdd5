//! The files that a run writes beside its table: `--csv`, `--tensorboard`, and `--run-dir`, which has all of a run in one folder.
//!
//! ```text
//! run/command         the command that repeats the run
//! run/config.json     what was trained on what, by which program
//! run/metrics.csv     the table, a line an epoch
//! run/metrics.jsonl   the same with everything that is known of an epoch, an object a line
//! run/checkpoints/    as --checkpoint has them
//! run/record.json     the record, behind the last epoch
//! ```
//!
//! What is there is overwritten once the run has really begun, not before: a run that is refused touches nothing. A run that goes
//! on tells its earlier epochs again, so that the files are those of a run that never stopped.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::csv::Csv;
use super::events::Events;
use crate::measure::{Build, Epoch, Training};

const COMMAND: &str = "command";
const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const RECORD: &str = "record.json";

/// A file that can be written, with what was in it until the run begins.
pub(super) fn kept(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// The error with the file that it is about.
fn named(path: &Path, done: io::Result<()>) -> io::Result<()> {
    done.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// What a run writes epoch by epoch.
#[derive(Default)]
pub(super) struct Files {
    pub(super) csv: Vec<Csv>,
    pub(super) events: Option<Events>,
    pub(super) folder: Option<RunFolder>,
}

impl Files {
    /// The run has begun.
    pub(super) fn begin(&mut self, training: &Training) -> io::Result<()> {
        for csv in &mut self.csv {
            let done = csv.begin();
            named(csv.path(), done)?;
        }
        if let Some(events) = &mut self.events {
            let done = events.begin();
            named(events.path(), done)?;
        }
        self.folder.as_mut().map_or(Ok(()), |folder| folder.begin(training))
    }

    /// An epoch is over.
    pub(super) fn epoch(&mut self, epoch: &Epoch) -> io::Result<()> {
        for csv in &mut self.csv {
            let done = csv.row(epoch);
            named(csv.path(), done)?;
        }
        if let Some(events) = &mut self.events {
            let done = events.epoch(epoch);
            named(events.path(), done)?;
        }
        self.folder.as_mut().map_or(Ok(()), |folder| folder.epoch(epoch))
    }

    /// The run is over, and its record lies at `record`.
    pub(super) fn finish(&self, record: &Path) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let copy = folder.path.join(RECORD);
        named(&copy, fs::copy(record, &copy).map(drop))
    }
}

/// A run's folder.
pub(super) struct RunFolder {
    path: PathBuf,
    metrics: File,
    command: String,
}

impl RunFolder {
    /// Makes the folder if it is missing. `command` is what repeats the run.
    pub(super) fn open(path: &Path, command: String) -> io::Result<(Self, Csv)> {
        fs::create_dir_all(path)?;
        let metrics = kept(&path.join(METRICS))?;
        let csv = Csv::open(&path.join("metrics.csv"))?;
        let path = path.to_owned();
        Ok((Self { path, metrics, command }, csv))
    }

    fn begin(&mut self, training: &Training) -> io::Result<()> {
        let config = json!({
            "layers": training.layers,
            "parameters": training.parameters,
            "settings": training.settings.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "seed": training.seed,
            "device": training.device,
            "kernel": training.kernel,
            "threads": training.threads,
            "data": training.data,
            "train_rows": training.train_rows,
            "test_rows": training.test_rows,
            "build": Build::current(),
        });
        let lines = [(COMMAND, self.command.clone()), (CONFIG, format!("{config:#}"))];
        for (name, text) in lines {
            let path = self.path.join(name);
            named(&path, fs::write(&path, text + "\n"))?;
        }
        named(&self.path.join(METRICS), self.metrics.set_len(0))
    }

    fn epoch(&mut self, epoch: &Epoch) -> io::Result<()> {
        let done = self.metrics.write_all(format!("{}\n", json!(epoch)).as_bytes());
        named(&self.path.join(METRICS), done)
    }
}
