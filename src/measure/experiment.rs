//! What an experiment leaves behind: its data, its checks, what it found, and the notebook's figures beside ours.

mod finding;

use serde::{Deserialize, Serialize};

pub use finding::{Erratum, Finding, Flatter, Sharpness, SplitGain};

use super::record::lost;

/// A question of the notebook, answered on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its name in the registry, such as `hidden-units`.
    pub experiment: String,
    /// What should come out, and why.
    pub expects: String,
    /// What was shrunk to be quick; `None` in a run of the notebook's own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<String>,
    /// What it ran with: (`seed`, `1`).
    pub settings: Vec<(String, String)>,
    /// What it found; the report puts it into words.
    pub finding: Finding,
    /// What must hold.
    pub checks: Vec<Claim>,
    /// The notebook's figures beside ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    /// Data series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<Plot>,
    /// Coloured grids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Picture>,
    /// Tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sheets: Vec<Sheet>,
    /// Models whose computational graph belongs to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub graphs: Vec<GraphOf>,
    /// Where it shows the notebook to be wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errata: Vec<Erratum>,
}

/// Something that must hold: `value` in this relation to `bound`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is checked.
    pub name: String,
    /// What came out.
    #[serde(deserialize_with = "lost::number")]
    pub value: f64,
    /// How it must lie to the bound.
    pub relation: Relation,
    /// The bound.
    #[serde(deserialize_with = "lost::number")]
    pub bound: f64,
    /// Whether it does; false if either is NaN.
    pub passed: bool,
}

/// How a value must lie to its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Not above it.
    AtMost,
    /// Not below it.
    AtLeast,
    /// The same number.
    Equals,
}

impl Claim {
    /// Compares. NaN fails.
    pub fn new(name: impl Into<String>, value: f64, relation: Relation, bound: f64) -> Self {
        let passed = match relation {
            Relation::AtMost => value <= bound,
            Relation::AtLeast => value >= bound,
            Relation::Equals => value == bound,
        };
        Self {
            name: name.into(),
            value,
            relation,
            bound,
            passed,
        }
    }
}

/// A figure of the notebook beside ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Of what, such as `784-256-10, lr 0.1, 10 epochs`.
    pub of: String,
    /// Which figure, such as `train loss`.
    pub figure: String,
    /// The notebook's, of its one run.
    #[serde(deserialize_with = "lost::number")]
    pub notebook: f64,
    /// Ours: the mean over the seeds.
    #[serde(deserialize_with = "lost::number")]
    pub ours: f64,
    /// Standard deviation over the seeds; `None` for one seed or an exact figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// Runs that the mean is over.
    pub seeds: usize,
    /// What it is held to.
    pub held: Held,
}

/// What a figure of ours is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Held {
    /// It must lie this near the notebook's.
    Within {
        /// Largest distance.
        distance: f64,
        /// Whether it does.
        met: bool,
    },
    /// It must behave alike: stay stalled, stay unstable, stay low.
    Behaviour {
        /// Whether it does.
        met: bool,
    },
    /// To nothing: sizes were shrunk, or the figure depends on the machine.
    Nothing,
}

impl Held {
    /// Within the larger of `least` and three standard deviations; NaN is not.
    pub fn within(notebook: f64, ours: f64, deviation: f64, least: f64) -> Self {
        let distance = least.max(3.0 * deviation);
        Self::Within {
            distance,
            met: (ours - notebook).abs() <= distance,
        }
    }
}

/// Data series over one pair of axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// How to read it, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Horizontal axis.
    pub x: PlotAxis,
    /// Vertical axis.
    pub y: PlotAxis,
    /// Series, in the order of the legend.
    pub traces: Vec<Trace>,
    /// Horizontal lines to compare with, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<(String, f64)>,
}

/// An axis of a [`Plot`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlotAxis {
    /// Quantity.
    pub label: String,
    /// Unit, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Logarithmic.
    #[serde(default)]
    pub log: bool,
    /// Whole numbers only.
    #[serde(default)]
    pub whole: bool,
}

