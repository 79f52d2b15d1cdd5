//! `--run-dir`: all of a run in one folder, enough to repeat it, to go on from it and to read it.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::cli::{folder, run, text};

const TRAIN: &str =
    "train --layers 784,12,10 --batch 20 --init he-normal --lr 0.05 --optimizer adam --keep-last 2 --threads 1";

fn args<'a>(more: &'a [&'a str]) -> Vec<&'a str> {
    TRAIN.split(' ').chain(more.iter().copied()).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Figures of an epoch that do not depend on the clock.
fn figures(path: &Path) -> Vec<Value> {
    let epoch = |line: &String| {
        let epoch: Value = serde_json::from_str(line).unwrap();
        ["epoch", "train_loss", "test_loss", "train_acc", "test_acc"]
            .map(|name| epoch[name].clone())
            .into()
    };
    lines(path).iter().map(epoch).collect()
}

#[test]
fn a_runs_folder_holds_all_of_it() {
    let folder = folder();
    let there = folder.path();
    let output = run(there, &args(&["--epochs", "4", "--run-dir", "whole"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let whole = there.join("whole");
    let command = lines(&whole.join("command"));
    assert_eq!(command, [format!("tilelab {TRAIN} --epochs 4 --run-dir whole")]);
    let config: Value = serde_json::from_slice(&fs::read(whole.join("config.json")).unwrap()).unwrap();
    assert_eq!(
        (&config["settings"]["optimizer"], &config["parameters"]),
        (&"adam".into(), &9550.into())
    );
    assert_eq!(lines(&whole.join("metrics.csv")).len(), 5, "headings and four epochs");
    let record: Value = serde_json::from_slice(&fs::read(whole.join("record.json")).unwrap()).unwrap();
    assert_eq!(record["body"]["epochs"].as_array().unwrap().len(), 4);

    // Stopped after two epochs and gone on with: the folder of a run that never stopped.
    let halved = there.join("halved");
    let output = run(there, &args(&["--epochs", "2", "--run-dir", "halved"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run(there, &args(&["--epochs", "4", "--run-dir", "halved", "--resume"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        figures(&halved.join("metrics.jsonl")),
        figures(&whole.join("metrics.jsonl"))
    );
    assert!(
        !lines(&halved.join("command"))[0].contains("--resume"),
        "it repeats the run from its start"
    );
    let kept = |folder: &Path| {
        let names = fs::read_dir(folder.join("checkpoints")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("step-")).collect();
        names.sort();
        names
    };
    assert_eq!(kept(&halved), kept(&whole));
    assert!(
        (2..=3).contains(&kept(&whole).len()),
        "the last two, and the best: {:?}",
        kept(&whole)
    );
    let model = |folder: &Path| fs::read(folder.join("checkpoints/step-00000012/model.safetensors")).unwrap();
    assert_eq!(model(&halved), model(&whole), "the same bits");

    let output = run(there, &["predict", "whole", "data/t10k-images-idx3-ubyte"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A run that is refused leaves every file as it was.
#[test]
fn a_refused_run_touches_nothing() {
    let folder = folder();
    let there = folder.path();
    let output = run(
        there,
        &args(&["--epochs", "2", "--run-dir", "run", "--csv", "table.csv"]),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let files = [
        "run/command",
        "run/config.json",
        "run/metrics.csv",
        "run/metrics.jsonl",
        "table.csv",
    ];
    let before = files.map(|file| fs::read(there.join(file)).unwrap());
    for more in [
        &["--run-dir", "run"][..],
        &["--run-dir", "run", "--resume", "--seed", "9"],
    ] {
        let output = run(there, &args(&[more, &["--csv", "table.csv"]].concat()));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    }
    assert_eq!(files.map(|file| fs::read(there.join(file)).unwrap()), before);
    let output = run(there, &args(&["--run-dir", "none", "--resume"]));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(!there.join("none").exists(), "nothing to go on from, and nothing made");
    fs::write(there.join("file"), "").unwrap();
    let output = run(there, &args(&["--run-dir", "file"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--run-dir file: "),
        "{}",
        text(&output.stderr)
    );
}
