//! A [`Chart`] is one value that gives the picture, the table under it and the data for hover. All three are made from
//! [`Chart::rows`]: a mark in the picture carries the number of its row, and shows the text that stands in the row.

use serde_json::{Value, json};

use super::ticks::Scale;
use super::{format, plot};

/// A chart.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// Unique in the page; letters, digits and hyphens.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How to read it, or empty.
    pub note: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Data, in the order of the legend.
    pub series: Vec<Series>,
    /// Horizontal lines to compare with.
    pub rules: Vec<Rule>,
    /// Vertical lines: places on the horizontal axis that have a name.
    pub edges: Vec<Edge>,
}

/// An axis.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// Quantity.
    pub label: String,
    /// Unit, or empty.
    pub unit: String,
    /// Linear or log.
    pub scale: Scale,
    /// Label whole numbers only (epochs, sizes).
    pub whole: bool,
    /// Let a linear axis hold zero, so that lengths can be compared.
    pub from_zero: bool,
    /// Decimals of its values in the table; `None` shows four significant digits.
    pub decimals: Option<usize>,
    /// Label these places if they fit, rather than round numbers.
    pub at: Vec<f64>,
}

/// Points of one kind.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Name in the legend and the table.
    pub name: String,
    /// How its points are joined.
    pub join: Join,
    /// Points in the order of x.
    pub points: Vec<Point>,
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// By a line: something goes on between them.
    #[default]
    Line,
    /// Not at all, and side by side with other series at the same x: separate cases.
    Apart,
    /// By a line, in the look of the series of this number, whose entry in the legend is its own too.
    Like(usize),
    /// Not at all: squares of one colour, the fuller the later the series.
    Cells,
}

/// One measured point.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Place on the vertical axis.
    pub y: f64,
    /// Bounds of an interval round `y`, if known.
    pub interval: Option<(f64, f64)>,
}

/// A horizontal line to compare with.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// What it is, such as `peak`.
    pub label: String,
    /// Its height.
    pub y: f64,
}

/// A vertical line at a place with a name.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// What it is, in the table.
    pub label: String,
    /// Its short name beside the line.
    pub name: String,
    /// Where it lies on the horizontal axis.
    pub x: f64,
    /// Name it at the line's foot: two edges may lie close to one another.
    pub at_foot: bool,
}

/// One row of the table under a chart, and of the data for hover.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the series or rule.
    pub series: String,
    /// x as text; empty for a rule.
    pub x: String,
    /// y as text.
    pub y: String,
    /// Interval as text; empty without one.
    pub interval: String,
    /// Why there is no mark; `None` if there is one.
    pub missing: Option<&'static str>,
}

impl Axis {
    /// An axis with a label and a unit.
    pub fn new(label: &str, unit: &str) -> Self {
        Self {
            label: label.to_owned(),
            unit: unit.to_owned(),
            ..Self::default()
        }
    }

    /// Label with the unit behind it.
    pub fn caption(&self) -> String {
        if self.unit.is_empty() {
            self.label.clone()
        } else {
            format!("{} ({})", self.label, self.unit)
        }
    }

    /// A value on this axis as text, without its unit.
    pub fn text(&self, value: f64) -> String {
        match self.decimals {
            Some(decimals) => format::fixed(value, decimals),
            None => format::number(value),
        }
    }

    /// The same with its unit.
    pub fn text_with_unit(&self, text: &str) -> String {
        if self.unit.is_empty() {
            text.to_owned()
        } else {
            format!("{text} {}", self.unit)
        }
    }

    fn missing(&self, value: f64) -> Option<&'static str> {
        if self.scale.draws(value) {
            None
        } else if value.is_finite() {
            Some("not drawn: a log axis has no place for it")
        } else {
            Some("not drawn: not a finite number")
        }
    }
}

impl Chart {
    /// Every point of every series, then every rule, then every edge. A mark's `data-row` is an index into this.
    pub fn rows(&self) -> Vec<Row> {
        let points = self
            .series
            .iter()
            .flat_map(|series| series.points.iter().map(move |point| (series, point)));
        let points = points.map(|(series, point)| Row {
            series: series.name.clone(),
            x: self.x.text(point.x),
            y: self.y.text(point.y),
            interval: point
                .interval
                .map(|(low, high)| format!("{} to {}", self.y.text(low), self.y.text(high)))
                .unwrap_or_default(),
            missing: self.x.missing(point.x).or(self.y.missing(point.y)),
        });
        let rules = self.rules.iter().map(|rule| Row {
            series: rule.label.clone(),
            x: String::new(),
            y: self.y.text(rule.y),
            interval: String::new(),
            missing: self.y.missing(rule.y),
        });
        let edges = self.edges.iter().map(|edge| Row {
            series: edge.label.clone(),
            x: self.x.text(edge.x),
            y: String::new(),
            interval: String::new(),
            missing: self.x.missing(edge.x),
        });
        points.chain(rules).chain(edges).collect()
    }

    /// The picture, as an `<svg>` element for a page with this module's style sheet.
    pub fn svg(&self) -> Result<String, String> {
        plot::svg(self).map_err(|error| error.to_string())
    }

    /// Whether any point has an interval.
    pub fn has_intervals(&self) -> bool {
        self.series
            .iter()
            .flat_map(|series| &series.points)
            .any(|point| point.interval.is_some())
    }

    /// What hover needs: a list of rows, each the lines of its tooltip. Numbers are there as text, just as in the table.
    pub fn data(&self) -> Value {
        let rows: Vec<Value> = self
            .rows()
            .iter()
            .map(|row| {
                let x = if row.x.is_empty() {
                    String::new()
                } else {
                    format!("{} {}", self.x.label, row.x)
                };
                let y = if row.y.is_empty() {
                    String::new()
                } else {
                    self.y.text_with_unit(&row.y)
                };
                json!({ "series": row.series, "x": x, "y": y, "interval": row.interval })
            })
            .collect();
        json!({ "title": self.title, "rows": rows })
    }

    /// A row in words, for those who hear the chart.
    pub fn spoken(&self, row: &Row) -> String {
        let mut text = row.series.clone();
        if !row.x.is_empty() {
            text.push_str(&format!(", {} {}", self.x.label, row.x));
        }
        if !row.y.is_empty() {
            text.push_str(&format!(": {}", self.y.text_with_unit(&row.y)));
        }
        if !row.interval.is_empty() {
            text.push_str(&format!(", interval {}", row.interval));
        }
        text
    }
}

impl Point {
    /// A point without an interval.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, interval: None }
    }
}
