//! `tilelab bench`: what a user gets, and what a wrong argument gets.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::process::{Command, Output};

fn tilelab(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_tilelab"))
        .args(args)
        .current_dir(dir.path())
        .output()
        .unwrap()
}

#[test]
fn a_small_bench_gives_a_case_a_line_and_a_summary() {
    let output = tilelab(&["bench", "gemm", "--shapes", "16x64x20,40:tb", "--rounds", "1", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(
        (&lines[0]["name"], &lines[1]["name"]),
        (&"16x64x20".into(), &"40 cubed B^T".into())
    );
    for line in &lines[..2] {
        // A disturbed machine may leave no round.
        for result in line["results"].as_array().unwrap() {
            assert!(result["rate"].as_f64().unwrap() > 0.0 && result["error_over_bound"].as_f64().unwrap() <= 1.0);
        }
    }
    assert_eq!(lines[2]["event"], "done");
}

#[test]
fn bars_are_figures_with_a_verdict() {
    let output = tilelab(&["bench", "gemm", "--bars", "--only", "16x1x64", "--rounds", "1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // One round is no ground for a verdict.
    assert!(
        text.contains("not measurable here: ") && text.contains(" 0 missed"),
        "{text}"
    );
}

/// Without an interpreter ours run alone, and the bars say that there was nobody to be held against.
#[test]
fn frameworks_that_are_missing_are_named() {
    let case = "20-64-1 batch 1024";
    let args = [
        "bench",
        "train-step",
        "--bars",
        "--rounds",
        "1",
        "--only",
        case,
        "--python",
        "no-such-python",
    ];
    let output = tilelab(&args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for told in [
        "pytorch: no-such-python can't be started",
        "numpy: ",
        "not measurable here",
        "1 bars: 0 met, 0 missed",
    ] {
        assert!(text.contains(told), "no `{told}` in {text}");
    }
}

/// NumPy in its own process takes turns with ours, and its first losses are those of the reference. The other frameworks speak the same
/// protocol where they are installed.
#[test]
fn frameworks_compute_what_ours_compute() {
    let python = std::env::var("TILELAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import numpy"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("TILELAB_REQUIRE_ALL").is_none(),
            "needs python3 with numpy"
        );
        return println!("skipped: needs python3 with numpy");
    }
    let case = ["bench", "train-step", "--rounds", "1", "--only", "20-64-1 batch 256"];
    let output = tilelab(&[&case[..], &["--json", "--python", &python]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let raw: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(raw.len(), 2, "a case and a summary: {text}");
    for case in &raw[..1] {
        // A disturbed machine may leave no round.
        for result in case["results"].as_array().unwrap() {
            assert!(result["error_over_bound"].as_f64().unwrap() <= 1.0, "{result}");
        }
    }
}

#[test]
fn what_cannot_be_is_one_line_and_exit_2() {
    for (args, named) in [
        (&["bench", "gemm", "--blas", "/nope/libnope.so"][..], "/nope/libnope.so"),
        (&["bench", "gemm", "--blas", "libc.so.6"], "neither cblas_sgemm"),
        (&["bench", "gemm", "--shapes", "3x4"], "2 sides"),
        (&["bench", "gemm", "--rounds", "0"], "--rounds"),
        (&["bench", "gemm", "--bars", "--only", "nothing"], "nothing"),
        (&["bench", "gemm", "--bars", "--shapes", "64"], "--shapes"),
        (&["bench", "train-step", "--only", "nothing"], "nothing"),
        (&["bench"], "--help"),
    ] {
        let output = tilelab(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(
            told.trim_end().lines().count() == 1 && told.contains(named),
            "{args:?}: {told}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn elementwise_and_updates_give_a_case_a_line() {
    for (args, cases) in [
        (&["bench", "elementwise", "--only", "sigmoid 1024"][..], 1),
        (&["bench", "update", "--only", "203530"], 3),
    ] {
        let output = tilelab(&[args, &["--rounds", "1", "--json", "--all-isas"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), cases + 1, "{text}");
        for line in &lines[..cases] {
            for result in line["results"].as_array().unwrap() {
                assert!(result["error_over_bound"].as_f64().unwrap() <= 1.0, "{result}");
            }
        }
    }
    let bars = tilelab(&["bench", "elementwise", "--bars", "--only", "relu", "--rounds", "1"]);
    let text = String::from_utf8(bars.stdout).unwrap();
    assert!(
        text.contains("time over the faster copy's") && text.contains("not measurable here: "),
        "{text}"
    );
    for (args, named) in [
        (&["bench", "elementwise", "--only", "nothing"][..], "nothing"),
        (&["bench", "update", "--bars"], "--bars"),
    ] {
        let output = tilelab(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.trim_end().lines().count() == 1 && told.contains(named), "{told}");
    }
}

#[test]
fn alignment_holds_every_setting_against_its_base() {
    let output = tilelab(&["bench", "alignment", "--size", "64", "--rounds", "2", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (done, comparisons) = lines.split_last().unwrap();
    assert_eq!(done["comparisons"], comparisons.len());
    // A disturbed machine may leave no round; what is compared is compared whole.
    if !comparisons.is_empty() {
        for wanted in [
            "65 cubed",
            "64 in rows of 72",
            "64, 16 bytes off a line",
            "17 cubed",
            "16 in rows of 24",
        ] {
            assert!(comparisons.iter().any(|it| it["case"] == wanted), "{wanted}: {text}");
        }
        assert!(comparisons.iter().all(|it| it["median"].as_f64().unwrap() > 0.0));
    }
}
