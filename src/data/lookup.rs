//! Where Fashion-MNIST is looked for, first to last: `--data DIR`, `$TILELAB_DATA`, the folder of Debian's package, the
//! user's cache folder, the copy embedded in the program.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::fashion_mnist::Part;
use super::{DataError, Problem, Source};

/// Where Debian's package `dataset-fashion-mnist` puts its files.
pub const DEBIAN_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The folders to look in. What a field does not name is not looked at; behind the last comes the embedded copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `--data DIR`.
    pub option: Option<PathBuf>,
    /// `$TILELAB_DATA`.
    pub environment: Option<PathBuf>,
    /// The folder of Debian's package.
    pub debian: Option<PathBuf>,
    /// `<the user's cache folder>/tilelab/fashion-mnist`.
    pub cache: Option<PathBuf>,
}

impl Places {
    /// The places of this machine and user, behind the folder given with `--data`. An empty `$TILELAB_DATA` is none.
    pub fn of_this_machine(option: Option<&Path>) -> Self {
        Self {
            option: option.map(Path::to_path_buf),
            environment: env::var_os("TILELAB_DATA")
                .filter(|folder| !folder.is_empty())
                .map(PathBuf::from),
            debian: Some(PathBuf::from(DEBIAN_FOLDER)),
            cache: dirs::cache_dir().map(|folder| folder.join("tilelab/fashion-mnist")),
        }
    }

    /// The sources to try, first to last.
    fn sources(&self) -> Vec<Source> {
        let named = [
            self.option.clone().map(Source::Option),
            self.environment.clone().map(Source::Environment),
            self.debian.clone().map(Source::Debian),
            self.cache.clone().map(Source::Cache),
        ];
        named.into_iter().flatten().chain([Source::Embedded]).collect()
    }

    /// Looks at every place in order. Reads nothing yet.
    pub fn look(&self) -> Vec<Place> {
        self.sources()
            .into_iter()
            .map(|source| Place {
                found: look_in(&source),
                source,
            })
            .collect()
    }

    /// The first place that has the files.
    ///
    /// A place that a user named and that lacks them is an error, never passed over in silence; so is a folder with some
    /// of the four (an interrupted copy). Debian's folder and the cache may be missing or hold none.
    ///
    /// # Errors
    /// Names the missing file or folder and the way out.
    pub fn choose(&self) -> Result<Source, DataError> {
        for Place { source, found } in self.look() {
            match found {
                Found::All => return Ok(source),
                Found::Nothing(_) => {}
                Found::Bad(file, problem) => {
                    return Err(DataError {
                        file,
                        problem,
                        origin: source,
                    });
                }
            }
        }
        Ok(Source::Embedded)
    }
}

/// A place that was looked at.
#[derive(Debug)]
pub struct Place {
    /// Which.
    pub source: Source,
    /// What is there.
    pub found: Found,
}

/// What a place holds.
#[derive(Debug)]
pub enum Found {
    /// All four files.
    All,
    /// None of them, and the place need not have them: why.
    Nothing(String),
    /// Less than it must have: the file or folder, and what is wrong with it.
    Bad(String, Problem),
}

fn look_in(source: &Source) -> Found {
    let Some(folder) = source.folder() else {
        return Found::All;
    };
    // A place that nobody named may lack the files; one that somebody named must have them.
    let required = matches!(source, Source::Option(_) | Source::Environment(_));
    match fs::metadata(folder) {
        Ok(facts) if facts.is_dir() => {}
        Ok(_) if required => return Found::Bad(folder.display().to_string(), Problem::NoFolder),
        Ok(_) => return Found::Nothing("not a folder".to_string()),
        Err(_) if !required => return Found::Nothing("no such folder".to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Found::Bad(folder.display().to_string(), Problem::NoFolder);
        }
        Err(error) => return Found::Bad(folder.display().to_string(), Problem::Io(error)),
    }
    let mut missing = Part::ALL
        .map(|part| find(folder, part).err())
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    if !required && missing.len() == Part::ALL.len() {
        return Found::Nothing("none of the four files".to_string());
    }
    if missing.is_empty() {
        return Found::All;
    }
    let (file, problem) = missing.swap_remove(0);
    Found::Bad(file, problem)
}

/// The part's file in a folder. Where both are there, the plain one is taken: it needs no unpacking.
pub(super) fn find(folder: &Path, part: Part) -> Result<PathBuf, (String, Problem)> {
    let plain = folder.join(part.file_name());
    for path in [plain.clone(), folder.join(format!("{}.gz", part.file_name()))] {
        let shown = || path.display().to_string();
        match fs::metadata(&path) {
            Ok(facts) if facts.is_file() => return Ok(path),
            Ok(_) => return Err((shown(), Problem::NotAFile)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((shown(), Problem::Io(error))),
        }
    }
    Err((plain.display().to_string(), Problem::Missing))
}
