//! The verdict on two figures of one name.

use serde::Serialize;

use super::figures::{Better, Figure, figures};
use crate::measure::Record;

/// What the interval of a ratio allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The new one is faster.
    Faster,
    /// The new one is slower.
    Slower,
    /// The new one is larger, where neither is better.
    Larger,
    /// The new one is smaller, where neither is better.
    Smaller,
    /// The whole interval lies within the margin.
    Same,
    /// None of these can be told.
    Inconclusive,
}

impl Verdict {
    /// As a table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Larger => "larger",
            Self::Smaller => "smaller",
            Self::Same => "same",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// `ratio` above 1 is faster, or larger where neither is better. `margin` bounds what counts as the same; beyond
    /// `apart` the whole interval must lie before two are told apart.
    pub(super) fn of(better: Better, interval: (f64, f64), margin: f64, apart: f64) -> Self {
        let (low, high) = interval;
        let (above, below) = match better {
            Better::Neither => (Self::Larger, Self::Smaller),
            _ => (Self::Faster, Self::Slower),
        };
        // Written so that a NaN is inconclusive.
        if low >= 1.0 / (1.0 + margin) && high <= 1.0 + margin {
            Self::Same
        } else if low > 1.0 + apart {
            above
        } else if high < 1.0 / (1.0 + apart) {
            below
        } else {
            Self::Inconclusive
        }
    }
}

/// Two figures of one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// Unit of `old` and `new`.
    pub unit: &'static str,
    /// The first.
    pub old: f64,
    /// The second.
    pub new: f64,
    /// How many times as fast the second is; how many times as large, where neither is better.
    pub ratio: f64,
    /// What the ratio can be.
    pub interval: (f64, f64),
    /// What that allows to say.
    pub verdict: Verdict,
}

/// new over old as a speed: above 1 is faster, or larger where neither is better.
pub(super) fn speed(better: Better, old: f64, new: f64) -> f64 {
    match better {
        Better::Less => old / new,
        Better::More | Better::Neither => new / old,
    }
}

/// The figures that both records have, in the first's order. A ratio's interval goes from the worst pair of bounds to the
/// best, which covers at least what each bound does.
pub fn records(old: &Record, new: &Record, margin: f64) -> Vec<Row> {
    let theirs = figures(new);
    let rows = figures(old).into_iter().filter_map(|old: Figure| {
        let new = theirs.iter().find(|new| new.name == old.name && new.unit == old.unit)?;
        let bounds = (
            speed(old.better, old.interval.0, new.interval.1),
            speed(old.better, old.interval.1, new.interval.0),
        );
        let interval = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        Some(Row {
            ratio: speed(old.better, old.value, new.value),
            interval,
            verdict: Verdict::of(old.better, interval, margin, margin),
            name: old.name,
            unit: old.unit,
            old: old.value,
            new: new.value,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_and_nan() {
        let judge = |interval| Verdict::of(Better::Less, interval, 0.05, 0.05);
        assert_eq!(judge((1.06, 1.2)), Verdict::Faster);
        assert_eq!(judge((0.8, 0.95)), Verdict::Slower);
        assert_eq!(judge((0.96, 1.04)), Verdict::Same);
        assert_eq!(judge((0.9, 1.1)), Verdict::Inconclusive);
        assert_eq!(
            judge((1.04, 1.3)),
            Verdict::Inconclusive,
            "beyond 1, not beyond the margin"
        );
        assert_eq!(judge((f64::NAN, f64::NAN)), Verdict::Inconclusive);
        let sizes = |interval| Verdict::of(Better::Neither, interval, 0.05, 0.05);
        assert_eq!(sizes((1.5, 2.0)), Verdict::Larger);
        assert_eq!(sizes((0.4, 0.6)), Verdict::Smaller);
        // In launches in turns the interval itself has the variation between launches.
        assert_eq!(Verdict::of(Better::Less, (1.01, 1.3), 0.02, 0.0), Verdict::Faster);
    }

    #[test]
    fn a_time_that_halves_and_a_rate_that_doubles_are_both_twice_as_fast() {
        assert_eq!(speed(Better::Less, 2.0, 1.0), 2.0);
        assert_eq!(speed(Better::More, 1.0, 2.0), 2.0);
        assert_eq!(speed(Better::Neither, 1.0, 2.0), 2.0);
    }
}
