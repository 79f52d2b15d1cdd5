//! The file of a study: JSON lines in the format of Optuna's `JournalFileBackend`, so that Optuna and its dashboard open it.
//!
//! ```text
//! {"op_code":0,..,"study_name":"..","directions":[2]}         a study: 1 minimises, 2 maximises
//! {"op_code":2,..,"study_id":0,"user_attr":{..}}              an attribute of it
//! {"op_code":4,..,"study_id":0,"datetime_start":".."}         a trial; its id is the number of trials before it
//! {"op_code":5,..,"trial_id":0,"param_name":"lr","param_value_internal":0.1,"distribution":"{..}"}
//! {"op_code":7,..,"trial_id":0,"step":1,"intermediate_value":0.8}
//! {"op_code":8,..,"trial_id":0,"user_attr":{..}}              9 with "system_attr"
//! {"op_code":6,..,"trial_id":0,"state":1,"values":[0.9],"datetime_complete":".."}
//! ```
//! A trial that has finished is not changed any more. The lines of one change are written at once and synced; a line that a killed process left
//! without its end is dropped when the file is opened.
//!
//! Reference: Optuna 5.0, `optuna/storages/journal/_storage.py` and `_file.py`.

mod distribution;
mod json;
mod lines;
mod replay;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

pub use self::lines::Lines;
pub use self::replay::Replayed;

/// A study that can't be read or written. One line that names the file and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It can't be opened.
    #[error("can't open the study {}: {why}; name another file with --study", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another process works on it.
    #[error("the study {} is in use by another search; wait for it, or name another file with --study", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line that is none of a journal.
    #[error("{} line {line}: {why}; the file is no study of ours, or is damaged: name another with --study", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Something could not be written: the disk is full, say.
    #[error("can't write into the study {}: {error}; every trial that had finished is in it, and the same command goes on", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// An open study file, for this process alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// The file, ready for more.
    pub journal: Journal,
    /// What it says.
    pub replayed: Replayed,
    /// What the user should know.
    pub warning: Option<String>,
}

impl Journal {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// As [`JournalError`] says.
    pub fn open(path: &Path) -> Result<Opened, JournalError> {
        let path = path.to_owned();
        let failed = |why: String| JournalError::Open {
            path: path.clone(),
            why,
        };
        if path.exists() && !path.is_file() {
            return Err(failed("it is no file".to_owned()));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = opened.map_err(|error| failed(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path }),
            // A file system without locks: the user takes care.
            Err(TryLockError::Error(_)) => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| failed(error.to_string()))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut replayed = Replayed::default();
        for (number, line) in bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate() {
            let wrong = |why: String| JournalError::Line {
                path: path.clone(),
                line: number + 1,
                why,
            };
            let text = std::str::from_utf8(line).map_err(|error| wrong(error.to_string()))?;
            let json = json::read(text).map_err(|error| wrong(error.to_string()))?;
            replayed.apply(&json).map_err(wrong)?;
        }
        let warning = (whole < bytes.len()).then(|| {
            format!(
                "{}: its last line has no end and was dropped: {} bytes of a change that was being written",
                path.display(),
                bytes.len() - whole
            )
        });
        if warning.is_some() {
            file.set_len(whole as u64).map_err(|error| failed(error.to_string()))?;
        }
        let journal = Self {
            path,
            file,
            length: whole as u64,
        };
        Ok(Opened {
            journal,
            replayed,
            warning,
        })
    }

    /// Writes the lines of one change, and waits until they are on the disk.
    ///
    /// # Errors
    /// [`JournalError::Write`]; then none of them is there.
    pub fn append(&mut self, lines: &Lines) -> Result<(), JournalError> {
        let text: String = lines.iter().map(|line| json::write(line) + "\n").collect();
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Where even this fails, the next to open the file drops the torn line.
            let _ = self.file.set_len(self.length);
            return Err(JournalError::Write {
                path: self.path.clone(),
                error,
            });
        }
        self.length += text.len() as u64;
        Ok(())
    }

    /// A journal on an open file, at its end.
    #[cfg(test)]
    pub(super) fn on(file: File, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file,
            length: 0,
        }
    }
}

