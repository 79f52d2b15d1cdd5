//! `tilelab train` as a user runs it: JSON lines, the table, the record, and the exit codes of runs that do not end well.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::Value;
use support::cli::{folder, run, text};
use tilelab::measure::{Body, Record};

const ARGS: [&str; 9] = [
    "train",
    "--layers",
    "784,12,10",
    "--epochs",
    "3",
    "--batch",
    "16",
    "--threads",
    "1",
];

#[test]
fn json_is_a_line_an_epoch_and_a_summary() {
    let folder = folder();
    let output = run(folder.path(), &[&ARGS[..], &["--json", "--seed", "4"]].concat());
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        text(&output.stderr)
    );
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    for (line, epoch) in lines.iter().zip(1..=3) {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        let mut expected = [
            "epoch",
            "train_loss",
            "test_loss",
            "train_acc",
            "test_acc",
            "seconds",
            "samples_per_s",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(line["epoch"], epoch);
        let figure = |key: &str| line[key].as_f64().unwrap();
        assert!(figure("train_loss") > 0.0 && figure("test_loss") > 0.0 && figure("seconds") > 0.0);
        assert!((0.0..=1.0).contains(&figure("train_acc")) && (0.0..=1.0).contains(&figure("test_acc")));
    }
    let done = &lines[3];
    assert_eq!(
        (&done["event"], &done["seed"], &done["threads"]),
        (&"done".into(), &4.into(), &1.into())
    );
    assert_eq!(
        (&done["device"], &done["parameters"]),
        (&"cpu".into(), &(785 * 12 + 13 * 10).into())
    );
    assert_eq!(
        (&done["train_rows"], &done["test_rows"], &done["epochs"]),
        (&60.into(), &20.into(), &3.into())
    );
    assert_eq!(done["settings"]["init"], "normal:0.01");
    assert!(done["kernel"].as_str().unwrap().starts_with("sgemm-"));
    for key in ["train_loss", "test_loss", "train_acc", "test_acc"] {
        assert_eq!(done[key], lines[2][key], "{key}");
    }
    assert!((done["first_loss"].as_f64().unwrap() - 10f64.ln()).abs() < 0.1);

    let path = folder.path().join(done["record"].as_str().unwrap());
    assert!(path.ends_with("reports/raw/train-784-12-10.json"));
    let record: Record = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Body::Training(training) = record.body else {
        panic!("{:?}", record.body)
    };
    assert_eq!((training.epochs.len(), training.seed), (3, 4));
    assert_eq!(lines[2]["train_loss"].as_f64().unwrap(), training.epochs[2].train_loss);
    assert!(
        record.command.starts_with("tilelab train --layers 784,12,10 "),
        "{}",
        record.command
    );
}

#[test]
fn the_table_lines_up() {
    let folder = folder();
    let output = run(folder.path(), &ARGS);
    let out = text(&output.stdout);
    let at = out.lines().position(|line| line.starts_with("epoch")).unwrap();
    let table: Vec<&str> = out.lines().skip(at).take(4).collect();
    assert!(table.iter().all(|line| line.len() == table[0].len()), "{out}");
    assert!(table[3].trim_start().starts_with("3 "), "{out}");
    assert!(
        out.contains("9550 parameters") && out.contains("first loss 2.30") && out.contains("ln 10 = 2.3026"),
        "{out}"
    );
    assert!(
        out.lines().last().unwrap().contains("reports/raw/train-784-12-10.json"),
        "{out}"
    );
}

#[test]
fn a_run_that_diverges_exits_1() {
    let folder = folder();
    let output = run(folder.path(), &[&ARGS[..], &["--json", "--lr", "1e30"]].concat());
    let line = text(&output.stderr);
    assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("diverged in epoch 1") && line.contains("--lr"), "{line}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    use std::io::{BufRead, BufReader};
    let folder = folder();
    let mut command = support::cli::command(
        folder.path(),
        &["train", "--layers", "784,10", "--epochs", "100000", "--json"],
    );
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        text(&output.stderr)
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_exits_130() {
    use std::io::{BufRead, BufReader};
    let folder = folder();
    for signal in ["-INT", "-TERM"] {
        let args = ["train", "--layers", "784,10", "--epochs", "1000000000", "--json"];
        let mut command = support::cli::command(folder.path(), &args);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        let killed = std::process::Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        // What it still prints is read, so that it does not end for a closed pipe.
        lines.for_each(|line| drop(line.unwrap()));
        let output = child.wait_with_output().unwrap();
        let line = text(&output.stderr);
        assert_eq!(
            (output.status.code(), line.lines().count()),
            (Some(130), 1),
            "{signal}: {line}"
        );
        assert!(line.contains("interrupted in epoch"), "{line}");
    }
}
