//! What a user can get wrong with `tilelab train`: one line on stderr that names the thing and the way out, exit code 2.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use support::cli::{folder, run, text};

/// Arguments behind `train`; what the line must say: the thing, and the way out.
const WRONG: &[(&[&str], &[&str])] = &[
    (&["--layers", "784,0,10"], &["--layers 784,0,10", "at least 1"]),
    (&["--layers", "784"], &["--layers 784", "such as 784,256,10"]),
    (&["--layers", ""], &["--layers", "such as 784,256,10"]),
    (&["--layers", "784;10"], &["'784;10'", "--layers", "commas between"]),
    (&["--layers", "784,-5,10"], &["--layers", "whole numbers"]),
    (&["--layers", "100,10"], &["--layers 100,10", "begin with 784"]),
    (&["--layers", "784,9"], &["--layers 784,9", "end with at least 10"]),
    (&["--layers", "784,100000000000,10"], &["available", "smaller --layers"]),
    (
        &["--layers", "784,18446744073709551615,10"],
        &["--layers", "smaller widths"],
    ),
    (&["--lr", "nan"], &["'nan'", "--lr", "above 0"]),
    (&["--lr", "inf"], &["'inf'", "--lr", "finite"]),
    (&["--lr", "0"], &["'0'", "--lr", "above 0"]),
    (&["--lr", "-1"], &["'-1'", "--lr", "above 0"]),
    (&["--lr", "fast"], &["'fast'", "--lr", "such as 0.1"]),
    (&["--l2", "-1"], &["'-1'", "--l2", "at least 0"]),
    (&["--threads", "0"], &["--threads", "1 to 1024"]),
    (&["--threads", "-2"], &["'-2'", "--threads", "1 to 1024"]),
    (&["--threads", "1000000"], &["--threads", "1 to 1024"]),
    (&["--batch", "0"], &["'0'", "--batch", "at least 1"]),
    (&["--batch", "-8"], &["'-8'", "--batch", "at least 1"]),
    (&["--epochs", "0"], &["'0'", "--epochs", "at least 1"]),
    (&["--epochs", "1.5"], &["'1.5'", "--epochs", "whole number"]),
    (&["--seed", "-1"], &["'-1'", "--seed", "from 0"]),
    (&["--init", "xavier"], &["xavier", "--init", "normal:SIGMA"]),
    (&["--init", "normal:-1"], &["normal:-1", "--init", "normal:0.01"]),
    (&["--init", "normal"], &["normal", "--init", "normal:0.01"]),
    (&["--activation", "mish"], &["mish", "--activation", "relu, identity"]),
    (&["--optimizer", "lion"], &["lion", "--optimizer", "sgd"]),
    (&["--loss", "hinge"], &["hinge", "--loss", "cross-entropy"]),
    (&["--dropout", "1"], &["--dropout 1", "below 1"]),
    (&["--bias", "nan"], &["--bias", "finite"]),
    (&["--device", "gpu"], &["gpu", "--device", "cpu, baseline, reference"]),
    (&["--device", "cuda:99"], &["cuda:99: ", "--device cpu"]),
    (&["--data", "no/such/folder"], &["no/such/folder", "--data"]),
    (&["--layer", "784,10"], &["--layer", "--layers"]),
    (&["--epochs"], &["--epochs", "--help"]),
    (&["extra"], &["extra", "--help"]),
];

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let folder = folder();
    for (args, said) in WRONG {
        let args = [&["train"], *args].concat();
        let output = run(folder.path(), &args);
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert_eq!(line.lines().count(), 1, "{args:?}: {line}");
        assert!(line.starts_with("error: ") && line.ends_with('\n'), "{args:?}: {line}");
        for said in *said {
            assert!(line.contains(said), "{args:?}: {line} does not say {said}");
        }
        assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output.stdout));
    }
    assert!(!folder.path().join("reports").exists(), "nothing was recorded");
}

#[test]
fn an_isa_that_is_not_there_is_bad_input() {
    let folder = folder();
    let output = support::cli::command(folder.path(), &["train"])
        .env("TILELAB_ISA", "mmx")
        .output()
        .unwrap();
    let line = text(&output.stderr);
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    assert!(line.contains("mmx") && line.contains("avx2"), "{line}");
}

#[test]
fn help_is_no_error() {
    let folder = folder();
    for args in [&["--help"][..], &["train", "--help"], &["--version"]] {
        let output = run(folder.path(), args);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
        assert!(text(&output.stdout).contains("tilelab"), "{args:?}");
    }
    let help = run(folder.path(), &["train", "--help"]);
    for flag in [
        "--layers",
        "--epochs",
        "--batch",
        "--lr",
        "--init",
        "--seed",
        "--activation",
        "--device",
        "--json",
    ] {
        assert!(text(&help.stdout).contains(flag), "{flag}");
    }
}

#[test]
fn unknown_commands_are_bad_input() {
    let folder = folder();
    let output = run(folder.path(), &["trian"]);
    let line = text(&output.stderr);
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    assert!(line.contains("'trian'") && line.contains("train"), "{line}");
}