impl PlotAxis {
    /// A linear axis.
    pub fn new(label: &str, unit: &str) -> Self {
        Self {
            label: label.to_owned(),
            unit: unit.to_owned(),
            ..Self::default()
        }
    }

    /// The same, logarithmic.
    #[must_use]
    pub fn log(self) -> Self {
        Self { log: true, ..self }
    }

    /// The same, for whole numbers.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

/// One series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Name in the legend.
    pub name: String,
    /// Whether a line joins its points; separate cases stand apart.
    pub joined: bool,
    /// Places on the horizontal axis, ascending.
    #[serde(deserialize_with = "lost::list")]
    pub x: Vec<f64>,
    /// Places on the vertical axis, as many.
    #[serde(deserialize_with = "lost::list")]
    pub y: Vec<f64>,
    /// Half the length of each point's error bar, as many; empty without bars.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lost::list")]
    pub error: Vec<f64>,
}

impl Trace {
    /// Joined points.
    pub fn line(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let (x, y) = points.into_iter().unzip();
        Self {
            name: name.into(),
            joined: true,
            x,
            y,
            error: Vec::new(),
        }
    }

    /// Points that stand apart.
    pub fn points(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            joined: false,
            ..Self::line(name, points)
        }
    }

    /// The same with error bars of these half lengths.
    #[must_use]
    pub fn with_error(self, error: Vec<f64>) -> Self {
        Self { error, ..self }
    }
}

/// A grid of coloured cells, row by row from the top.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// How to read it, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Name and ends of the horizontal axis.
    pub x: (String, f64, f64),
    /// Name and ends, bottom to top, of the vertical axis.
    pub y: (String, f64, f64),
    /// Cells in a row.
    pub columns: usize,
    /// Colour of each cell, 0 to 5.
    pub colours: Vec<u8>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// What it shows.
    pub caption: String,
    /// Heads of the columns.
    pub head: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a [`Sheet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number.
    Number(#[serde(deserialize_with = "lost::number")] f64),
    /// Words.
    Text(String),
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Self::Number(value as f64)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A model whose computational graph is to be drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphOf {
    /// Widths, input first.
    pub layers: Vec<usize>,
    /// Rows of a batch.
    pub rows: usize,
    /// Weight of the L2 regularisation.
    pub l2: f64,
    /// The way back and the update too.
    pub backward: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_passes_no_check() {
        for relation in [Relation::AtMost, Relation::AtLeast, Relation::Equals] {
            assert!(!Claim::new("x", f64::NAN, relation, 1.0).passed);
            assert!(!Claim::new("x", 1.0, relation, f64::NAN).passed);
            assert!(Claim::new("x", 1.0, relation, 1.0).passed);
        }
        assert!(!Claim::new("x", 1.5, Relation::AtMost, 1.0).passed);
        assert!(!Claim::new("x", 0.5, Relation::AtLeast, 1.0).passed);
        let held = |ours, deviation| Held::within(0.4, ours, deviation, 0.02);
        assert!(matches!(held(0.41, 0.0), Held::Within { met: true, .. }));
        assert!(matches!(held(0.45, 0.0), Held::Within { met: false, .. }));
        assert!(matches!(held(0.45, 0.02), Held::Within { met: true, .. }));
        assert!(matches!(held(f64::NAN, 0.02), Held::Within { met: false, .. }));
    }

    #[test]
    fn cells_survive_json() {
        let cells: Vec<Cell> = vec![1.5.into(), "a".into(), f64::NAN.into()];
        let back: Vec<Cell> = serde_json::from_str(&serde_json::to_string(&cells).unwrap()).unwrap();
        assert_eq!(back[..2], cells[..2]);
        assert!(matches!(back[2], Cell::Number(x) if x.is_nan()));
    }
}
