//! A hyperparameter as the user gives it: one value, a list, or a range.
//!
//! ```text
//! 0.1             fixed                     0.001..0.2        any number between
//! 32,64,128       one of these              0.001..0.2:log    uniform in the logarithm
//! relu,gelu       one of these              64..512:64        in steps
//! ```

use super::space::{Domain, Value};

/// What a hyperparameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Just this.
    Fixed(Value),
    /// Searched for.
    Searched(Domain),
}

/// What its values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Names.
    Text,
}

impl Kind {
    fn value(self, text: &str) -> Option<Value> {
        let text = text.trim();
        match self {
            Self::Int => text.parse().ok().map(Value::Int),
            Self::Float => text.parse().ok().filter(|x: &f64| x.is_finite()).map(Value::Float),
            Self::Text => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Int => "64, 32,64,128, 5..20 or 64..512:64",
            Self::Float => "0.1, 0.01,0.1, 0..0.5 or 0.001..0.2:log",
            Self::Text => "relu or relu,gelu",
        }
    }
}

impl Given {
    /// From text.
    ///
    /// # Errors
    /// One line that says what it may look like.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}`: it must be a value, a list or a range, such as {}",
                kind.example()
            )
        };
        if kind != Kind::Text
            && let Some((low, rest)) = text.split_once("..")
        {
            let (high, more) = rest
                .split_once(':')
                .map_or((rest, None), |(high, more)| (high, Some(more)));
            let log = more == Some("log");
            let step = more.filter(|_| !log);
            let value = |text: &str| kind.value(text).ok_or_else(wrong);
            let step = step.map(value).transpose()?;
            return domain(value(low)?, value(high)?, log, step)
                .ok_or_else(wrong)
                .map(Self::Searched);
        }
        let values: Option<Vec<Value>> = text.split(',').map(|part| kind.value(part)).collect();
        let mut values = values.ok_or_else(wrong)?;
        Ok(if values.len() == 1 {
            Self::Fixed(values.remove(0))
        } else {
            Self::Searched(Domain::Choice(values))
        })
    }

    /// All that is named one by one.
    pub fn named(&self) -> &[Value] {
        match self {
            Self::Fixed(value) => std::slice::from_ref(value),
            Self::Searched(Domain::Choice(values)) => values,
            Self::Searched(_) => &[],
        }
    }

    /// Smallest and largest whole number.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        if let Self::Searched(Domain::Int { low, high, .. }) = self {
            return Some((*low, *high));
        }
        let numbers = self.named().iter().filter_map(|value| match value {
            Value::Int(x) => Some(*x),
            _ => None,
        });
        Some((numbers.clone().min()?, numbers.max()?))
    }
}

/// A range, its upper end on a step.
fn domain(low: Value, high: Value, log: bool, step: Option<Value>) -> Option<Domain> {
    match (low, high, step) {
        (Value::Int(low), Value::Int(high), step) => {
            let step = match step {
                None => 1,
                Some(Value::Int(step)) if step > 0 => step,
                Some(_) => return None,
            };
            let high = if high > low {
                low + (high - low) / step * step
            } else {
                high
            };
            Some(Domain::Int { low, high, log, step })
        }
        (Value::Float(low), Value::Float(high), step) => {
            let step = match step {
                None => None,
                Some(Value::Float(step)) if step > 0.0 => Some(step),
                Some(_) => return None,
            };
            let whole = step.map(|step| ((high - low) / step + 1e-9).floor());
            // An upper end that is on a step stays as it was written.
            let on_step = |step: f64, count: f64| ((low + count * step) - high).abs() <= 1e-9 * step;
            let high = match step.zip(whole) {
                Some((step, count)) if !on_step(step, count) => low + count * step,
                _ => high,
            };
            Some(Domain::Float { low, high, log, step })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lists_and_ranges() {
        let parse = |text, kind| Given::parse(text, kind).unwrap();
        assert_eq!(parse("0.1", Kind::Float), Given::Fixed(Value::Float(0.1)));
        assert_eq!(parse("32, 64", Kind::Int).named(), [Value::Int(32), Value::Int(64)]);
        let units = Domain::Int {
            low: 64,
            high: 448,
            log: false,
            step: 64,
        };
        assert_eq!(parse("64..500:64", Kind::Int), Given::Searched(units));
        let rate = Domain::Float {
            low: 1e-3,
            high: 0.2,
            log: true,
            step: None,
        };
        assert_eq!(parse("1e-3..0.2:log", Kind::Float), Given::Searched(rate));
        let dropout = Domain::Float {
            low: 0.0,
            high: 0.3,
            log: false,
            step: Some(0.1),
        };
        assert_eq!(parse("0..0.3:0.1", Kind::Float), Given::Searched(dropout));
        assert_eq!(parse("momentum:0.9,sgd", Kind::Text).named().len(), 2);
        assert_eq!(parse("1..3", Kind::Int).bounds(), Some((1, 3)));
        assert_eq!(parse("2,5,1", Kind::Int).bounds(), Some((1, 5)));
    }

    #[test]
    fn nonsense_is_answered_with_an_example() {
        for (text, kind) in [
            ("", Kind::Int),
            ("a", Kind::Float),
            ("1..", Kind::Int),
            ("1..2:x", Kind::Float),
            ("1..2:0", Kind::Int),
            ("1.5..2", Kind::Int),
            ("nan", Kind::Float),
            ("0..inf", Kind::Float),
            ("relu,", Kind::Text),
        ] {
            let line = Given::parse(text, kind).unwrap_err();
            assert!(line.contains("such as") && line.contains(text), "{line}");
        }
    }
}
