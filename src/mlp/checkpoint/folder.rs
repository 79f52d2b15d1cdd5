//! The folder of a run's checkpoints: `step-00000120/`, `step-00000180/`.., a lock, and `best`, which names one of them.
//!
//! A checkpoint is written under another name, its files and its folder are brought to the disk, and then it is renamed as
//! a whole: whatever ends the process, and whenever, a folder called `step-N` is complete. What is removed is renamed first
//! for the same reason. Names that begin with a dot are leftovers of a process that ended in between; the next one clears them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Checkpoint, CheckpointError, MODEL_FILE, STATE_FILE};

/// Where the checkpoints lie in a folder that has all of a run.
pub const RUN_CHECKPOINTS: &str = "checkpoints";
const PREFIX: &str = "step-";
const BEST: &str = "best";
const LOCK: &str = "lock";
/// In front of the name of a checkpoint that another is taking the place of.
const REPLACED: &str = ".replaced-";

/// When to save, and how much to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saving {
    /// The folder.
    pub folder: PathBuf,
    /// Steps from checkpoint to checkpoint; one is saved at the end of each epoch in any case.
    pub every: Option<u64>,
    /// Checkpoints that stay, beside the best.
    pub keep_last: usize,
    /// Whether to go on from the last one.
    pub resume: bool,
}

/// The folder while a run writes into it. Nobody else can open it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep_last: usize,
    /// Held until the end of the process.
    _lock: File,
}

