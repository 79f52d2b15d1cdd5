//! What a report promises: axes that can be read, figures in the picture that stand in the table, and a page that nothing
//! in a record can break or make load anything.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};
use support::probed::probe;
use support::records::{bench, every_kind, hostile, record, self_test, training};
use tilelab::measure::Body;
use tilelab::report::chart::{Axis, Chart, Join, Point, Rule, Series};
use tilelab::report::ticks::Scale;
use tilelab::report::{load, render, save};

/// Everything between two marks of a text, in order.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start)
        .skip(1)
        .filter_map(|rest| rest.split_once(end))
        .map(|(inner, _)| inner)
        .collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    between(tag, &format!(" {name}=\""), "\"")
        .first()
        .copied()
        .unwrap_or_else(|| panic!("no {name} in {tag}"))
}

/// Ranges that have been trouble: narrow, wide, empty, one point, not finite.
fn ranges() -> Vec<Vec<f64>> {
    vec![
        vec![20.0, 80.0],
        vec![20.0, 35.0, 80.0],
        vec![21.0, 49.0],
        vec![5.0],
        vec![0.0],
        vec![-3.0, -3.0, -3.0],
        vec![],
        vec![f64::NAN],
        vec![f64::NAN, 1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY],
        vec![1e-9, 1e9],
        vec![1e-300, 1e300],
        vec![f64::MIN, f64::MAX],
        vec![5e-324, 1e-323],
        vec![1.0, 1.0 + f64::EPSILON],
        vec![1e15, 1e15 + 1.0],
        vec![0.0, 1e-12],
        vec![-1.0, 0.0, 1.0],
        vec![1024.0, 1025.0, 1026.0, 1028.0, 1032.0],
    ]
}

fn charts() -> Vec<Chart> {
    let mut charts = Vec::new();
    for (values, scale, whole, from_zero) in ranges().into_iter().flat_map(|values| {
        [
            (Scale::Linear, false, false),
            (Scale::Linear, true, true),
            (Scale::Log, false, false),
        ]
        .map(|(scale, whole, from_zero)| (values.clone(), scale, whole, from_zero))
    }) {
        let axis = |label: &str| Axis {
            scale,
            whole,
            from_zero,
            at: values.clone(),
            ..Axis::new(label, "unit")
        };
        let point = |&value: &f64| Point {
            x: value,
            y: value,
            interval: Some((value * 0.9, value * 1.1)),
        };
        let points: Vec<Point> = values.iter().map(point).collect();
        let series = |name: &str, join| Series {
            name: name.to_owned(),
            join,
            points: points.clone(),
        };
        charts.push(Chart {
            id: format!("chart-{}", charts.len()),
            title: format!("{values:?} {scale:?}"),
            x: axis("x"),
            y: axis("y"),
            series: vec![series("ours", Join::Line), series("theirs", Join::Apart)],
            rules: vec![Rule {
                label: "peak".to_owned(),
                y: 30.0,
            }],
            ..Chart::default()
        });
    }
    charts
}

#[test]
fn each_axis_has_two_labels() {
    for chart in charts() {
        let svg = chart.svg().unwrap();
        // Labels under a chart are centred, those beside it end at the axis.
        for anchor in ["middle", "end"] {
            let ticks = between(&svg, "<text class=\"tick\"", "</text>");
            let labels: Vec<&&str> = ticks
                .iter()
                .filter(|text| attribute(text, "text-anchor") == anchor)
                .collect();
            assert!(labels.len() >= 2, "{}, {anchor}: {labels:?}", chart.title);
        }
        assert!(
            !svg.contains("NaN,") && !svg.contains("M NaN") && !svg.contains("inf "),
            "{}",
            chart.title
        );
    }
}

#[test]
fn each_mark_stands_in_its_table_and_each_point_without_one_says_why() {
    for chart in charts() {
        let (svg, rows) = (chart.svg().unwrap(), chart.rows());
        let marks = between(&svg, "<g class=\"mark", ">");
        assert_eq!(
            marks.len(),
            rows.iter().filter(|row| row.missing.is_none()).count(),
            "{}",
            chart.title
        );
        for mark in marks {
            let row = &rows[attribute(mark, "data-row").parse::<usize>().unwrap()];
            assert_eq!(attribute(mark, "data-value"), row.y, "{}", chart.title);
            assert_eq!(attribute(mark, "data-x"), row.x, "{}", chart.title);
            assert_eq!(attribute(mark, "data-series"), row.series, "{}", chart.title);
        }
    }
    let page = render(&every_kind(), &[]);
    let mut seen = 0;
    for figure in between(&page, "<figure", "</figure>") {
        let rows: BTreeMap<&str, &str> = between(figure, "<tr data-row=\"", "</tr>")
            .into_iter()
            .filter_map(|row| row.split_once("\">"))
            .collect();
        for mark in between(figure, "<g class=\"mark", ">") {
            let row = rows[attribute(mark, "data-row")];
            assert!(
                row.contains(&format!("value\">{}<", attribute(mark, "data-value"))),
                "{mark} and {row}"
            );
            assert!(row.contains(attribute(mark, "data-series")), "{mark} and {row}");
            seen += 1;
        }
    }
    let probe = (30 + 5) + (30 + 5) + (2 + 9 + 1) + (10 + 2);
    assert_eq!(seen, (10 + 1) + (5 + 1) + 20 + 20 + probe);
}

