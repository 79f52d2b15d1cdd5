//! What a user meets: a search from the command line, gone on with, killed, interrupted, given nonsense.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use serde_json::Value as Json;

use crate::support::cli::{command, folder, run, text};

const SMALL: &[&str] = &[
    "search",
    "--epochs",
    "2..4",
    "--units",
    "8..32:8",
    "--hidden-layers",
    "1..2",
    "--batch",
    "8,16",
    "--threads",
    "1",
    "--validation",
    "0.3",
    "--json",
];

/// The trials of a study's file: numbers of their own lines but for times, which differ from run to run.
fn essence(path: &Path) -> Vec<String> {
    let lines = std::fs::read_to_string(path).unwrap();
    let mut trials: Vec<[std::collections::BTreeMap<String, String>; 2]> = Vec::new();
    let mut states: Vec<String> = Vec::new();
    for line in lines.lines() {
        let line: Json = serde_json::from_str(&line.replace(":NaN", ":null")).unwrap();
        let trial = line["trial_id"].as_u64().map(|number| number as usize);
        match (line["op_code"].as_u64().unwrap(), trial) {
            (4, _) => {
                trials.push(Default::default());
                states.push(String::new());
            }
            (5, Some(trial)) => {
                trials[trial][0].insert(line["param_name"].to_string(), line["param_value_internal"].to_string());
            }
            (6, Some(trial)) => {
                assert!(states[trial].is_empty(), "trial {trial} ended twice");
                states[trial] = format!("{} {}", line["state"], line["values"]);
            }
            (7, Some(trial)) => {
                trials[trial][1].insert(line["step"].to_string(), line["intermediate_value"].to_string());
            }
            _ => {}
        }
    }
    trials
        .iter()
        .zip(&states)
        .map(|(trial, state)| format!("{state} {trial:?}"))
        .collect()
}

