//! `tilelab probe --device cuda:N` over the stand-in: chains walked whole, bytes counted, patterns compared, a record with everything in
//! it. Speeds mean nothing here.
#![allow(clippy::unwrap_used)] // A test may panic.
#![cfg(all(feature = "cuda", target_os = "linux"))]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::cli::text;
use support::stand_in::{stand_in, with};
use tilelab::measure::{Body, GpuProbe, Probe};

/// A card with caches and a memory that are quick to walk through.
const SMALL: [(&str, &str); 2] = [("FAKECUDA_L2", "65536"), ("FAKECUDA_BYTES", "524288")];

fn probe(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let driver = stand_in();
    let mut command = support::cli::command(folder, &[&["probe", "--device", "cuda:0", "--quick"], args].concat());
    command.envs(SMALL).envs(environment.iter().copied());
    with(driver.path(), command)
}

fn kept(folder: &Path) -> Probe {
    let (records, problems) = tilelab::report::load(&folder.join("reports/raw"));
    assert!(problems.is_empty() && records.len() == 1, "{problems:?}");
    let Body::Probe(found) = &records[0].body else {
        panic!("not a probe");
    };
    (**found).clone()
}

fn card(found: &Probe) -> &GpuProbe {
    found.gpu.value.as_ref().unwrap()
}

