//! `--csv`: the table of a run as a file, a line an epoch, whole after each epoch.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::files::kept;
use crate::measure::Epoch;

const HEAD: &str =
    "epoch,train_loss,test_loss,train_acc,test_acc,validation_loss,validation_acc,seconds,samples_per_s\n";

/// The file.
pub(super) struct Csv {
    path: PathBuf,
    file: File,
}

impl Csv {
    /// What was in the file stays until [`Csv::begin`].
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (path, file) = (path.to_owned(), kept(path)?);
        Ok(Self { path, file })
    }

    /// The headings, and nothing else.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(HEAD.as_bytes())
    }

    /// The line of one epoch. Numbers are as exact as in the record.
    pub(super) fn row(&mut self, row: &Epoch) -> io::Result<()> {
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
            ..
        } = row;
        let cell = |value: &Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let (loss, acc) = (cell(validation_loss), cell(validation_acc));
        let line =
            format!("{epoch},{train_loss},{test_loss},{train_acc},{test_acc},{loss},{acc},{seconds},{samples_per_s}\n");
        self.file.write_all(line.as_bytes())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
