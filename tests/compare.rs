//! `tilelab compare` tells faster, slower and the same apart, never more than the intervals allow, for records and for
//! executables launched in turns.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;

use support::{cli, probed, records};
use tilelab::measure::{Body, Fact, Probe, Record};

fn save(folder: &Path, name: &str, record: &Record) {
    std::fs::write(folder.join(name), serde_json::to_vec(record).unwrap()).unwrap();
}

fn probe(change: impl FnOnce(&mut Probe)) -> Record {
    let mut found = probed::probe();
    change(&mut found);
    records::record("probe", "The memory system", Body::Probe(Box::new(found)))
}

fn rows(output: &std::process::Output) -> Vec<serde_json::Value> {
    let lines = cli::text(&output.stdout).lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verdict<'a>(rows: &'a [serde_json::Value], name: &str) -> &'a str {
    let row = rows.iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("no {name}"))["verdict"].as_str().unwrap()
}

#[test]
fn two_probes_differ_where_they_differ() {
    let folder = cli::folder();
    save(folder.path(), "old.json", &probe(|_| ()));
    let new = probe(|found| {
        let latency = found.latency.value.as_mut().unwrap();
        // Half the latency on 4 KiB pages at all sizes; an L2 four times as large.
        for point in &mut latency.curves[1].points {
            point.ns /= 2.0;
            point.interval_ns = (point.interval_ns.0 / 2.0, point.interval_ns.1 / 2.0);
        }
        let knee = latency.levels[1].found.value.as_mut().unwrap();
        knee.size *= 4.0;
        knee.interval = (knee.interval.0 * 4.0, knee.interval.1 * 4.0);
        // Reads at 0.8 of the rate, and one that was disturbed.
        let streams = &mut found.bandwidth.value.as_mut().unwrap().streams;
        streams[0].gbps *= 0.8;
        streams[0].interval_gbps = (streams[0].gbps * 0.97, streams[0].gbps * 1.03);
        streams[1].disturbed = true;
        // Four percent more, on one launch each: that is what launches differ by.
        found.clock_ghz = Fact::known(3.7 * 1.04, "a chain of additions");
        found.cores = Fact::unknown("one CPU");
    });
    save(folder.path(), "new.json", &new);
    let output = cli::run(folder.path(), &["compare", "old.json", "new.json", "--json"]);
    assert!(output.status.success(), "{}", cli::text(&output.stderr));
    let found = rows(&output);
    assert_eq!(verdict(&found, "latency, random, 4 KiB pages, 64 KiB"), "faster");
    assert_eq!(verdict(&found, "latency, random, 2 MiB pages, 64 KiB"), "same");
    assert_eq!(verdict(&found, "L2 found"), "larger");
    assert_eq!(verdict(&found, "read, 12 KiB, threads: 1"), "slower");
    assert_eq!(verdict(&found, "clock"), "same");
    let named = |name: &str| found.iter().any(|row| row["name"] == name);
    assert!(
        !named("read, 96 KiB, threads: 1"),
        "a disturbed rate is compared with nothing"
    );
    assert!(!named("core 0 to 1"), "what one of the two lacks is left out");
    let refused = cli::run(folder.path(), &["compare", "old.json", "new.json", "--deny-slower"]);
    assert_eq!(refused.status.code(), Some(1));
    let itself = rows(&cli::run(folder.path(), &["compare", "old.json", "old.json", "--json"]));
    let told_apart = ["faster", "slower", "larger", "smaller"];
    assert!(
        itself
            .iter()
            .all(|row| !told_apart.iter().any(|word| row["verdict"] == *word))
    );
}

#[test]
fn another_machine_is_named() {
    let folder = cli::folder();
    let mut other = probe(|_| ());
    other.machine.cpu = "Another CPU".to_owned();
    save(folder.path(), "old.json", &probe(|_| ()));
    save(folder.path(), "new.json", &other);
    let output = cli::run(folder.path(), &["compare", "old.json", "new.json"]);
    assert!(
        cli::text(&output.stdout).contains("another machine: Example CPU"),
        "{output:?}"
    );
}

#[cfg(unix)]
#[test]
fn executables_take_turns() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = cli::folder();
    // Stand-ins that leave the record that lies beside them, and note their turn.
    for (name, slower) in [("old", 1.03), ("new", 1.0)] {
        let mut bench = records::bench();
        for result in bench.cases.iter_mut().flat_map(|case| &mut case.results) {
            result.median_ns *= slower;
        }
        save(
            folder.path(),
            &format!("{name}.json"),
            &records::record("bench-gemm", "Products", Body::Bench(bench)),
        );
        let script = format!(
            "#!/bin/sh\nhere=$(dirname \"$0\")\necho {name} >>\"$here/turns\"\nwhile [ \"$1\" != --out ]; do shift; done\nmkdir -p \"$2/raw\" && cp \"$here/{name}.json\" \"$2/raw/bench-gemm.json\"\n"
        );
        let path = folder.path().join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let command = [
        "compare",
        "old",
        "new",
        "--launches",
        "3",
        "--json",
        "--",
        "bench",
        "gemm",
    ];
    let output = cli::run(folder.path(), &command);
    assert!(output.status.success(), "{}", cli::text(&output.stderr));
    let turns = std::fs::read_to_string(folder.path().join("turns")).unwrap();
    assert_eq!(turns, "old\nnew\nnew\nold\nold\nnew\n", "mirrored");
    let found = rows(&output);
    let figures = found.iter().filter(|row| row["verdict"] == "faster").count();
    assert_eq!(figures, 10, "3 percent in every launch is told apart: {found:?}");
}

#[test]
fn what_cannot_be_compared_is_one_line() {
    let folder = cli::folder();
    save(folder.path(), "probe.json", &probe(|_| ()));
    let bench = records::record("bench-gemm", "Products", Body::Bench(records::bench()));
    save(folder.path(), "bench.json", &bench);
    std::fs::write(folder.path().join("torn.json"), "{\"schema\": 1, \"name\"").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no record").unwrap();
    for (args, said) in [
        (&["probe.json", "absent.json"][..], "absent.json"),
        (&["probe.json", "torn.json"], "not a Tilelab record"),
        (&["probe.json", "notes.txt"], "neither a record"),
        (&["probe.json", "bench.json"], "no figure in common"),
        (&["probe.json", "probe.json", "--", "bench"], "two executables"),
        (&["probe.json", env!("CARGO_BIN_EXE_tilelab")], "two of a kind"),
        (
            &[env!("CARGO_BIN_EXE_tilelab"), env!("CARGO_BIN_EXE_tilelab")],
            "something to measure",
        ),
        (&["probe.json", "probe.json", "--margin", "nan"], "--margin"),
    ] {
        let output = cli::run(folder.path(), &[&["compare"], args].concat());
        let stderr = cli::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(
            stderr.contains(said) && stderr.trim_end().lines().count() == 1,
            "{args:?}: {stderr}"
        );
    }
}
