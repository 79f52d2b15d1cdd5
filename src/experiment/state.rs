//! What a stopped run leaves, so that the next one goes on: one file an experiment, with every finished sub-run by its key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::report::write_whole;

/// Finished sub-runs of one experiment, on disk behind each of them.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    held: Held,
}

#[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
struct Held {
    /// What the sub-runs ran with: others are not gone on from.
    settings: Vec<(String, String)>,
    /// The record is written.
    finished: bool,
    /// By key.
    done: Map<String, Value>,
}

impl State {
    /// The state of the experiment `name` under `folder`. Sub-runs that ran with other `settings`, or a file that cannot be
    /// read, are begun anew.
    pub fn open(folder: &Path, name: &str, settings: Vec<(String, String)>) -> Self {
        let path = folder.join(format!("{name}.json"));
        let there = fs::read(&path).ok();
        let there = there.and_then(|text| serde_json::from_slice::<Held>(&text).ok());
        let held = there.filter(|held| held.settings == settings).unwrap_or(Held {
            settings,
            ..Held::default()
        });
        Self { path, held }
    }

    /// Whether its record was written in the run that was stopped.
    pub fn finished(&self) -> bool {
        self.held.finished
    }

    /// Sub-runs that are done.
    pub fn count(&self) -> usize {
        self.held.done.len()
    }

    /// What the sub-run `key` gave, if it is done.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.held.done.get(key)?;
        serde_json::from_value(value.clone()).ok()
    }

    /// The sub-run `key` is done.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn put(&mut self, key: &str, value: &impl Serialize) -> io::Result<()> {
        self.held.done.insert(key.to_owned(), serde_json::to_value(value)?);
        self.save()
    }

    /// The record is written: what led to it is needed no more.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.held.finished = true;
        self.held.done.clear();
        self.save()
    }

    /// Takes the file away.
    pub fn forget(self) {
        // One that is not there is what is wanted; one that stays is begun anew or gone on from, both of which are right.
        let _ = fs::remove_file(&self.path);
    }

    fn save(&self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_whole(&self.path, &serde_json::to_vec(&self.held)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_with_the_same_settings_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |seed: &str| vec![("seed".to_owned(), seed.to_owned())];
        let open = |seed| State::open(folder.path(), "depth", settings(seed));
        let mut state = open("1");
        assert_eq!(state.get::<f64>("a"), None);
        state.put("a", &0.1).unwrap();
        assert_eq!((open("1").get::<f64>("a"), open("1").count()), (Some(0.1), 1));
        assert_eq!(open("2").get::<f64>("a"), None);
        state.finish().unwrap();
        assert!(open("1").finished() && open("1").count() == 0 && !open("2").finished());
        open("1").forget();
        assert!(!open("1").finished());
        std::fs::write(folder.path().join("depth.json"), "{").unwrap();
        assert_eq!(open("1").count(), 0, "a damaged file is begun anew");
    }
}
