//! Runs the program as a user does: in a folder of its own, on a small Fashion-MNIST.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use tilelab::data::fashion_mnist::Part;
use tilelab::data::idx::Idx;

/// A folder to run in, with a data set of 60 + 20 images in `data`.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for part in Part::ALL {
        let name = part.file_name();
        let rows: u32 = if name.starts_with("train") { 60 } else { 20 };
        let idx = if name.contains("images") {
            // Each class has a shade of its own.
            let pixels = (0..rows).flat_map(|row| vec![(row % 10 * 25) as u8; 28 * 28]).collect();
            Idx::new(vec![rows, 28, 28], pixels)
        } else {
            Idx::new(vec![rows], (0..rows).map(|row| (row % 10) as u8).collect())
        };
        std::fs::write(data.join(name), idx.unwrap().encode()).unwrap();
    }
    folder
}

/// `tilelab ARGS`, on the data of [`folder`].
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tilelab"));
    command
        .args(args)
        .current_dir(folder)
        .env("TILELAB_DATA", folder.join("data"));
    command
}

pub fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
