//! `tilelab probe`: what a user gets, within which time, and what a wrong argument gets.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tilelab::measure::Body;

/// Measuring tests take turns: two of them on one CPU would disturb one another.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tilelab(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tilelab"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything, once: stages as JSON, the record, the report made from it.
#[test]
fn a_quick_probe_gives_every_stage_a_record_and_a_section() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let args = ["probe", "--quick", "--max-mem", "256M", "--dram", "3200", "--json"];
    let output = tilelab(dir.path(), &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "topology",
            "bus",
            "latency",
            "tlb",
            "parallelism",
            "loaded",
            "cores",
            "nodes",
            "bandwidth",
            "roofline",
            "done"
        ]
    );
    // Null has a reason wherever it stands.
    fn reasons(value: &Value) {
        match value {
            Value::Object(map) => {
                if map.get("value").is_some_and(Value::is_null) {
                    assert!(map["source"].as_str().is_some_and(|why| !why.is_empty()), "{map:?}");
                }
                map.values().for_each(reasons);
            }
            Value::Array(all) => all.iter().for_each(reasons),
            _ => (),
        }
    }
    lines.iter().for_each(reasons);
    let done = &lines[10];
    assert!(done["gpu"]["value"].is_null() && done["gpu"]["source"].as_str().unwrap().contains("--device cuda:0"));

    let (records, problems) = tilelab::report::load(&dir.path().join("reports/raw"));
    assert!(problems.is_empty() && records.len() == 1, "{problems:?}");
    let Body::Probe(found) = &records[0].body else {
        panic!("not a probe");
    };
    let latency = found.latency.value.as_ref().unwrap();
    for curve in &latency.curves {
        assert!(
            curve.visits.iter().any(|visit| !visit.ns.is_empty()),
            "{}: raw samples are kept",
            curve.name
        );
        let most = curve.points.last().unwrap();
        assert!(most.size <= 128 << 20, "--max-mem bounds two buffers");
        assert!(
            most.ns > 2.0 * curve.points[0].ns,
            "{}: memory takes longer than a cache",
            curve.name
        );
    }
    let bandwidth = found.bandwidth.value.as_ref().unwrap();
    assert!(bandwidth.dram_array_bytes * 3 <= 256 << 20);
    assert!(found.bus.least_width_bits.value.is_some_and(|bits| bits >= 1));
    let roofline = found.roofline.value.as_ref().unwrap();
    assert!(
        roofline
            .kernels
            .iter()
            .all(|kernel| kernel.gflops > 0.0 && !kernel.bound_by.is_empty())
    );
    // Under load average 2 it must stay below 20 s; a test machine may be busier, and a debug build slower.
    assert!(records[0].elapsed_s < 60.0, "{} s", records[0].elapsed_s);

    let output = tilelab(dir.path(), &["report"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(dir.path().join("reports/index.html")).unwrap();
    for said in [
        "The memory system",
        "Latency by working set",
        "Roofline, one thread",
        "Core to core",
        "this run probed the CPU; --device cuda:0 probes a card",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn one_stage_alone_says_that_the_others_were_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let output = tilelab(dir.path(), &["probe", "--only", "topology,bus"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("usable CPUs") && text.contains("memory bus") && !text.contains("GB/s, STREAM"),
        "{text}"
    );
    let (records, _) = tilelab::report::load(&dir.path().join("reports/raw"));
    let Body::Probe(found) = &records[0].body else {
        panic!("not a probe");
    };
    assert!(found.latency.value.is_none() && found.latency.source == "not asked for");
}

/// A process that may use one CPU measures on it, and says what one CPU can't show.
#[cfg(target_os = "linux")]
#[test]
fn a_restricted_cpu_set_is_kept_to() {
    let _alone = alone();
    let cpus = tilelab::probe::pin::allowed();
    let last = cpus.last().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("taskset")
        .args([
            "-c",
            &last,
            env!("CARGO_BIN_EXE_tilelab"),
            "probe",
            "--quick",
            "--json",
            "--max-mem",
            "64M",
        ])
        .args(["--only", "topology,loaded,cores,nodes"])
        .current_dir(dir.path())
        .output();
    let Ok(output) = output else {
        println!("skipped: needs taskset");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    let usable = lines[0]["found"]["cpus"].as_array().unwrap();
    assert!(usable.len() == 1 && usable[0]["cpu"].as_u64() == last.parse().ok());
    for stage in &lines[1..3] {
        assert!(
            stage["found"]["value"].is_null() && stage["found"]["source"].as_str().unwrap().contains("one CPU"),
            "{stage}"
        );
    }
}

/// Ctrl-C: what was measured is kept, and the exit code says so.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_probe_keeps_what_it_measured() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_tilelab"))
        .args(["probe", "--max-mem", "512M"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let killed = Command::new("kill")
        .args(["-INT", &process.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(process.wait().unwrap().code(), Some(130));
    let (records, problems) = tilelab::report::load(&dir.path().join("reports/raw"));
    assert!(problems.is_empty() && records.len() == 1, "{problems:?}");
    let Body::Probe(found) = &records[0].body else {
        panic!("not a probe");
    };
    let latency = found.latency.value.as_ref().unwrap();
    assert!(
        latency.curves.iter().any(|curve| curve.points.len() > 3),
        "the sizes done are kept"
    );
    assert!(found.notes.iter().any(|note| note.contains("stopped")) && found.roofline.value.is_none());
}

#[test]
fn what_cannot_be_is_one_line_and_exit_2() {
    for (args, named) in [
        (&["probe", "--device", "cuda:99"][..], "--device cpu works without one"),
        (&["probe", "--device", "tpu"], "tpu"),
        (&["probe", "--only", "nothing"], "nothing"),
        (&["probe", "--max-mem", "lots"], "512M"),
        (&["probe", "--max-mem", "1M"], "64 MiB"),
        (&["probe", "--max-mem", "99999999999999999999G"], "--max-mem"),
        (&["probe", "--dram", "0"], "--dram"),
        (&["probe", "--dram", "fast"], "--dram"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = tilelab(dir.path(), args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(
            told.trim_end().lines().count() == 1 && told.contains(named),
            "{args:?}: {told}"
        );
        assert!(output.stdout.is_empty());
    }
}
