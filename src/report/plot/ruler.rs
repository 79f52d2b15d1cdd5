//! An axis for plotters, with ticks of our own.

use plotters::coord::ranged1d::{KeyPointHint, KeyPointWeight, NoDefaultFormatting, Ranged, ValueFormatter};

use super::FONT;
use crate::report::chart::Axis;
use crate::report::svg::text_width;
use crate::report::ticks::{self, Tick};

/// An axis as plotters wants it: a range with labels of our own.
pub struct Ruler {
    range: ticks::Range,
    ticks: Vec<Tick>,
}

impl Ruler {
    /// As many round numbers as fit into `length` when each takes up `room(label)`.
    pub fn new(axis: &Axis, values: impl IntoIterator<Item = f64>, length: f64, room: impl Fn(&str) -> f64) -> Self {
        let range = ticks::Range::of(values, axis.scale, axis.whole, axis.from_zero);
        let fits = |ticks: &[Tick]| {
            ticks.windows(2).all(|pair| {
                let gap = (range.place(pair[1].value) - range.place(pair[0].value)) * length;
                gap >= (room(&pair[0].label) + room(&pair[1].label)) / 2.0
            })
        };
        let wanted: Vec<Tick> = axis
            .at
            .iter()
            .filter(|&&value| value >= range.lo && value <= range.hi)
            .map(|&value| Tick {
                value,
                label: axis.text(value),
            })
            .collect();
        if wanted.len() >= 2 && fits(&wanted) {
            return Self { range, ticks: wanted };
        }
        let most = (3..=7)
            .rev()
            .find(|&most| fits(&range.ticks(axis.whole, most)))
            .unwrap_or(2);
        let ticks = range.ticks(axis.whole, most);
        Self { range, ticks }
    }

    /// Width of the widest label.
    pub fn widest(&self) -> f64 {
        self.ticks
            .iter()
            .map(|tick| text_width(&tick.label) * FONT)
            .fold(0.0, f64::max)
    }
}

impl Ranged for Ruler {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.range.place(*value).clamp(0.0, 1.0) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight() {
            KeyPointWeight::Bold => self.ticks.iter().map(|tick| tick.value).collect(),
            KeyPointWeight::Any => Vec::new(),
        }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.lo..self.range.hi
    }
}

impl ValueFormatter<f64> for Ruler {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks
            .iter()
            .find(|tick| tick.value == *value)
            .map(|tick| tick.label.clone())
            .unwrap_or_default()
    }
}
