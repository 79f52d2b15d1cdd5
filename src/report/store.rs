//! Records on disk. A file is whole or absent: it is written beside its place, synced, and renamed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::measure::{Record, SCHEMA};

/// A file that could not be read as a record, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

/// All records of a folder, oldest first, and a line for each `.json` file that is none.
pub fn load(dir: &Path) -> (Vec<Record>, Vec<Problem>) {
    let (mut records, mut problems) = (Vec::new(), Vec::new());
    let mut files = match list(dir) {
        Ok(files) => files,
        Err(error) => {
            return (
                records,
                vec![Problem {
                    file: dir.to_owned(),
                    why: error.to_string(),
                }],
            );
        }
    };
    files.sort();
    for file in files {
        match read(&file) {
            Ok(record) => records.push(record),
            Err(why) => problems.push(Problem { file, why }),
        }
    }
    records.sort_by(|a, b| (a.started_unix_s, &a.name).cmp(&(b.started_unix_s, &b.name)));
    (records, problems)
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect())
}

/// The schema alone, which every version of a record has.
#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

/// One record.
///
/// # Errors
/// Why the file is none, in one line without its name.
pub fn read(file: &Path) -> Result<Record, String> {
    let text = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let version: Versioned = serde_json::from_slice(&text).map_err(|error| format!("not a Tilelab record: {error}"))?;
    if version.schema > SCHEMA {
        let newer = version.schema;
        return Err(format!(
            "written by a newer Tilelab (schema {newer}; this one reads up to {SCHEMA}): update Tilelab"
        ));
    }
    serde_json::from_slice(&text).map_err(|error| format!("damaged record: {error}"))
}

/// Writes a record as `<dir>/<name>.json`, replacing an older one of that name; returns the path.
pub fn save(dir: &Path, record: &Record) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let path = dir.join(file_name(&record.name));
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    write_whole(&path, &text)?;
    Ok(path)
}

/// Writes a rendered report, creating its folder.
pub fn write_html(path: &Path, html: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    write_whole(path, html.as_bytes())
}

/// The file of a record of this name. A name that has to be changed gets a few digits of its hash, so that two records
/// never end up in one file.
pub fn file_name(name: &str) -> String {
    const LONGEST: usize = 80;
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let kept: String = name
        .chars()
        .map(|c| if safe(c) { c } else { '-' })
        .take(LONGEST)
        .collect();
    let kept = kept.trim_start_matches(['.', '-']);
    if kept == name && !name.is_empty() {
        return format!("{name}.json");
    }
    let hash: String = Sha256::digest(name.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{hash}.json", if kept.is_empty() { "record" } else { kept })
}

/// Writes a file that is whole or absent.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let count = WRITES.fetch_add(1, Ordering::Relaxed);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let temporary = path.with_file_name(format!(
        ".{}.{}-{count}.tmp",
        name.to_string_lossy(),
        std::process::id()
    ));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // The rename lies in the folder; without this a crash may undo it. Not every file system can do it.
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_stay_inside_their_folder_and_apart() {
        assert_eq!(file_name("gemm-alignment"), "gemm-alignment.json");
        for name in ["../../etc/passwd", "", ".", "..", "a/b", "a b", "ü", &"x".repeat(500)] {
            let file = file_name(name);
            assert!(
                file.len() < 120 && !file.starts_with('.') && !file.contains(['/', '\\', ' ']),
                "{name} -> {file}"
            );
        }
        assert_ne!(file_name("a/b"), file_name("a b"));
        assert_ne!(file_name("a/b"), file_name("a-b"));
    }
}