#[test]
fn a_search_goes_on_and_ends_with_a_record_and_a_command() {
    let folder = folder();
    let args = |trials: &'static str, study: &'static str| {
        [
            SMALL,
            &[
                "--jobs",
                "2",
                "--final-seeds",
                "2",
                "--trials",
                trials,
                "--study",
                study,
            ],
        ]
        .concat()
    };
    for (trials, study) in [("8", "whole"), ("4", "parts"), ("8", "parts")] {
        let output = run(folder.path(), &args(trials, study));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(
        essence(&folder.path().join("whole")),
        essence(&folder.path().join("parts"))
    );
    // Nothing is left to do, the test set is not touched again, and the figures stay.
    let before = std::fs::read(folder.path().join("whole")).unwrap();
    let output = run(folder.path(), &args("8", "whole"));
    let lines: Vec<Json> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [done] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (done["event"].as_str(), done["trials"].as_u64()),
        (Some("done"), Some(8))
    );
    assert_eq!(std::fs::read(folder.path().join("whole")).unwrap(), before);
    let record: Json =
        serde_json::from_slice(&std::fs::read(folder.path().join(done["record"].as_str().unwrap())).unwrap()).unwrap();
    let command = record["body"]["best_command"].as_str().unwrap();
    assert_eq!(record["body"]["tests"].as_array().unwrap().len(), 2);
    // The command is one that can be copied.
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    let output = run(folder.path(), &[&args[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let last = text(&output.stdout)
        .lines()
        .rfind(|line| line.contains("test_acc"))
        .unwrap()
        .to_owned();
    let accuracy = record["body"]["tests"][0]["accuracy"].to_string();
    assert!(last.contains(&accuracy), "{last} has no {accuracy}");
}

/// SIGKILL at random moments of a search with two jobs. `TILELAB_KILLS` sets how many.
#[cfg(unix)]
#[test]
fn killed_searches_lose_nothing_and_count_nothing_twice() {
    let kills: u32 = std::env::var("TILELAB_KILLS").map_or(4, |count| count.parse().unwrap());
    let folder = folder();
    let args = |study: &'static str| {
        [
            SMALL,
            &["--jobs", "2", "--final-seeds", "0", "--trials", "24", "--study", study],
        ]
        .concat()
    };
    assert!(run(folder.path(), &args("whole")).status.success());
    let whole = essence(&folder.path().join("whole"));
    let path = folder.path().join("killed");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let (mut left, mut rounds) = (kills, 0);
    while left > 0 {
        rounds += 1;
        let mut child = command(folder.path(), &args("killed"));
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.random_range(1_000..60_000)));
        let finished = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(status) = finished {
            // The search was over: begin another.
            assert!(status.success());
            assert_eq!(essence(&path), whole);
            std::fs::remove_file(&path).unwrap();
            continue;
        }
        left -= 1;
        let Ok(bytes) = std::fs::read_to_string(&path) else {
            continue;
        };
        // Every trial that had finished is one of the whole study.
        let end = bytes.rfind('\n').map_or(0, |end| end + 1);
        let copy = folder.path().join("copy");
        std::fs::write(&copy, &bytes[..end]).unwrap();
        for (number, trial) in essence(&copy)
            .iter()
            .enumerate()
            .filter(|(_, trial)| !trial.starts_with(' '))
        {
            assert_eq!(*trial, whole[number]);
        }
    }
    let output = run(folder.path(), &args("killed"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(essence(&path), whole, "after {rounds} rounds");
    println!("{kills} kills: the study ended with the same bits");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_130_and_the_way_on() {
    let folder = folder();
    let args = [SMALL, &["--trials", "100000", "--study", "s", "--final-seeds", "0"]].concat();
    let mut child = command(folder.path(), &args);
    let child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("go on with: tilelab search") && said.lines().count() == 1,
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_stops_it_with_the_reason() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_tilelab");
    let args = [SMALL, &["--trials", "100000", "--study", "s", "--final-seeds", "0"]].concat();
    // A limit on the size of files stands for a full disk; the signal of the limit is ignored, so that the write fails.
    let script = format!("trap '' XFSZ; ulimit -f 24; exec {program} \"$@\"");
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &script, "bash"])
        .args(&args)
        .current_dir(folder.path());
    let output = shell.env("TILELAB_DATA", folder.path().join("data")).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("can't write into the study s") && said.contains("goes on"),
        "{said}"
    );
    let finished = essence(&folder.path().join("s"))
        .iter()
        .filter(|trial| !trial.starts_with(' '))
        .count();
    assert!(finished > 0);
    let wanted = (finished + 2).to_string();
    let args = [SMALL, &["--trials", &wanted, "--study", "s", "--final-seeds", "0"]].concat();
    assert!(run(folder.path(), &args).status.success(), "it goes on");
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let folder = folder();
    std::fs::write(folder.path().join("torn"), "no json\n").unwrap();
    let wrong: &[(&[&str], &[&str])] = &[
        (&["--lr", "fast"], &["--lr", "0.001..0.2:log"]),
        (&["--lr", "0..1:log"], &["--lr", "above 0"]),
        (&["--lr", "0.2..0.1"], &["--lr", "0.2..0.1", "below"]),
        (&["--units", "0..64"], &["--units", "at least 1"]),
        (&["--units", "8..32:0"], &["--units", "such as"]),
        (&["--batch", "32,32"], &["--batch", "32 is there twice"]),
        (&["--dropout", "0..1"], &["--dropout", "below 1"]),
        (
            &["--activation", "mish,relu"],
            &["--activation", "mish", "relu, identity"],
        ),
        (&["--optimizer", "lion"], &["--optimizer", "lion", "sgd"]),
        (&["--sampler", "bayes"], &["--sampler", "random, grid, tpe"]),
        (&["--pruner", "hyperband"], &["--pruner", "halving"]),
        (&["--objective", "f1"], &["--objective", "accuracy, loss"]),
        (&["--validation", "0.999"], &["--validation 0.999", "one side"]),
        (&["--enqueue", "lr"], &["--enqueue lr", "such as lr=0.1"]),
        (&["--enqueue", "rate=0.1"], &["--enqueue rate", "lr, epochs"]),
        (&["--enqueue", "batch=7"], &["--enqueue batch=7", "not in the space"]),
        (&["--sampler", "grid", "--hidden-layers", "1..9"], &["grid", "cells"]),
        (&["--study", "torn"], &["torn line 1", "--study"]),
        (&["--study", "data"], &["data", "no file"]),
        (&["--device", "cuda:99"], &["cuda:99", "--device cpu"]),
        (&["--data", "no/such"], &["no/such", "--data"]),
        (&["--trials", "0"], &["--trials", "at least 1"]),
        (&["--timeout", "-1"], &["--timeout", "above 0"]),
    ];
    for (args, said) in wrong {
        let output = run(folder.path(), &[&["search"], *args].concat());
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(
            line.lines().count() == 1 && said.iter().all(|part| line.contains(part)),
            "{args:?}: {line}"
        );
        assert!(output.stdout.is_empty());
    }
}
