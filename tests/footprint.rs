//! `tilelab footprint`: the notebook's figures, and not one byte between them and the allocator without a name.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::Value;
use support::cli::{folder, run, text};

fn lines(args: &[&str]) -> Vec<Value> {
    let folder = folder();
    let output = run(folder.path(), &[&["footprint", "--json"], args].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout).lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(lines: &'a [Value], event: &str, program: &str) -> Vec<&'a Value> {
    let wanted = |line: &&Value| line["event"] == event && line["for"] == program;
    lines.iter().filter(wanted).collect()
}

#[test]
fn the_notebooks_figures() {
    let lines = lines(&["--layers", "100,50,10", "--batch", "1"]);
    let bytes = |program, sum: usize| of(&lines, "sum", program)[sum]["bytes"].as_u64().unwrap();
    assert_eq!((bytes("prediction", 0), bytes("prediction", 1)), (4 * 5_770, 4 * 5_770));
    assert_eq!((bytes("training", 0), bytes("training", 1)), (4 * 11_380, 4 * 11_440));
    assert_eq!(bytes("prediction", 2), 4 * 5_770, "the program's own buffers");
    assert_eq!(
        bytes("training", 2),
        4 * (11_440 + 1) + 1 + 8,
        "a loss, a label, a metric more"
    );
}

/// On every device, for shallow and deep models: each sum is the one before it and its named changes, the last is what the
/// allocator counted, and nothing was allocated that has no name.
#[test]
fn every_difference_has_a_name() {
    for device in ["cpu", "baseline", "reference"] {
        for (layers, batch) in [("100,50,10", "1"), ("20,64,2", "16"), ("33,47,29,5", "7"), ("5,3", "2")] {
            let lines = lines(&["--device", device, "--layers", layers, "--batch", batch]);
            for program in ["prediction", "training"] {
                let (sums, total) = (of(&lines, "sum", program), of(&lines, "total", program)[0]);
                assert!(
                    sums.last().unwrap()["sum"]
                        .as_str()
                        .unwrap()
                        .starts_with("allocated on")
                );
                for pair in sums.windows(2) {
                    let changes = pair[0]["to_next"].as_array().unwrap();
                    let by = |change: &Value| change["to"].as_i64().unwrap() - change["from"].as_i64().unwrap();
                    let sum = pair[0]["bytes"].as_i64().unwrap() + changes.iter().map(by).sum::<i64>();
                    assert_eq!(sum, pair[1]["bytes"].as_i64().unwrap(), "{device} {layers} {program}");
                    assert!(changes.iter().all(|change| by(change) != 0));
                }
                assert_eq!(total["unnamed_bytes"], 0, "{device} {layers} {program}");
                let buffers: u64 = of(&lines, "buffer", program)
                    .iter()
                    .map(|b| b["bytes"].as_u64().unwrap())
                    .sum();
                assert_eq!(total["bytes"].as_u64(), Some(buffers));
                assert!(total["reused_bytes"].as_u64() <= total["bytes"].as_u64());
            }
        }
    }
}

/// f32 buffers are allocated to the byte; the reference device computes in f64 and takes twice as much for each.
#[test]
fn buffers_are_what_is_allocated_for_them() {
    for (device, factor) in [("cpu", 1), ("baseline", 1), ("reference", 2)] {
        let lines = lines(&["--device", device]);
        let sums = of(&lines, "sum", "training");
        let last_program = sums[sums.len() - 2];
        let changed: Vec<&Value> = last_program["to_next"].as_array().unwrap().iter().collect();
        for buffer in of(&lines, "buffer", "training") {
            let change = changed.iter().find(|change| change["name"] == buffer["buffer"]);
            if factor == 1 || buffer["type"] != "f32" {
                assert!(change.is_none(), "{device}: {change:?}");
            } else {
                let change = change.unwrap();
                assert_eq!(
                    change["to"].as_u64().unwrap(),
                    2 * change["from"].as_u64().unwrap(),
                    "{buffer}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_added_up_all_the_same() {
    let lines = lines(&["--layers", "1000000,1000000,10"]);
    let total = of(&lines, "total", "training")[0];
    assert!(total["not_run"].as_str().unwrap().contains("are available"), "{total}");
    assert!(total["bytes"].as_u64().unwrap() > 8_000_000_000_000);
    let folder = folder();
    for (args, named) in [
        (&["footprint", "--layers", "100"][..], "at least two layer widths"),
        (&["footprint", "--device", "cuda:99"], "cuda:99: "),
        (&["footprint", "--batch", "99999999999999999"], "every size"),
    ] {
        let output = run(folder.path(), args);
        let line = text(&output.stderr);
        assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
        assert!(line.contains(named), "{line}");
    }
}
