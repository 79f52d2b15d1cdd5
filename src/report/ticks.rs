//! Axis ranges and tick labels. Every range, however narrow, wide or empty, gets at least two labels.
//!
//! On a linear axis ticks are n * 10^e with a step of 1, 2 or 5 * 10^e. On a log axis they are 1, 2 and 5 of each decade;
//! decades alone (then every second, third, ...) where those are too many, and linear steps where the range is so
//! narrow that fewer than two of them lie in it. Values are parsed from their decimal text, so that 0.3 is 0.3.

use super::format::{minus, superscript};

/// How an axis maps values to places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Equal differences are equal lengths.
    #[default]
    Linear,
    /// Equal ratios are equal lengths; values at or below zero cannot be drawn.
    Log,
}

impl Scale {
    /// Whether the scale has a place for this value.
    pub fn draws(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }
}

/// What an axis spans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end.
    pub lo: f64,
    /// Upper end, above `lo`.
    pub hi: f64,
    /// Mapping between them.
    pub scale: Scale,
}

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where it lies.
    pub value: f64,
    /// What it says.
    pub label: String,
}

/// Share of the range that is left free beyond the outermost values, so that no mark lies on the frame.
const PADDING: f64 = 0.04;
/// Narrowest range, relative to its values: below it labels would need more than seven digits.
const NARROWEST: f64 = 1e-6;
/// Narrowest range in absolute terms: below it steps would be subnormal.
const SMALLEST: f64 = 1e-290;
/// The smallest positive number.
const TINY: f64 = f64::from_bits(1);

impl Range {
    /// The range that shows all values that can be shown. `whole` axes have labels on whole numbers only; `from_zero`
    /// ones hold zero (linear only).
    pub fn of(values: impl IntoIterator<Item = f64>, scale: Scale, whole: bool, from_zero: bool) -> Self {
        let (lo, hi) = values
            .into_iter()
            .filter(|&value| scale.draws(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), value| {
                (lo.min(value), hi.max(value))
            });
        let (lo, hi) = match scale {
            Scale::Log if lo > hi => (1.0, 10.0),
            Scale::Linear if lo > hi => (0.0, 1.0),
            Scale::Log => log_bounds(lo, hi),
            Scale::Linear => linear_bounds(lo, hi, whole, from_zero),
        };
        Self { lo, hi, scale }
    }

    /// Where a value lies: 0 at `lo`, 1 at `hi`.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            // Halves first: `hi - lo` may overflow.
            Scale::Linear => (value / 2.0 - self.lo / 2.0) / (self.hi / 2.0 - self.lo / 2.0),
            Scale::Log => (value.ln() - self.lo.ln()) / (self.hi.ln() - self.lo.ln()),
        }
    }

    /// Labelled places in the range, ascending: at least two, and at most `most` where that leaves two.
    pub fn ticks(&self, whole: bool, most: usize) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => linear(self.lo, self.hi, whole, most),
            Scale::Log => logarithmic(self.lo, self.hi, most),
        }
    }
}

fn linear_bounds(lo: f64, hi: f64, whole: bool, from_zero: bool) -> (f64, f64) {
    let (from_below, from_above) = (from_zero && lo >= 0.0, from_zero && hi <= 0.0 && lo < 0.0);
    let (lo, hi) = (if from_below { 0.0 } else { lo }, if from_above { 0.0 } else { hi });
    let size = lo.abs().max(hi.abs());
    let half = hi / 2.0 - lo / 2.0;
    let pad = if half == 0.0 {
        if size == 0.0 { 1.0 } else { (size * 0.1).max(SMALLEST) }
    } else {
        (half * 2.0 * PADDING).max(size * NARROWEST).max(SMALLEST)
    };
    // A whole axis must hold two whole numbers.
    let pad = if whole && (hi + pad).floor() - (lo - pad).ceil() < 1.0 {
        1.0
    } else {
        pad
    };
    let lo = if from_below { lo } else { (lo - pad).max(-f64::MAX) };
    let hi = if from_above { hi } else { (hi + pad).min(f64::MAX) };
    (lo, hi)
}

fn log_bounds(lo: f64, hi: f64) -> (f64, f64) {
    let pad = if hi / lo < 1.0 + NARROWEST {
        2.0
    } else {
        ((hi.ln() - lo.ln()) * PADDING).exp()
    };
    ((lo / pad).max(TINY), (hi * pad).min(f64::MAX))
}

/// `n * 10^exponent`, rounded once.
fn decimal(n: i64, exponent: i32) -> f64 {
    format!("{n}e{exponent}").parse().unwrap_or(f64::NAN)
}

fn linear(lo: f64, hi: f64, whole: bool, most: usize) -> Vec<Tick> {
    let most = most.max(2);
    let rough = (hi / 2.0 - lo / 2.0) / most as f64 * 2.0;
    let mut exponent = rough.log10().floor() as i32;
    if whole {
        exponent = exponent.max(0);
    }
    let mut finer = Vec::new();
    // Two decades of steps are enough: the first step is below range / most, the last above the range.
    for (digit, exponent) in (exponent..exponent + 4).flat_map(|e| [1, 2, 5].map(|digit| (digit, e))) {
        let step = decimal(digit, exponent);
        // Units of 10^exponent; the slack takes in an end that is itself a tick but for rounding.
        let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
        let ticks: Vec<i64> = (first..=last).map(|k| k * digit).collect();
        if ticks.len() < 2 {
            break;
        }
        finer = label_all(&ticks, exponent, lo.abs().max(hi.abs()));
        if ticks.len() <= most {
            break;
        }
    }
    finer
}

