//! `tilelab train` as a user runs it: JSON lines, the table, the record, and the exit codes of runs that do not end well.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::Value;
use support::cli::{folder, run, text};
use tilelab::measure::{Body, Epoch, Record};

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

/// The event file, read by the format's own rules: every CRC holds, steps are the epochs, figures those of the table.
#[test]
fn tensorboard_reads_the_table() {
    let folder = folder();
    let output = run(
        folder.path(),
        &[&ARGS[..], &["--tensorboard", "board", "--csv", "table.csv"]].concat(),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = std::fs::read(folder.path().join("board/events.out.tfevents.0000000000.tilelab")).unwrap();
    let masked = |data: &[u8]| {
        crc32c::crc32c(data)
            .rotate_right(15)
            .wrapping_add(0xa282_ead8)
            .to_le_bytes()
    };
    let (mut rest, mut events) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
        let data = &rest[12..12 + length];
        assert_eq!(
            (masked(&rest[..8]), masked(data)),
            (
                rest[8..12].try_into().unwrap(),
                rest[12 + length..16 + length].try_into().unwrap()
            )
        );
        events.push(data);
        rest = &rest[16 + length..];
    }
    let csv = std::fs::read_to_string(folder.path().join("table.csv")).unwrap();
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert!(events[0].ends_with(b"brain.Event:2") && events.len() == 1 + rows.len());
    for (number, (event, row)) in (1u8..).zip(events[1..].iter().zip(rows)) {
        // Wall time, then the step.
        assert_eq!(event[9..11], [0x10, number]);
        let cells: Vec<&str> = row.split(',').collect();
        for (tag, cell) in [
            ("loss/train", 1),
            ("loss/test", 2),
            ("accuracy/train", 3),
            ("accuracy/test", 4),
        ] {
            let at = event
                .windows(tag.len())
                .position(|part| part == tag.as_bytes())
                .unwrap()
                + tag.len();
            let figure = f32::from_le_bytes(event[at + 1..at + 5].try_into().unwrap());
            assert_eq!(
                (event[at], figure),
                (0x15, cells[cell].parse::<f64>().unwrap() as f32),
                "{tag}"
            );
        }
    }
}

