//! A small Fashion-MNIST in a folder of its own, and the program that looks at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tilelab::data::fashion_mnist::Part;
use tilelab::data::idx::Idx;

/// Six training and four test rows.
pub fn valid(part: Part) -> Idx {
    let rows: u32 = if matches!(part, Part::TrainImages | Part::TrainLabels) {
        6
    } else {
        4
    };
    match part {
        Part::TrainImages | Part::TestImages => {
            let pixels = (0..rows * 784).map(|place| (place % 251) as u8).collect();
            Idx::new(vec![rows, 28, 28], pixels).unwrap()
        }
        Part::TrainLabels | Part::TestLabels => Idx::new(vec![rows], (0..rows as u8).collect()).unwrap(),
    }
}

/// Where a part lies, without `.gz`.
pub fn plain(folder: &Path, part: Part) -> PathBuf {
    folder.join(part.file_name())
}

/// A folder with a small set in plain files.
pub fn small_set() -> TempDir {
    let folder = TempDir::new().unwrap();
    for part in Part::ALL {
        fs::write(plain(folder.path(), part), valid(part).encode()).unwrap();
    }
    folder
}

/// `tilelab data info` with these arguments, without the caller's `TILELAB_DATA`.
pub fn info(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tilelab"));
    command
        .args(["data", "info"])
        .args(arguments)
        .env_remove("TILELAB_DATA");
    command
}
