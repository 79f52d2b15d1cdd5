//! The page: one file with its style, its script and its data inside, and a Content-Security-Policy that lets it load
//! nothing and run nothing but those.

mod section;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::measure::{Record, base64};

use super::sections::{Section, Tone};
use super::{Problem, format};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The whole page.
pub fn page(records: &[Record], sections: &[Section], problems: &[Problem]) -> String {
    // Of equally new ones the first, as for the order of machines.
    let newest = records.iter().rev().max_by_key(|record| record.started_unix_s);
    let title = newest.map_or("Tilelab report".to_owned(), |record| {
        format!("Tilelab report: {}", record.machine.cpu)
    });
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Raw, because the policy holds the hash of exactly these bytes.
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the figures" }
                (header(newest, records, sections))
                main #content {
                    (problems_box(problems))
                    @if sections.is_empty() { p.lead { "There are no records to show yet. " code { "tilelab report --quick" } " makes some." } }
                    @for section in sections { (section::markup(section)) }
                }
                footer { (footer(newest)) }
                div #tip hidden {}
                div.unseen #chart-help { "Arrow keys move among the points; Escape leaves them." }
                div.unseen #live role="status" aria-live="polite" {}
                script #data type="application/json" { (PreEscaped(data(sections))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

/// Nothing from anywhere but the one style and the one script, known by their hashes.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())));
    format!(
        "default-src 'none'; img-src data:; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// What hover shows, by chart. `<` occurs only inside JSON strings, where \u003c means the same and cannot end the element.
fn data(sections: &[Section]) -> String {
    let charts = sections.iter().flat_map(|section| &section.charts);
    let charts: Map<String, Value> = charts.map(|chart| (chart.id.clone(), chart.data())).collect();
    Value::Object(charts).to_string().replace('<', "\\u003c")
}

fn header(newest: Option<&Record>, records: &[Record], sections: &[Section]) -> Markup {
    let quick = records.iter().any(|record| record.quick);
    html! {
        header {
            p.brand { "Tilelab report" }
            @if let Some(record) = newest {
                h1 { (record.machine.cpu) }
                p.facts {
                    span { (format::plural(record.machine.cpus, "CPU")) }
                    @if let Some(isa) = record.machine.isas.first() { span { (isa) } }
                    span { (format::bytes(record.machine.memory_bytes)) " memory" }
                    span { "measured " (format::date(record.started_unix_s)) }
                    span { "build " (record.build.version) @if !record.build.commit.is_empty() { " " (record.build.commit) } }
                    @if quick { span.badge title="Sizes were shrunk to be quick; the figures are rough" { "quick run" } }
                    @else { span.badge { "full run" } }
                }
            } @else {
                h1 { "No records" }
            }
            @if !sections.is_empty() { (tiles(sections)) (contents(sections)) }
        }
    }
}

fn tiles(sections: &[Section]) -> Markup {
    let headlines = || {
        sections
            .iter()
            .filter_map(|section| section.headline.as_ref().map(|headline| (section, headline)))
    };
    html! {
        ul.tiles {
            @for (section, headline) in headlines() {
                li { a.bad[section.verdict.tone == Tone::Bad] href={ "#" (section.id) } {
                    strong { (headline.value) } span { (headline.label) }
                } }
            }
        }
    }
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ol {
                @for section in sections {
                    li { a href={ "#" (section.id) } { (section.title) } span.ask { " " (section.question) } }
                }
            }
        }
    }
}

fn problems_box(problems: &[Problem]) -> Markup {
    html! {
        @if !problems.is_empty() {
            div.problems role="note" {
                p { strong { "Left out: " (format::plural(problems.len(), "file")) " that could not be read as a record." } }
                ul { @for problem in problems { li { (problem) } } }
            }
        }
    }
}

fn footer(newest: Option<&Record>) -> Markup {
    html! {
        p {
            "Every figure was measured; the raw record named under it keeps every sample. "
            @if let Some(record) = newest { "Made with tilelab " (record.build.version) ", " (record.build.rustc) "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_cannot_end_their_elements() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    }
}
