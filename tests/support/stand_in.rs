//! A driver that one child process alone sees.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder that holds `library` as the driver.
pub fn driver(library: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::copy(library, folder.path().join(name)).unwrap();
    }
    folder
}

/// The stand-in, which cargo has built beside this test.
pub fn stand_in() -> TempDir {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    driver(&deps.join("libtilelab_fakecuda.so"))
}

/// What a command gives that sees this driver.
pub fn with(driver: &Path, mut command: Command) -> Output {
    command.env("LD_LIBRARY_PATH", driver).output().unwrap()
}