/// Everything, once: stages as JSON, the record, the report made from it.
#[test]
fn a_card_gives_every_stage_a_record_and_a_section() {
    let folder = tempfile::tempdir().unwrap();
    let output = probe(folder.path(), &["--json"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["card", "copies", "streams", "launches", "chase", "done"]);
    assert_eq!(lines[5]["gpu"]["value"]["name"], "PTX interpreter");

    let found = kept(folder.path());
    let gpu = card(&found);
    assert_eq!((gpu.device.as_str(), gpu.card.capability.as_str()), ("cuda:0", "8.6"));
    // 1 GHz, 128 bits.
    assert_eq!(gpu.card.peak_gbps.value, Some(32.0));
    assert_eq!(gpu.card.l2_bytes.value, Some(65536));
    assert!(found.latency.value.is_none() && found.latency.source == "not asked for");

    let copies = gpu.copies.value.as_ref().unwrap();
    let kinds: Vec<(&str, &str)> = copies.iter().map(|row| (row.way.as_str(), row.host.as_str())).collect();
    assert_eq!(
        kinds,
        [
            ("host to device", "pinned"),
            ("device to host", "pinned"),
            ("both ways", "pinned"),
            ("host to device", "pageable"),
            ("device to host", "pageable"),
            ("device to device", "none")
        ]
    );
    for row in copies {
        assert_eq!(row.samples_ns.len(), 5);
        // The stand-in's clock counts pieces of work, a microsecond each, of one stream or of both.
        let counted = match (row.way.as_str(), row.clock.as_str()) {
            (_, "host") => continue,
            // 8 copies, the event of the pinned memory and the last event.
            ("host to device" | "device to host", _) => 10e3,
            ("device to device", _) => 9e3,
            // 8 copies and their event on either stream, a wait for the other on each, an event to wait for, and the last event.
            _ => 22e3,
        };
        assert!(row.samples_ns.iter().all(|ns| (ns - counted).abs() < 1.0), "{row:?}");
        let moved = row.bytes
            * u64::from(row.copies)
            * if row.way.contains("host to") || row.way.contains("to host") {
                1
            } else {
                2
            };
        let mut samples = row.samples_ns.clone();
        samples.sort_by(f64::total_cmp);
        assert!(
            (row.gbps - moved as f64 / samples[2]).abs() < 1e-3 * row.gbps,
            "{row:?}"
        );
    }

    let streams = gpu.streams.value.as_ref().unwrap();
    let sets = streams.len() / 4;
    assert!(streams.len() == 4 * sets && sets >= 4, "{}", streams.len());
    for row in streams {
        assert!(row.bytes % 96 == 0 && row.samples_ns.len() == 5, "{row:?}");
        // A launch each, and the last event.
        assert!(
            (row.samples_ns[0] - 1e3 * f64::from(row.passes + 1)).abs() < 1.0,
            "{row:?}"
        );
    }
    let launches = gpu.launches.value.as_ref().unwrap();
    assert_eq!(launches.len(), 6);
    assert!(launches.iter().all(|row| row.samples_ns.len() == 20 && row.ns > 0.0));

    let latency = gpu.latency.value.as_ref().unwrap();
    let curve = &latency.curves[0];
    assert_eq!(latency.levels.len(), 2);
    assert_eq!(gpu.clock_ghz.value, Some(1.0), "{}", gpu.clock_ghz.source);
    assert!(gpu.clock_ghz.source.contains("claimed"));
    let most = curve.points.last().unwrap();
    assert!(
        curve.points[0].size == 1024 && most.size > 65536,
        "beyond the second-level cache"
    );
    // Two sweeps over all sizes, three slices each; its clock counts instructions, of which a load has a few.
    assert_eq!(curve.visits.len(), 2 * curve.points.len());
    for visit in &curve.visits {
        assert!(
            visit.ns.len() == 3 && visit.ns.iter().all(|&ns| (2.0..20.0).contains(&ns)),
            "{visit:?}"
        );
    }
    assert!(
        curve.knees.is_empty(),
        "an interpreter has no caches: {:?}",
        curve.knees
    );

    let output = support::cli::run(folder.path(), &["report"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = std::fs::read_to_string(folder.path().join("reports/index.html")).unwrap();
    for said in [
        "PTX interpreter",
        "Copies from, to and within the card",
        "Latency by working set, cuda:0",
        "Bandwidth by working set, cuda:0",
        "What a launch costs",
    ] {
        assert!(page.contains(said), "{said}");
    }
    // A record beside itself: every figure is the same.
    let file = std::fs::read_dir(folder.path().join("reports/raw"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let file = file.to_str().unwrap();
    let output = support::cli::run(folder.path(), &["compare", file, file]);
    let compared = text(&output.stdout);
    assert!(output.status.success(), "{compared}{}", text(&output.stderr));
    assert!(
        compared.contains("both ways, pinned") && compared.contains("triad"),
        "{compared}"
    );
}

/// What a call leaves out is found by the patterns: the driver says that it copied, and did not.
#[test]
fn a_copy_that_does_not_arrive_is_found() {
    for (forgotten, told) in [
        (
            "cuMemcpyDtoHAsync",
            "device to host, pinned: the pattern came out changed from byte 0",
        ),
        (
            "cuMemcpyDtoDAsync",
            "device to device, none: the pattern came out changed from byte 0",
        ),
        (
            "cuMemcpyPeerAsync",
            "to cuda:1: the pattern came out changed from byte 0",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("FAKECUDA_FORGET", forgotten), ("FAKECUDA_DEVICES", "2")];
        let output = probe(folder.path(), &["--only", "copies"], &environment);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(told) && stderr.lines().count() == 1, "{stderr}");
        let found = kept(folder.path());
        assert!(card(&found).copies.source.contains("pattern"));
        assert_eq!(card(&found).streams.source, "not asked for");
    }
}

/// Each other card has a row each way, which says whether the two reach each other.
#[test]
fn copies_go_to_every_other_card_and_come_from_it() {
    for (direct, host) in [("1", "none"), ("0", "the driver's")] {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("FAKECUDA_DEVICES", "3"), ("FAKECUDA_DIRECT", direct)];
        let output = probe(folder.path(), &["--only", "copies"], &environment);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let found = kept(folder.path());
        let copies = card(&found).copies.value.as_ref().unwrap();
        let ways: Vec<&str> = copies[6..].iter().map(|row| row.way.as_str()).collect();
        assert_eq!(ways, ["to cuda:1", "from cuda:1", "to cuda:2", "from cuda:2"]);
        for row in &copies[6..] {
            assert_eq!((row.host.as_str(), row.clock.as_str()), (host, "events"));
            // 8 copies and the last event, a microsecond each; a byte counts once.
            assert!(
                row.samples_ns.iter().all(|&ns| (ns - 9e3).abs() < 1.0),
                "{:?}",
                row.samples_ns
            );
            assert!((row.gbps * 9e3 / (8.0 * row.bytes as f64) - 1.0).abs() < 1e-3);
        }
        assert!(text(&output.stdout).contains("from cuda:2"));
    }
}

#[test]
fn a_stage_of_the_other_device_and_a_card_without_memory_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let output = probe(folder.path(), &["--only", "cores"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("it has card, copies, streams, launches, chase") && stderr.lines().count() == 1,
        "{stderr}"
    );
    let output = probe(folder.path(), &["--dram", "3200"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--dram is about the CPU"),
        "{}",
        text(&output.stderr)
    );
    let output = support::cli::run(folder.path(), &["probe", "--only", "chase"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--device cpu has no such stage"),
        "{}",
        text(&output.stderr)
    );

    let output = probe(folder.path(), &[], &[("FAKECUDA_BYTES", "3000")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("too few to measure in"),
        "{}",
        text(&output.stderr)
    );
}

/// Ctrl-C: the sizes that were done are kept, and the exit code says so.
#[test]
fn an_interrupted_probe_of_a_card_keeps_what_it_measured() {
    let (folder, driver) = (tempfile::tempdir().unwrap(), stand_in());
    let mut command = support::cli::command(
        folder.path(),
        &["probe", "--device", "cuda:0", "--only", "chase,launches", "--json"],
    );
    command
        .env("FAKECUDA_BYTES", "33554432")
        .env("LD_LIBRARY_PATH", driver.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut process = command.spawn().unwrap();
    // Once the launches are told, the chase is under way, and takes seconds on any machine.
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"event\":\"launches\"")));
    let killed = std::process::Command::new("kill")
        .args(["-INT", &process.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(process.wait().unwrap().code(), Some(130));
    let found = kept(folder.path());
    let launches = card(&found).launches.value.as_ref();
    assert!(launches.is_some_and(|rows| !rows[0].samples_ns.is_empty()));
}
