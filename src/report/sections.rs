//! What a report says: one [`Section`] a record, in words, charts and tables, before any markup.

mod bench;
mod classification;
pub mod experiment;
mod machine;
mod probe;
mod rates;
mod search;
mod self_test;
mod surrogates;
mod training;

use std::collections::BTreeMap;

use crate::measure::{Body, Record, Thumbnail};

use super::chart::Chart;
use super::drawing::Drawing;
use super::{format, store};

/// One question and its answer.
#[derive(Debug, Clone)]
pub struct Section {
    /// Anchor, unique in the page: letters, digits and hyphens.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The question in one sentence.
    pub question: String,
    /// The answer in one sentence.
    pub verdict: Verdict,
    /// What a reader must know beside it; empty as a rule.
    pub notes: Vec<String>,
    /// The figure that stands for the section at the top of the page.
    pub headline: Option<Headline>,
    /// Sizes were shrunk.
    pub quick: bool,
    /// Charts.
    pub charts: Vec<Chart>,
    /// Drawings that are no chart.
    pub drawings: Vec<Drawing>,
    /// Tables.
    pub tables: Vec<Table>,
    /// A table whose cells are shaded.
    pub heat: Option<Heat>,
    /// Small pictures.
    pub gallery: Option<Gallery>,
    /// What it was measured under.
    pub conditions: Vec<(String, String)>,
    /// How to repeat it, and the raw record's file; `None` where the section is not one record's.
    pub source: Option<Source>,
}

/// Where a section's figures come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The command that repeats it.
    pub command: String,
    /// File name of the raw record.
    pub raw: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// How it is to be taken.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// How a verdict is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A check that was passed.
    Good,
    /// A finding.
    Plain,
    /// Something is wrong.
    Bad,
}

/// A figure for the top of the page.
#[derive(Debug, Clone)]
pub struct Headline {
    /// The figure with its unit.
    pub value: String,
    /// What it is.
    pub label: String,
}

/// A table beside the charts.
#[derive(Debug, Clone)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Columns; one without a label has no head.
    pub head: Vec<Column>,
    /// Rows of cells, as many as there are columns.
    pub rows: Vec<Vec<String>>,
    /// Numbers of the rows in which something is wrong.
    pub wrong: Vec<usize>,
    /// Where it stands.
    pub layout: Layout,
}

/// A square table of counts, shaded by each row's shares.
#[derive(Debug, Clone)]
pub struct Heat {
    /// What it shows.
    pub caption: String,
    /// Names of rows and columns.
    pub names: Vec<String>,
    /// What the rows and the columns are.
    pub sides: (&'static str, &'static str),
    /// A cell's text and its shade, 0 to [`SHADES`].
    pub cells: Vec<Vec<(String, usize)>>,
}

/// The darkest shade.
pub const SHADES: usize = 8;

/// Small pictures with a line or two under each.
#[derive(Debug, Clone)]
pub struct Gallery {
    /// What they are.
    pub caption: String,
    /// A picture and its lines.
    pub pictures: Vec<(Thumbnail, Vec<String>)>,
}

/// Where a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Over the page's width.
    Wide,
    /// The same, folded away until the reader asks.
    Folded,
    /// On a card beside others.
    Card,
}

impl Layout {
    /// Long tables are folded.
    fn folded_if(long: bool) -> Self {
        if long { Self::Folded } else { Self::Wide }
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its head.
    pub label: String,
    /// Numbers are set flush right.
    pub numeric: bool,
}

impl Verdict {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

impl Column {
    fn text(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            numeric: false,
        }
    }

    fn number(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            numeric: true,
        }
    }
}

/// Sections of a report: machines first, then checks, benches and trainings, each by age.
pub fn all(records: &[Record]) -> Vec<Section> {
    let machines = machine::distinct(records);
    let mut sections: Vec<Section> = machines
        .iter()
        .map(|machine| machine::section(machine, records))
        .collect();
    if machines.len() > 1 {
        for (section, machine) in sections.iter_mut().zip(&machines) {
            section.title = format!("Machine and build: {}", machine.cpu);
        }
    }
    let mut ordered: Vec<&Record> = records.iter().collect();
    ordered.sort_by_key(|record| (rank(&record.body), record.started_unix_s));
    let errata = experiment::errata::section(&ordered);
    sections.extend(ordered.into_iter().map(|record| {
        let mut section = section(record);
        if machines.len() > 1 {
            section
                .conditions
                .push(("machine".to_owned(), record.machine.cpu.clone()));
        }
        section
    }));
    sections.extend(errata);
    name_apart(&mut sections);
    sections
}

/// The section of one record.
pub fn section(record: &Record) -> Section {
    match &record.body {
        Body::Bench(bench) => bench::section(record, bench),
        Body::Training(training) => training::section(record, training),
        Body::Rates(search) => rates::section(record, search),
        Body::Search(search) => search::section(record, search),
        Body::Surrogates(found) => surrogates::section(record, found),
        Body::SelfTest(test) => self_test::section(record, test),
        Body::Probe(found) => probe::section(record, found),
        Body::Experiment(found) => experiment::section(record, found),
    }
}

fn rank(body: &Body) -> u8 {
    match body {
        Body::SelfTest(_) => 0,
        Body::Bench(_) => 1,
        Body::Probe(_) => 2,
        Body::Training(_) => 3,
        Body::Rates(_) => 4,
        Body::Search(_) => 5,
        Body::Surrogates(_) => 6,
        Body::Experiment(_) => 7,
    }
}

/// What all kinds of records share; the kinds fill in the rest.
fn outline(record: &Record, verdict: Verdict) -> Section {
    let build = &record.build;
    let commit = if build.commit.is_empty() {
        String::new()
    } else {
        format!(", commit {}", build.commit)
    };
    Section {
        id: slug(&record.name),
        title: record.title.clone(),
        question: record.question.clone(),
        verdict,
        notes: Vec::new(),
        headline: None,
        quick: record.quick,
        charts: Vec::new(),
        drawings: Vec::new(),
        tables: Vec::new(),
        heat: None,
        gallery: None,
        conditions: vec![
            (
                "measured".to_owned(),
                format!(
                    "{}, in {}",
                    format::date(record.started_unix_s),
                    format::seconds(record.elapsed_s)
                ),
            ),
            (
                "build".to_owned(),
                format!("tilelab {}{commit}, {}", build.version, build.profile),
            ),
        ],
        source: Some(Source {
            command: record.command.clone(),
            raw: store::file_name(&record.name),
        }),
    }
}

/// A name as an anchor.
fn slug(name: &str) -> String {
    let dashed: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let dashed = dashed.trim_matches('-');
    if dashed.is_empty() {
        "section".to_owned()
    } else {
        dashed.to_owned()
    }
}

/// Makes anchors unique, and those of charts with them.
fn name_apart(sections: &mut [Section]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for section in sections {
        let count = seen.entry(section.id.clone()).or_default();
        *count += 1;
        // Two hyphens: a slug has none at its end, so the result cannot be another section's own name.
        if *count > 1 {
            section.id = format!("{}--{count}", section.id);
        }
        for (number, chart) in section.charts.iter_mut().enumerate() {
            chart.id = format!("{}---{}", section.id, number + 1);
        }
    }
}