impl Drop for Journal {
    /// A child that this process is just starting holds the file open for a moment, and with it the lock.
    fn drop(&mut self) {
        // Nothing to do where it fails: the lock ends with the file.
        let _ = self.file.unlock();
    }
}

/// Makes a line of numbers that may not be finite.
fn numbers(values: &[f64]) -> Json {
    values.iter().copied().map(json::number).collect()
}

#[cfg(test)]
mod tests {
    use super::super::space::{Domain, Value};
    use super::super::trial::{Direction, State};
    use super::*;

    fn lines() -> Lines {
        let mut lines = Lines::default();
        lines.study("s", Direction::Maximize);
        lines.study_attr("tilelab", &serde_json::json!({"seed": 1}));
        lines.trial(10.0);
        let float = Domain::Float {
            low: 1e-4,
            high: 1.0,
            log: true,
            step: None,
        };
        let choice = Domain::Choice(vec![Value::Text("relu".into()), Value::Text("gelu".into())]);
        lines.parameter(0, ("lr", &Value::Float(0.1)), &float);
        lines.parameter(0, ("activation", &Value::Text("gelu".into())), &choice);
        lines.step(0, 1, f64::NAN);
        lines.step(0, 2, 0.5);
        lines.end(0, State::Complete, Some(0.5), 12.5);
        lines.step(0, 2, 0.9);
        lines
    }

    #[test]
    fn what_is_written_is_read_again_and_a_finished_trial_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/study");
        let mut opened = Journal::open(&path).unwrap();
        assert!(opened.warning.is_none() && opened.replayed.name.is_none());
        opened.journal.append(&lines()).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse { .. })));
        drop(opened);
        let replayed = Journal::open(&path).unwrap().replayed;
        assert_eq!(
            (replayed.name.as_deref(), replayed.direction),
            (Some("s"), Some(Direction::Maximize))
        );
        assert_eq!(replayed.user["tilelab"]["seed"], 1);
        let [trial] = &replayed.trials[..] else {
            panic!("one trial")
        };
        assert_eq!((trial.state, trial.value), (State::Complete, Some(0.5)));
        assert_eq!(trial.configuration["activation"], Value::Text("gelu".into()));
        assert_eq!(trial.configuration["lr"], Value::Float(0.1));
        assert!(trial.curve[&1].is_nan() && trial.curve[&2] == 0.5);
        assert_eq!((trial.started_s, trial.ended_s), (Some(10.0), Some(12.5)));
    }

    #[test]
    fn a_torn_last_line_is_dropped_with_a_warning_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study");
        Journal::open(&path).unwrap().journal.append(&lines()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let opened = Journal::open(&path).unwrap();
            let torn = whole[cut - 1] != b'\n';
            assert_eq!(opened.warning.is_some(), torn);
            assert!(!torn || opened.warning.unwrap().contains("dropped"));
            drop(opened.journal);
            assert!(Journal::open(&path).unwrap().warning.is_none(), "it is mended");
        }
    }

    #[test]
    fn damage_before_the_end_is_an_error_that_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study");
        for (text, said) in [
            ("{\"op_code\":0}\n", "line 1"),
            ("no json\n", "line 1"),
            ("{\"op_code\":99}\n", "99"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Journal::open(&path).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
        assert!(
            Journal::open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("no file")
        );
    }

    #[test]
    fn a_failed_write_says_why_and_leaves_no_half_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study");
        let full = OpenOptions::new().append(true).open("/dev/full");
        let Ok(full) = full else {
            return println!("skipped: needs /dev/full");
        };
        let error = Journal::on(full, &path).append(&lines()).unwrap_err().to_string();
        assert!(error.contains("No space left") && error.contains("study"), "{error}");
    }
}
