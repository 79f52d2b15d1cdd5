//! The report in a real browser: every chart is drawn, nothing lies on anything else, and hover and keys reach every mark.
#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::{Value, json};
use support::browser::{Browser, program};
use support::records::{every_kind, hostile};
use tilelab::report::{render, write_html};

/// One chart after another: marks drawn, marks and words inside the picture, no word on another.
const LOOK: &str = "JSON.stringify([...document.querySelectorAll('svg')].map(svg => {
    const frame = svg.getBoundingClientRect(), near = 2;
    const box = part => part.getBoundingClientRect();
    const inside = b => b.left >= frame.left - near && b.right <= frame.right + near
        && b.top >= frame.top - near && b.bottom <= frame.bottom + near;
    const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    const marks = [...svg.querySelectorAll('[data-row]')].map(box);
    const words = [...svg.querySelectorAll('text')], texts = words.map(box);
    const clash = texts.flatMap((a, i) => texts.slice(i + 1).filter(b => !apart(a, b))).length;
    return { marks: marks.length, empty: marks.filter(b => !(b.width > 0 && b.height > 0)).length, clash,
        outside: [...marks, ...texts].filter(b => !inside(b)).length, seen: frame.width > 100 && frame.height > 80,
        colour: getComputedStyle(svg.querySelector('.mark .dot')).fill };
}))";

#[test]
fn a_browser_shows_every_chart_and_lets_hover_and_keys_reach_every_mark() {
    let found = program();
    if !support::needs("chromium", found.is_some()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index.html");
    let mut records = every_kind();
    records.push(hostile());
    write_html(&file, &render(&records, &[])).unwrap();
    let mut browser = Browser::open(&found.unwrap(), &file);

    for (width, phone, scheme) in [(1200, false, "light"), (390, true, "light"), (390, true, "dark")] {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        browser.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
        assert!(
            browser.eval("document.documentElement.scrollWidth").as_i64() <= Some(width),
            "no sideways scrolling"
        );
        let charts: Value = serde_json::from_str(browser.eval(LOOK).as_str().unwrap()).unwrap();
        let charts = charts.as_array().unwrap();
        assert_eq!(charts.len(), 10);
        for chart in charts {
            assert!(
                chart["seen"] == true && chart["empty"] == 0 && chart["marks"].as_i64() > Some(4),
                "{width}: {chart}"
            );
            assert!(chart["colour"] != "rgb(0, 0, 0)", "the style applies: {chart}");
            assert!(chart["clash"] == 0 && chart["outside"] == 0, "{width}: {chart}");
        }
    }

    // Keys: one tab stop in a chart; arrows along a series, to the next series, to its ends; Escape leaves.
    let active = "document.activeElement.dataset.row + '|' + document.activeElement.dataset.series";
    let figure = "document.querySelector('#train-mlp figure')";
    assert_eq!(
        browser.eval(&format!("{figure}.querySelectorAll('[tabindex=\"0\"].mark').length")),
        json!(1)
    );
    browser.eval(&format!("{figure}.querySelector('.mark').focus()"));
    for (key, at) in [
        ("ArrowRight", "1|train, while training"),
        ("ArrowRight", "2|train, while training"),
        ("ArrowLeft", "1|train, while training"),
        ("ArrowDown", "11|test, after the epoch"),
        ("End", "19|test, after the epoch"),
        ("ArrowUp", "9|train, while training"),
        ("Home", "0|train, while training"),
    ] {
        browser.press(key);
        assert_eq!(browser.eval(active), json!(at), "{key}");
    }
    let tip = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText";
    let shown = browser.eval(tip);
    assert!(shown.as_str().unwrap().starts_with("1.0427"), "{shown}");
    assert_eq!(browser.eval("document.querySelector('tr.on').dataset.row"), json!("0"));
    assert_eq!(
        browser.eval("document.getElementById('live').textContent"),
        json!("point 1 of 20")
    );
    assert_eq!(
        browser.eval(&format!("{figure}.querySelectorAll('[tabindex=\"0\"].mark').length")),
        json!(1)
    );
    browser.press("Escape");
    assert_eq!(browser.eval(tip), json!(""));

    // Hover: the nearest mark, without a need to hit it.
    browser.eval(&format!(
        "document.documentElement.style.scrollBehavior = 'auto'; {figure}.scrollIntoView()"
    ));
    let centre = format!(
        "(b => [b.left + b.width / 2, b.top + b.height / 2])({figure}.querySelector('[data-row=\"4\"] .dot').getBoundingClientRect())"
    );
    let at = browser.eval(&centre);
    browser.point(at[0].as_f64().unwrap() - 1.0, at[1].as_f64().unwrap() + 8.0);
    let shown = browser.eval(tip);
    assert!(
        shown.as_str().unwrap().contains("0.4534") && shown.as_str().unwrap().contains("epoch 5"),
        "{shown}"
    );
    browser.point(1.0, 1.0);
    assert_eq!(browser.eval(tip), json!(""));

    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}
