//! Promises: files load the same plain and packed; bad or missing ones end with exit code 2 and one line that names the
//! file and the way out; the embedded copy is the head of the full set.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::fashion_mnist::{info, plain, small_set, valid};
use tilelab::data::fashion_mnist::{Files, Part, load};
use tilelab::data::idx::Idx;
use tilelab::data::lookup::DEBIAN_FOLDER;
use tilelab::data::{Dataset, Places, Source};

mod support;

fn labels(values: &[u8]) -> Vec<u8> {
    Idx::new(vec![values.len() as u32], values.to_vec()).unwrap().encode()
}

fn load_option(folder: &Path) -> Result<Dataset, String> {
    load(&Places {
        option: Some(folder.to_path_buf()),
        ..Places::default()
    })
    .map_err(|error| error.to_string())
}

/// Exit code 2, nothing on stdout, and one line on stderr, which is returned.
fn refused(output: Output) -> String {
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn plain_and_gzip_files_load_the_same() {
    let folder = small_set();
    let from_plain = load_option(folder.path()).unwrap();
    assert_eq!(
        (from_plain.train.rows, from_plain.test.rows, from_plain.columns()),
        (6, 4, 784)
    );
    assert_eq!(from_plain.train.image(5), &valid(Part::TrainImages).data()[5 * 784..]);
    assert_eq!(from_plain.test.labels, [0, 1, 2, 3]);
    assert_eq!(from_plain.train.histogram(10), [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    for part in Part::ALL {
        fs::remove_file(plain(folder.path(), part)).unwrap();
        let packed = valid(part).encode_gz().unwrap();
        fs::write(folder.path().join(format!("{}.gz", part.file_name())), packed).unwrap();
    }
    assert_eq!(load_option(folder.path()).unwrap(), from_plain);
}

/// Every bad file: the part it takes the place of, its content, and what the line must say.
fn bad_files() -> Vec<(Part, Vec<u8>, &'static str)> {
    let images = |part| valid(part).encode();
    let packed = valid(Part::TrainImages).encode_gz().unwrap();
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let mut bad_checksum = packed.clone();
    let crc = packed.len() - 8;
    bad_checksum[crc] ^= 1;
    vec![
        (Part::TrainImages, cut(&images(Part::TrainImages)), "truncated"),
        (Part::TrainImages, cut(&packed), "truncated"),
        (Part::TestLabels, vec![], "truncated"),
        (
            Part::TestImages,
            [images(Part::TestImages), vec![7]].concat(),
            "more than",
        ),
        (Part::TrainImages, bad_checksum, "damaged gzip"),
        (
            Part::TrainLabels,
            b"\x1f\x8bthis is no gzip stream".to_vec(),
            "damaged gzip",
        ),
        (Part::TestImages, b"<!DOCTYPE html>".to_vec(), "not an IDX file"),
        (Part::TestImages, [&[0, 0, 8, 3][..], &[0xff; 12]].concat(), "absurd"),
        (
            Part::TrainImages,
            [&[0, 0, 0x0e, 3][..], &[0; 12]].concat(),
            "type 0x0e",
        ),
        (Part::TrainImages, images(Part::TrainLabels), "should hold images"),
        (Part::TestLabels, images(Part::TestImages), "should hold labels"),
        (
            Part::TrainImages,
            Idx::new(vec![6, 32, 32], vec![0; 6144]).unwrap().encode(),
            "32 x 32",
        ),
        (
            Part::TestImages,
            Idx::new(vec![0, 28, 28], vec![]).unwrap().encode(),
            "no rows",
        ),
        (Part::TrainLabels, labels(&[1; 5]), "5 labels for the 6 images"),
        (Part::TestLabels, labels(&[1; 6]), "6 labels for the 4 images"),
        (
            Part::TrainLabels,
            labels(&[0, 1, 2, 10, 4, 5]),
            "row 3 (from 0) has label 10",
        ),
    ]
}

#[test]
fn bad_files_are_named_with_the_way_out() {
    for (part, bytes, says) in bad_files() {
        let folder = small_set();
        let path = plain(folder.path(), part);
        fs::write(&path, bytes).unwrap();
        let error = load_option(folder.path()).unwrap_err();
        assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
        assert!(error.contains(says), "{error} should say {says}");
        assert!(
            error.ends_with("; give --data a folder with the four Fashion-MNIST files, or leave it out"),
            "{error}"
        );
        // The same through the program: one line, exit code 2.
        let line = refused(info(&["--data"]).arg(folder.path()).output().unwrap());
        assert_eq!(line, format!("error: {error}\n"));
    }
}

#[test]
fn named_folder_without_the_files_is_an_error() {
    let folder = small_set();
    let missing = plain(folder.path(), Part::TestLabels);
    fs::remove_file(&missing).unwrap();
    let nowhere = folder.path().join("nowhere");
    for (path, named, says) in [
        (folder.path(), &missing, "no such file"),
        (&nowhere, &nowhere, "is not a folder"),
        (
            &plain(folder.path(), Part::TrainLabels),
            &plain(folder.path(), Part::TrainLabels),
            "is not a folder",
        ),
    ] {
        let start = format!("error: {}: {says}", named.display());
        let line = refused(info(&["--data"]).arg(path).output().unwrap());
        assert!(line.starts_with(&start) && line.contains("; give --data"), "{line}");
        let line = refused(info(&["--json"]).env("TILELAB_DATA", path).output().unwrap());
        assert!(line.starts_with(&start) && line.ends_with(", or unset it\n"), "{line}");
    }
    // A folder in a file's place.
    fs::create_dir(&missing).unwrap();
    assert!(
        load_option(folder.path())
            .unwrap_err()
            .contains("t10k-labels-idx1-ubyte: is not a regular file")
    );
}

#[test]
fn embedded_copy_loads() {
    let data = load(&Places::default()).unwrap();
    assert_eq!(
        (data.train.rows, data.test.rows, data.columns(), data.classes),
        (10_000, 2_000, 784, 10)
    );
    assert!(data.train.histogram(10).iter().all(|&count| count > 900));
    assert_eq!(
        data.describe(),
        "Fashion-MNIST: copy embedded in the program, 10,000 + 2,000 images"
    );
}

#[test]
fn embedded_copy_is_the_head_of_the_full_set() {
    if !support::needs("dataset-fashion-mnist", Path::new(DEBIAN_FOLDER).is_dir()) {
        return;
    }
    let full = Files::read(Source::Debian(PathBuf::from(DEBIAN_FOLDER))).unwrap();
    let embedded = Files::read(Source::Embedded).unwrap();
    for part in Part::ALL {
        let head = full.idx(part).unwrap().head(part.embedded_rows());
        assert!(embedded.idx(part).unwrap() == head, "{part:?}");
    }
}
