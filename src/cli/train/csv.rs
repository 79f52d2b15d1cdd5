//! `--csv`: the table of a run as a file, a line an epoch, whole after each epoch.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::measure::Epoch;

const HEAD: &str =
    "epoch,train_loss,test_loss,train_acc,test_acc,validation_loss,validation_acc,seconds,samples_per_s\n";

/// The file.
pub(super) struct Csv {
    path: PathBuf,
    file: File,
}

impl Csv {
    /// A new file with its headings; what was in it is gone.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(HEAD.as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
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
