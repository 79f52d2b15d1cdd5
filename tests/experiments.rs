//! Experiments as a user runs them: they answer, check themselves, go on where they were stopped, and end up in the report.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::process::Output;

use serde_json::Value;
use support::cli::{folder, run, text};
use tilelab::experiment::{ALL, Options, State};
use tilelab::measure::{Body, Finding};

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_list_names_every_experiment() {
    let folder = folder();
    let listed = lines(&run(folder.path(), &["experiment", "list", "--json"]));
    let names: Vec<&str> = listed.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ALL.iter().map(|entry| entry.name).collect::<Vec<_>>());
}

/// Three exact ones: records, checks, report section, errata; then the notebook's figures beside ours.
#[test]
fn a_run_leaves_records_a_report_and_errata() {
    let folder = folder();
    let out = run(
        folder.path(),
        &[
            "experiment",
            "run",
            "footprint",
            "activations",
            "linear-collapse",
            "gradients",
            "--quick",
            "--json",
        ],
    );
    assert!(out.status.success(), "{}", text(&out.stderr));
    let told = lines(&out);
    assert_eq!(told.last().unwrap()["event"], "done");
    assert!(told.iter().filter(|line| line["event"] == "experiment").all(|line| {
        line["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["passed"] == true)
    }));
    let (records, problems) = tilelab::report::load(&folder.path().join("reports/raw"));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(records.len(), 4);
    let html = fs::read_to_string(folder.path().join("reports/index.html")).unwrap();
    for said in [
        "Errata of the notebook",
        "x / 2",
        "11,440",
        "Linear layers collapse",
        "class=\"graph\"",
    ] {
        assert!(html.contains(said), "{said}");
    }
    let compared = run(folder.path(), &["experiment", "compare"]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
    assert!(
        text(&compared.stdout).contains("100-50-10, training"),
        "{}",
        text(&compared.stdout)
    );
    assert!(
        !folder.path().join("reports/experiments/footprint.json").exists(),
        "nothing is half done"
    );
}

/// A figure that misses what it is held to is found by `compare`.
#[test]
fn a_miss_is_said() {
    let folder = folder();
    assert!(run(folder.path(), &["experiment", "run", "footprint"]).status.success());
    let path = folder.path().join("reports/raw/experiment-footprint.json");
    let record = fs::read_to_string(&path).unwrap();
    let (mut records, _) = tilelab::report::load(&folder.path().join("reports/raw"));
    let Body::Experiment(found) = &mut records[0].body else {
        panic!("{record}")
    };
    assert!(matches!(found.finding, Finding::FootprintReconciled { .. }));
    found.beside[0].ours = 1.0;
    found.beside[0].held = tilelab::measure::Held::within(5770.0, 1.0, 0.0, 0.0);
    tilelab::report::save(&folder.path().join("reports/raw"), &records[0]).unwrap();
    let compared = run(folder.path(), &["experiment", "compare"]);
    assert_eq!(compared.status.code(), Some(1));
    assert!(
        text(&compared.stderr).contains("missed: footprint"),
        "{}",
        text(&compared.stderr)
    );
}

/// What a stopped run had finished is not computed again: a sub-run that only the state knows ends up in the record.
#[test]
fn a_stopped_run_goes_on() {
    let folder = folder();
    let entry = tilelab::experiment::by_name("memory-bus").unwrap();
    let options = Options {
        full: false,
        seed: 1,
        device: tilelab::device::Device::Cpu,
        threads: tilelab_kernels::Threads::one(),
        data: None,
    };
    let mut state = State::open(
        &folder.path().join("reports/experiments"),
        entry.name,
        options.settings(),
    );
    let made = serde_json::json!({"width_bits": 192, "source": "a state", "peak_gbps": null, "gpu": "none",
        "streams": [{"name": "copy", "threads": 1, "bytes": 4096, "gbps": 12.5}]});
    state.put("probe", &made).unwrap();
    let out = run(folder.path(), &["experiment", "run", "memory-bus", "--threads", "1"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("192 bits"), "{}", text(&out.stdout));
    assert!(
        text(&out.stderr).contains("goes on, 1 of its parts"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn bad_input_is_one_line() {
    let folder = folder();
    for (args, said) in [
        (
            &["experiment", "run", "no-such"][..],
            "no experiment is called `no-such`",
        ),
        (&["experiment", "run"], "NAME"),
        (&["experiment", "run", "activations", "--quick", "--full"], "--full"),
        (&["experiment", "run", "activations", "--device", "cuda:99"], "cuda:99"),
        (
            &["experiment", "run", "mlp-from-scratch", "--full"],
            "--full needs the whole Fashion-MNIST",
        ),
        (&["experiment", "compare"], "no record has a figure of the notebook"),
    ] {
        let out = run(folder.path(), args);
        let error = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {error}");
        assert!(
            error.contains(said) && error.trim_end().lines().count() == 1,
            "{args:?}: {error}"
        );
    }
}
