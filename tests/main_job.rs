//! The main job on real input: it leaves a report whose charts a browser draws, from records that it wrote.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use std::process::Command;

use serde_json::Value;
use support::browser::{Browser, program};
use tilelab::measure::Body;

#[test]
fn one_command_measures_trains_and_leaves_a_report_that_a_browser_shows() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("reports");
    let ran = Command::new(env!("CARGO_BIN_EXE_tilelab"))
        .args(["report", "--quick", "--json", "--out"])
        .arg(&out)
        .current_dir(dir.path())
        .env_remove("TILELAB_DATA")
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8(ran.stdout).unwrap(),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{complained}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["event"], "done");
    assert_eq!(lines.iter().filter(|line| line["epoch"].is_number()).count(), 10);

    let (records, problems) = tilelab::report::load(&out.join("raw"));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(records.len(), 3);
    for record in &records {
        match &record.body {
            Body::SelfTest(done) => assert!(done.checks.iter().all(|check| check.passed)),
            Body::Bench(bench) => {
                assert_eq!(bench.cases.len(), 5);
                let right = |case: &tilelab::measure::Case| case.results.iter().all(|r| r.error_over_bound <= 1.0);
                assert!(bench.cases.iter().all(|case| case.results.len() == 2 && right(case)));
            }
            Body::Training(training) => {
                let (first, last) = (&training.epochs[0], &training.epochs[9]);
                assert!(
                    last.train_loss < 0.6 * first.train_loss && last.test_acc > 0.65,
                    "{last:?}"
                );
            }
            _ => panic!("the main job does not make {}", record.name),
        }
    }

    let page = out.join("index.html");
    let found = program();
    if !support::needs("chromium", found.is_some()) {
        return;
    }
    let mut browser = Browser::open(&found.unwrap(), &page);
    let charts = "[...document.querySelectorAll('svg')].map(svg => [...svg.querySelectorAll('[data-row]')]
        .filter(mark => mark.getBoundingClientRect().width > 0).length).join()";
    let drawn = browser.eval(charts);
    let marks: Vec<usize> = drawn.as_str().unwrap().split(',').map(|n| n.parse().unwrap()).collect();
    assert!(marks.len() == 5 && marks.iter().all(|&marks| marks >= 5), "{marks:?}");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}