impl Folder {
    /// Takes the folder for a run; makes it if it is not there.
    ///
    /// # Errors
    /// A folder that another run holds, that has checkpoints though the run begins anew, or that can't be written.
    pub fn open(saving: &Saving) -> Result<Self, CheckpointError> {
        let path = saving.folder.clone();
        let shown = path.display().to_string();
        let refused = |error| CheckpointError::Folder {
            path: shown.clone(),
            error,
        };
        if saving.resume && !path.is_dir() {
            let error = io::Error::new(io::ErrorKind::NotFound, "no such folder");
            return Err(CheckpointError::Read { path: shown, error });
        }
        fs::create_dir_all(&path).map_err(refused)?;
        let lock = File::options()
            .create(true)
            .append(true)
            .open(path.join(LOCK))
            .map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CheckpointError::Locked(shown)),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let folder = Self {
            path,
            keep_last: saving.keep_last,
            _lock: lock,
        };
        if !saving.resume && !steps(&folder.path).map_err(refused)?.is_empty() {
            return Err(CheckpointError::Occupied(shown));
        }
        folder.clear_leftovers().map_err(refused)?;
        Ok(folder)
    }

    /// The last checkpoint and where it lies; none if nothing was saved yet.
    ///
    /// # Errors
    /// When it can't be read, or is damaged: it is never passed over in silence.
    pub fn last(&self) -> Result<Option<(Checkpoint, PathBuf)>, CheckpointError> {
        let shown = |path: &Path| path.display().to_string();
        let unread = |path: &Path, error| CheckpointError::Read {
            path: shown(path),
            error,
        };
        let steps = steps(&self.path).map_err(|error| unread(&self.path, error))?;
        let Some(&last) = steps.last() else {
            return Ok(None);
        };
        let path = self.path.join(name(last));
        let read = |file: &str| fs::read(path.join(file)).map_err(|error| unread(&path.join(file), error));
        let (model, state) = (read(MODEL_FILE)?, read(STATE_FILE)?);
        let way_out = match steps.iter().rev().nth(1) {
            Some(&before) => format!("remove {} to go on from {}", shown(&path), name(before)),
            None => format!("remove {} to train anew", shown(&path)),
        };
        match Checkpoint::decode(&model, &state) {
            Ok(checkpoint) if checkpoint.state.step == last => Ok(Some((checkpoint, path))),
            Ok(checkpoint) => Err(CheckpointError::Foreign {
                path: shown(&path),
                problem: format!("holds step {}, not what its name says", checkpoint.state.step),
                way_out,
            }),
            Err((file, problem)) => Err(CheckpointError::Foreign {
                path: shown(&path.join(file)),
                problem,
                way_out,
            }),
        }
    }

    /// Saves a checkpoint, then removes those that need not stay. Returns where it lies.
    ///
    /// # Errors
    /// When the system refuses; everything that was saved before is still there.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let step = checkpoint.state.step;
        let (partial, path) = (self.path.join(format!(".{}", name(step))), self.path.join(name(step)));
        self.write(checkpoint, &partial, &path).map_err(|error| {
            // Room for whoever needs it; if it can't be removed, the next run clears it.
            let _ = fs::remove_dir_all(&partial);
            CheckpointError::Save {
                path: path.display().to_string(),
                error,
                saved: match steps(&self.path).unwrap_or_default().last() {
                    Some(&last) => format!(
                        "{} is still there, make room and go on from it with --resume",
                        name(last)
                    ),
                    None => "make room, or name another folder with --checkpoint".to_owned(),
                },
            }
        })?;
        Ok(path)
    }

    fn write(&self, checkpoint: &Checkpoint, partial: &Path, path: &Path) -> io::Result<()> {
        let step = checkpoint.state.step;
        let (model, state) = checkpoint.encode().map_err(io::Error::other)?;
        remove(partial)?;
        fs::create_dir(partial)?;
        write_whole(&partial.join(MODEL_FILE), &model)?;
        write_whole(&partial.join(STATE_FILE), &state)?;
        sync_folder(partial)?;
        // The end of an epoch has the number of its last step, behind which a signal may have saved already.
        let aside = self.path.join(format!("{REPLACED}{}", name(step)));
        let replaces = path.exists();
        if replaces {
            fs::rename(path, &aside)?;
        }
        fs::rename(partial, path)?;
        sync_folder(&self.path)?;
        if replaces {
            fs::remove_dir_all(&aside)?;
        }
        let best = checkpoint.state.best.map(|best| best.step);
        if best == Some(step) {
            let named = self.path.join(format!(".{BEST}"));
            write_whole(&named, format!("{}\n", name(step)).as_bytes())?;
            fs::rename(&named, self.path.join(BEST))?;
            sync_folder(&self.path)?;
        }
        let steps = steps(&self.path)?;
        // Later ones than this are of a run that stopped behind it and was sent back.
        let done = steps.iter().filter(|&&there| there <= step).count();
        for &old in &steps[..done.saturating_sub(self.keep_last)] {
            if Some(old) != best {
                self.discard(&self.path.join(name(old)))?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint so that no half of it is ever there under its name.
    fn discard(&self, path: &Path) -> io::Result<()> {
        let aside = self.path.join(".removed");
        remove(&aside)?;
        match fs::rename(path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => fs::remove_dir_all(&aside),
        }
    }

    fn clear_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            // Only names that this file writes. Killed between two renames: the one that was to be replaced is all there is.
            let replaced = file_name.strip_prefix(REPLACED).filter(|name| number(name).is_some());
            if let Some(name) = replaced.filter(|name| !self.path.join(name).exists()) {
                fs::rename(entry.path(), self.path.join(name))?;
            } else if replaced.is_some()
                || file_name == ".removed"
                || file_name.strip_prefix('.').is_some_and(|name| number(name).is_some())
            {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The best checkpoint of a folder, or of the run whose folder it is; the last if none is called the best.
pub(super) fn best(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let path = folder.display().to_string();
    let of_run = folder.join(RUN_CHECKPOINTS);
    let folder = if of_run.is_dir() { &of_run } else { folder };
    let steps = steps(folder).map_err(|error| CheckpointError::Read {
        path: path.clone(),
        error,
    })?;
    let named = fs::read_to_string(folder.join(BEST)).ok();
    let named = named
        .and_then(|line| number(line.trim()))
        .filter(|step| steps.contains(step));
    let step = named
        .or(steps.last().copied())
        .ok_or_else(|| CheckpointError::Foreign {
            path,
            problem: format!("has neither a {MODEL_FILE} nor checkpoints"),
            way_out: "name a folder that tilelab train --checkpoint has written".to_owned(),
        })?;
    Ok(folder.join(name(step)))
}

fn name(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// The steps that were saved, in order.
fn steps(folder: &Path) -> io::Result<Vec<u64>> {
    let mut steps = Vec::new();
    for entry in fs::read_dir(folder)? {
        steps.extend(number(&entry?.file_name().to_string_lossy()));
    }
    steps.sort_unstable();
    Ok(steps)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Written, and on the disk.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Brings the names in a folder to the disk. Only Unix opens folders.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}
