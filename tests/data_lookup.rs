//! Promises: Fashion-MNIST is found in the documented order, and `tilelab data info` says which place is used and why.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::fashion_mnist::{info, plain, small_set, valid};
use tempfile::TempDir;
use tilelab::data::fashion_mnist::Part;
use tilelab::data::{Places, Source};

mod support;

#[test]
fn places_are_tried_in_order() {
    let sets: Vec<TempDir> = (0..4).map(|_| small_set()).collect();
    let path = |set: usize| Some(sets[set].path().to_path_buf());
    let mut places = Places {
        option: path(0),
        environment: path(1),
        debian: path(2),
        cache: path(3),
    };
    assert_eq!(places.choose().unwrap(), Source::Option(path(0).unwrap()));
    places.option = None;
    assert_eq!(places.choose().unwrap(), Source::Environment(path(1).unwrap()));
    places.environment = None;
    assert_eq!(places.choose().unwrap(), Source::Debian(path(2).unwrap()));
    // Nobody named these two: they may be missing or empty ...
    places.debian = Some(sets[2].path().join("nowhere"));
    assert_eq!(places.choose().unwrap(), Source::Cache(path(3).unwrap()));
    let empty = TempDir::new().unwrap();
    places.cache = Some(empty.path().to_path_buf());
    assert_eq!(places.choose().unwrap(), Source::Embedded);
    // ... but half a set is an accident that is told.
    fs::remove_file(plain(sets[3].path(), Part::TrainLabels)).unwrap();
    places.cache = path(3);
    let error = places.choose().unwrap_err().to_string();
    assert!(
        error.contains("train-labels-idx1-ubyte: no such file") && error.contains("delete that cache folder"),
        "{error}"
    );
}

#[test]
fn program_prefers_the_option_to_the_environment() {
    let (option, environment) = (small_set(), small_set());
    let chosen = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let places: Vec<_> = lines
            .iter()
            .filter(|line| line["event"] == "place")
            .map(|line| &line["place"])
            .collect();
        assert_eq!(places, ["--data", "$TILELAB_DATA", "debian", "cache", "embedded"]);
        assert_eq!(lines.iter().filter(|line| line["event"] == "file").count(), 4);
        let last = lines.last().unwrap();
        assert_eq!(last["event"], "done");
        (
            last["source"].as_str().unwrap().to_string(),
            last["folder"].as_str().map(PathBuf::from),
        )
    };
    let named = Some(environment.path().to_path_buf());
    let mut command = info(&["--json"]);
    assert_eq!(
        chosen(command.env("TILELAB_DATA", environment.path())),
        ("$TILELAB_DATA".to_string(), named)
    );
    let named = Some(option.path().to_path_buf());
    assert_eq!(
        chosen(command.arg("--data").arg(option.path())),
        ("--data".to_string(), named)
    );
    // An empty variable is none.
    let (source, _) = chosen(info(&["--json"]).env("TILELAB_DATA", ""));
    assert!(["debian", "cache", "embedded"].contains(&&source[..]), "{source}");
}

#[test]
fn checksums_of_plain_and_gzip_copies_compare_equal() {
    let folder = small_set();
    let facts = || -> Vec<(String, String)> {
        let output = info(&["--json", "--data"]).arg(folder.path()).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
        lines
            .filter(|line| line["event"] == "file")
            .map(|line| (text(&line["sha256"]), text(&line["decoded_sha256"])))
            .collect()
    };
    let before = facts();
    assert!(
        before.iter().all(|(file, decoded)| file == decoded),
        "a plain file is its own content"
    );
    for part in Part::ALL {
        fs::write(plain(folder.path(), part), valid(part).encode_gz().unwrap()).unwrap();
    }
    let after = facts();
    assert_eq!(after.len(), 4);
    for ((_, before), (file, decoded)) in before.iter().zip(&after) {
        assert_eq!(before, decoded);
        assert_ne!(file, decoded);
    }
    let text = String::from_utf8(info(&["--data"]).arg(folder.path()).output().unwrap().stdout).unwrap();
    assert!(
        text.contains("Used because --data names it.") && text.contains(&after[0].1),
        "{text}"
    );
}