#[test]
fn the_summary_a_dry_run_and_the_csv() {
    let folder = folder();
    let output = run(folder.path(), &[&ARGS[..], &["--csv", "table.csv"]].concat());
    let out = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Counted by hand: 784 * 12 + 12 and 12 * 10 + 10 parameters; 4 steps of 16 rows hold 60.
    for line in [
        "1      784 -> 12      relu       9,420",
        "2       12 -> 10  identity         130",
        "an epoch 4 steps",
    ] {
        assert!(out.contains(line), "{line:?} is not in {out}");
    }
    let csv = std::fs::read_to_string(folder.path().join("table.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0].split(',').count()), (4, 9));
    let record = std::fs::read(folder.path().join("reports/raw/train-784-12-10.json")).unwrap();
    let record: Record = serde_json::from_slice(&record).unwrap();
    let Body::Training(training) = record.body else {
        panic!("{:?}", record.body)
    };
    for (line, epoch) in lines[1..].iter().zip(&training.epochs) {
        // The two cells of a validation that there was not are empty.
        assert!(line.contains(",,,"), "{line}");
        let cells = line.split(',').filter(|cell| !cell.is_empty());
        let cells: Vec<f64> = cells.map(|cell| cell.parse().unwrap()).collect();
        let Epoch {
            train_loss,
            test_loss,
            train_acc,
            test_acc,
            seconds,
            samples_per_s,
            ..
        } = *epoch;
        assert_eq!(
            cells,
            [
                epoch.epoch as f64,
                train_loss,
                test_loss,
                train_acc,
                test_acc,
                seconds,
                samples_per_s
            ]
        );
    }

    std::fs::remove_dir_all(folder.path().join("reports")).unwrap();
    for json in [&["--json"][..], &[]] {
        let dry = [
            &ARGS[..],
            &["--dry-run", "--checkpoint", "saved", "--csv", "dry.csv"],
            json,
        ]
        .concat();
        let output = run(folder.path(), &dry);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let out = text(&output.stdout);
        if json.is_empty() {
            assert!(
                out.contains("9550 parameters") && out.ends_with("nothing was written\n"),
                "{out}"
            );
        } else {
            let line: Value = serde_json::from_str(out).unwrap();
            assert_eq!((&line["event"], &line["parameters"]), (&"dry-run".into(), &9550.into()));
            assert_eq!(line["epoch_steps"], 4);
        }
        for name in ["reports", "saved", "dry.csv"] {
            assert!(!folder.path().join(name).exists(), "{name} was written");
        }
    }
    // What a run would refuse, a dry run refuses.
    let output = run(folder.path(), &["train", "--layers", "785,10", "--dry-run"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr).lines().count()),
        (Some(2), 1)
    );
}

#[test]
fn ways_of_stepping_that_make_no_sense_are_one_line() {
    let folder = folder();
    for (args, named) in [
        (&["--schedule", "linear"][..], "no schedule is called `linear`"),
        (&["--schedule", "step:0:0.1"], "step:30:0.1"),
        (&["--warmup", "-1"], "--warmup"),
        (&["--accumulate", "0"], "--accumulate"),
        (&["--accumulate", "17"], "--accumulate 17: a batch of 16 rows"),
        (&["--clip", "0"], "--clip"),
        (&["--validation", "1"], "--validation 1: it must be a share"),
        (&["--validation", "0.001"], "of 60 rows it leaves none"),
        (&["--patience", "3"], "--patience"),
        (&["--overfit-batches", "0"], "--overfit-batches"),
        (&["--csv", "none/table.csv"], "--csv none/table.csv"),
    ] {
        let output = run(folder.path(), &[&ARGS[..], args].concat());
        let line = text(&output.stderr);
        assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
        assert!(line.contains(named), "{line}");
    }
}

/// `--find-lr` ends with a rate that then trains, or with a reason; it leaves a record and nothing else.
#[test]
fn a_learning_rate_is_found_or_the_reason_why_not() {
    let folder = folder();
    let search = [
        "train",
        "--data",
        "sums",
        "--layers",
        "20,16,2",
        "--batch",
        "64",
        "--find-lr",
    ];
    let output = run(
        folder.path(),
        &[&search[..], &["--init", "he-normal", "--json"]].concat(),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let done = lines.last().unwrap();
    let lr = done["outcome"]["lr"].as_f64().unwrap();
    assert!((1e-3..=10.0).contains(&lr), "{done}");
    assert!(folder.path().join(done["record"].as_str().unwrap()).is_file());
    let rates: Vec<f64> = lines[..lines.len() - 1]
        .iter()
        .map(|line| line["lr"].as_f64().unwrap())
        .collect();
    assert!(rates.len() > 50 && rates.is_sorted(), "{rates:?}");
    let (rate, options) = (
        lr.to_string(),
        ["--init", "he-normal", "--epochs", "20", "--json", "--lr"],
    );
    let output = run(
        folder.path(),
        &[&search[..search.len() - 1], &options[..], &[&rate]].concat(),
    );
    let last = text(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["epoch"] == 20);
    assert!(last.unwrap()["test_acc"].as_f64().unwrap() > 0.8, "{lr} does not train");
    // All weights 0: nothing but the last bias moves, and the loss stays.
    let output = run(folder.path(), &[&search[..], &["--init", "zeros"]].concat());
    assert!(
        output.status.success() && text(&output.stdout).contains("no suggestion: the loss fell at none"),
        "{}",
        text(&output.stdout)
    );
    let output = run(folder.path(), &[&search[..], &["--checkpoint", "saved"]].concat());
    assert_eq!(
        (output.status.code(), folder.path().join("saved").exists()),
        (Some(2), false)
    );
}

/// `--layer-stats` changes no bit of the run, batch norm's running statistics included, and tells of every layer. Biases far below 0 kill all
/// units of the first layer; the gradient stops there.
#[test]
fn layers_are_looked_at_without_a_trace() {
    let folder = folder();
    let train = "train --data sums --layers 20,16,8,2 --epochs 3 --init he-normal --batch-norm --dropout 0.2 --json";
    let train: Vec<&str> = train.split_whitespace().collect();
    let rows = |more: &[&str]| -> Vec<Value> {
        let output = run(folder.path(), &[&train[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line.get("event").is_none()).collect()
    };
    let (plain, looked) = (rows(&[]), rows(&["--layer-stats"]));
    for (plain, looked) in plain.iter().zip(&looked) {
        assert_eq!(
            (&plain["train_loss"], &plain["test_loss"]),
            (&looked["train_loss"], &looked["test_loss"])
        );
        let layers = looked["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 3);
        assert!(
            layers
                .iter()
                .all(|layer| layer["gradient_norm"].as_f64().unwrap() > 0.0),
            "{layers:?}"
        );
        let share = layers[0]["sparsity"].as_f64().unwrap();
        assert!(
            (0.2..0.8).contains(&share) && layers[2].get("dead_units").is_none(),
            "{layers:?}"
        );
    }
    let dead = "train --data sums --layers 20,16,2 --epochs 1 --bias=-100 --json --layer-stats";
    let output = run(folder.path(), &dead.split_whitespace().collect::<Vec<_>>());
    let first: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    let layer = &first["layers"][0];
    let figures = ["dead_units", "sparsity", "gradient_norm"].map(|name| layer[name].as_f64().unwrap());
    assert_eq!(figures, [1.0, 1.0, 0.0]);
}