/// Labels with equal decimals, all plain or all with the same power of ten.
fn label_all(ticks: &[i64], exponent: i32, size: f64) -> Vec<Tick> {
    let power = size.log10().floor() as i32;
    let plain = (-3..6).contains(&power);
    let tick = |&n: &i64| {
        let label = if plain {
            format!("{:.*}", (-exponent).max(0) as usize, decimal(n, exponent))
        } else if n == 0 {
            "0".to_owned()
        } else {
            let decimals = (power - exponent).max(0) as usize;
            format!("{:.decimals$}×10{}", decimal(n, exponent - power), superscript(power))
        };
        Tick {
            value: decimal(n, exponent),
            label: minus(label),
        }
    };
    ticks.iter().map(tick).filter(|tick| tick.value.is_finite()).collect()
}

fn logarithmic(lo: f64, hi: f64, most: usize) -> Vec<Tick> {
    let most = most.max(2);
    let decades = lo.log10().floor() as i32..=hi.log10().ceil() as i32;
    let inside = |digits: &[i64], every: i32| -> Vec<Tick> {
        decades
            .clone()
            .filter(|exponent| exponent.rem_euclid(every) == 0)
            .flat_map(|exponent| digits.iter().map(move |&digit| (digit, exponent)))
            .map(|(digit, exponent)| Tick {
                value: decimal(digit, exponent),
                label: log_label(digit, exponent),
            })
            .filter(|tick| tick.value >= lo * (1.0 - 1e-12) && tick.value <= hi * (1.0 + 1e-12) && tick.value > 0.0)
            .filter(|tick| tick.value.is_finite())
            .collect()
    };
    let mut ticks = inside(&[1, 2, 5], 1);
    if ticks.len() < 2 {
        return linear(lo, hi, false, most);
    }
    let mut every = 1;
    while ticks.len() > most {
        let sparser = inside(&[1], every);
        if sparser.len() < 2 {
            break;
        }
        ticks = sparser;
        every += 1;
    }
    ticks
}

fn log_label(digit: i64, exponent: i32) -> String {
    match exponent {
        0..=5 => format!("{}", digit * 10i64.pow(exponent as u32)),
        -4..=-1 => format!("{:.*}", -exponent as usize, decimal(digit, exponent)),
        _ if digit == 1 => format!("10{}", superscript(exponent)),
        _ => format!("{digit}×10{}", superscript(exponent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(range: Range, whole: bool, most: usize) -> Vec<String> {
        range.ticks(whole, most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn round_numbers() {
        let linear = |lo, hi| Range {
            lo,
            hi,
            scale: Scale::Linear,
        };
        let log = |lo, hi| Range {
            lo,
            hi,
            scale: Scale::Log,
        };
        assert_eq!(
            labels(linear(0.0, 1.0), false, 6),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(linear(-1.0, 1.0), false, 5),
            ["−1.0", "−0.5", "0.0", "0.5", "1.0"]
        );
        assert_eq!(labels(linear(0.0, 3e7), false, 5), ["0", "1×10⁷", "2×10⁷", "3×10⁷"]);
        assert_eq!(labels(linear(0.7, 10.3), true, 6), ["2", "4", "6", "8", "10"]);
        assert_eq!(labels(log(20.0, 80.0), false, 6), ["20", "50"]);
        assert_eq!(
            labels(log(0.5, 300.0), false, 9),
            ["0.5", "1", "2", "5", "10", "20", "50", "100", "200"]
        );
        assert_eq!(labels(log(1e-9, 1e3), false, 5), ["10⁻⁹", "10⁻⁶", "0.001", "1", "1000"]);
        assert_eq!(labels(log(61.0, 66.0), false, 5), ["62", "64", "66"]);
    }

    #[test]
    fn every_range_has_two_distinct_labels_in_order_and_inside() {
        let ends = [
            0.0,
            TINY,
            1e-300,
            1e-9,
            0.999_999,
            1.0,
            1.0 + 1e-12,
            2.0,
            20.0,
            79.0,
            80.0,
            1e9,
            1e300,
            f64::MAX,
        ];
        for (scale, whole, from_zero) in [
            (Scale::Linear, false, false),
            (Scale::Linear, true, false),
            (Scale::Linear, false, true),
            (Scale::Log, false, false),
        ] {
            for (a, b) in ends.iter().flat_map(|&a| ends.iter().map(move |&b| (a, b))) {
                for (a, b) in [(a, b), (-a, b), (-a, -b), (f64::NAN, b), (a, f64::INFINITY)] {
                    let range = Range::of([a, b], scale, whole, from_zero);
                    assert!(
                        range.lo < range.hi && range.lo.is_finite() && range.hi.is_finite(),
                        "{range:?}"
                    );
                    for most in [2, 3, 6, 9] {
                        let ticks = range.ticks(whole, most);
                        assert!(
                            ticks.len() >= 2,
                            "{a:e} {b:e} {range:?} whole {whole} most {most}: {ticks:?}"
                        );
                        for pair in ticks.windows(2) {
                            assert!(
                                pair[0].value < pair[1].value && pair[0].label != pair[1].label,
                                "{ticks:?}"
                            );
                        }
                        for tick in &ticks {
                            let place = range.place(tick.value);
                            assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{range:?}: {tick:?} at {place}");
                        }
                    }
                }
            }
        }
    }
}