#[test]
fn texts_of_a_record_stay_texts() {
    let page = render(&[hostile()], &[]);
    assert_eq!(
        page.matches("<script").count(),
        2,
        "the data and the script of the page"
    );
    assert!(!page.contains("<img") && !page.contains("<!--"));
    let json = between(&page, "type=\"application/json\">", "</script>")[0];
    assert!(!json.contains('<') && json.contains("\\u003c/script>"));
    serde_json::from_str::<Value>(json).unwrap();
}

#[test]
fn the_policy_allows_nothing_but_the_page_itself() {
    let page = render(&every_kind(), &[]);
    let tag = between(&page, "<meta http-equiv=\"Content-Security-Policy\"", ">")[0];
    let policy = attribute(tag, "content").replace("&#39;", "'");
    let directives: BTreeMap<&str, &str> = policy
        .split("; ")
        .map(|directive| directive.split_once(' ').unwrap())
        .collect();
    assert_eq!(directives["default-src"], "'none'");
    assert!(
        !policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'),
        "{policy}"
    );
    for (directive, start, end) in [
        ("script-src", "<script>", "</script>"),
        ("style-src", "<style>", "</style>"),
    ] {
        let (inner, allowed) = (between(&page, start, end), directives[directive]);
        assert_eq!(
            (inner.len(), allowed.matches("'sha256-").count()),
            (1, 1),
            "{directive} {allowed}"
        );
        let digits = allowed.trim_start_matches("'sha256-").trim_end_matches('\'');
        assert_eq!(
            unbase64(digits),
            Sha256::digest(inner[0].as_bytes()).to_vec(),
            "{directive}"
        );
    }
    for needle in [
        "http://", "https://", " src=", "@import", "url(", "style=", " onclick", "<link",
    ] {
        assert!(!page.contains(needle), "{needle}");
    }
    for link in between(&page, " href=\"", "\"") {
        assert!(link.starts_with('#') || link.starts_with("raw/"), "{link}");
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = text
        .chars()
        .filter_map(|c| digits.find(c))
        .map(|digit| format!("{digit:06b}"))
        .collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[test]
fn records_survive_the_disk_and_damaged_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut diverged = training();
    diverged.epochs[3].train_loss = f64::NAN;
    let mut records = every_kind();
    for record in &records {
        save(dir.path(), record).unwrap();
    }
    let lost = record("zz-diverged", "A run that diverged", Body::Training(diverged));
    save(dir.path(), &lost).unwrap();
    fs::write(dir.path().join("cut.json"), "{\"schema\": 1, \"name\": \"cu").unwrap();
    fs::write(dir.path().join("newer.json"), "{\"schema\": 99, \"wings\": true}").unwrap();
    fs::write(dir.path().join("other.json"), "[1, 2]").unwrap();
    fs::write(dir.path().join("notes.txt"), "not ours").unwrap();

    let (read, problems) = load(dir.path());
    records.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(read[..records.len()] == records[..], "read back to the last bit");
    assert!(render(&read, &[]).contains("The run diverged: from epoch 4 on"));
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, (file, why)) in
        lines
            .iter()
            .zip([("cut", "EOF"), ("newer", "newer Tilelab"), ("other", "not a Tilelab")])
    {
        assert!(
            line.contains(&format!("{file}.json: ")) && line.contains(why) && !line.contains('\n'),
            "{line}"
        );
    }
    let page = render(&read, &problems);
    assert!(lines.iter().all(|line| page.contains(line.as_str())) && page.contains("Ten epochs"));
    let left = fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.count(), 0, "no temporary file stays");

    let (none, problems) = load(&dir.path().join("missing"));
    assert!(none.is_empty() && problems.len() == 1);
    render(&none, &problems);
}

#[test]
fn verdicts_say_what_the_figures_say() {
    let verdict = |body: Body| tilelab::report::sections::section(&record("r", "R", body)).verdict.text;
    assert!(verdict(Body::Bench(bench())).contains("faster in 4 of 5 cases, slower at 1025 cubed"));
    assert!(verdict(Body::Training(training())).contains("right on 83.27 % of the test images"));
    assert!(verdict(Body::SelfTest(self_test())).starts_with("All 14 kernel checks on 2 ISAs"));
    let told = verdict(Body::Probe(Box::new(probe())));
    let said = [
        "L1 claims 32 KiB, found at 32 KiB",
        "L3 claims 32 MiB, not found",
        "up to 20.0 GB/s",
        "graded fair",
    ];
    assert!(said.iter().all(|said| told.contains(said)), "{told}");
    let mut failed = self_test();
    failed.checks[2].passed = false;
    failed.checks[2].error_over_bound = f64::NAN;
    assert_eq!(
        verdict(Body::SelfTest(failed)),
        "1 of 14 checks failed: softmax-avx2 on avx2."
    );
    let mut wrong = bench();
    wrong.cases[1].results[0].error_over_bound = f64::NAN;
    assert!(verdict(Body::Bench(wrong)).contains("Wrong results"));
}
