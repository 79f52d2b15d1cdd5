//! The search space: parameters, what they may be, and on which others they depend.
//!
//! A [`Domain`] has an axis on which samplers work: the values themselves, their logarithms, or numbered cells of equal width.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a parameter is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A name.
    Text(String),
}

impl Value {
    /// As a number; `None` for a name.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(x) => Some(*x as f64),
            Self::Float(x) => Some(*x),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(x) => x.fmt(f),
            Self::Float(x) => f.write_str(&crate::mlp::number(*x)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Parameters with their values; those whose condition does not hold are not there.
pub type Configuration = BTreeMap<String, Value>;

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// From `low` to `high`, both included.
    Float {
        /// Smallest; above 0 where `log`.
        low: f64,
        /// Largest.
        high: f64,
        /// Uniform in the logarithm.
        log: bool,
        /// `low`, `low + step`, .. up to `high`; not with `log`.
        step: Option<f64>,
    },
    /// Whole numbers from `low` to `high`, both included.
    Int {
        /// Smallest; above 0 where `log`.
        low: i64,
        /// Largest.
        high: i64,
        /// Uniform in the logarithm; then `step` is 1.
        log: bool,
        /// At least 1.
        step: i64,
    },
    /// One of these.
    Choice(Vec<Value>),
}

impl Domain {
    /// How many values there are; `None` for a continuum.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Float { step: None, .. } => None,
            Self::Float {
                low,
                high,
                step: Some(step),
                ..
            } => Some(((high - low) / step + 1e-9).floor() as usize + 1),
            Self::Int { low, high, step, .. } => Some(((high - low) / step) as usize + 1),
            Self::Choice(choices) => Some(choices.len()),
        }
    }

    /// Whether neighbours on the axis have nothing in common.
    pub fn is_choice(&self) -> bool {
        matches!(self, Self::Choice(_))
    }

    /// The axis, its end excluded.
    pub fn axis(&self) -> (f64, f64) {
        match *self {
            Self::Float {
                low,
                high,
                log,
                step: None,
            } => {
                let (low, high) = if log { (low.ln(), high.ln()) } else { (low, high) };
                (low, high.next_up())
            }
            Self::Int {
                low, high, log: true, ..
            } => ((low as f64 - 0.5).ln(), (high as f64 + 0.5).ln()),
            _ => (0.0, self.count().unwrap_or(1) as f64),
        }
    }

    /// The value at a place of the axis.
    pub fn at(&self, place: f64) -> Value {
        let cell = || (place.floor().max(0.0) as usize).min(self.count().unwrap_or(1) - 1);
        match self {
            Self::Float {
                low,
                high,
                log,
                step: None,
            } => {
                let x = if *log { place.exp() } else { place };
                Value::Float(x.clamp(*low, *high))
            }
            Self::Float {
                low, step: Some(step), ..
            } => Value::Float(low + cell() as f64 * step),
            Self::Int {
                low, high, log: true, ..
            } => Value::Int((place.exp().round() as i64).clamp(*low, *high)),
            Self::Int { low, step, .. } => Value::Int(low + cell() as i64 * step),
            Self::Choice(choices) => choices[cell()].clone(),
        }
    }

    /// The place of a value on the axis, in the middle of its cell; `None` if it is not in the domain.
    pub fn place(&self, value: &Value) -> Option<f64> {
        let x = value.number();
        match self {
            Self::Choice(choices) => choices
                .iter()
                .position(|choice| choice == value)
                .map(|i| i as f64 + 0.5),
            Self::Float { low, high, log, step } => {
                let x = x.filter(|x| (*low..=*high).contains(x))?;
                match step {
                    None => Some(if *log { x.ln() } else { x }),
                    Some(step) => {
                        let cell = ((x - low) / step).round();
                        ((low + cell * step - x).abs() <= 1e-9 * step).then_some(cell + 0.5)
                    }
                }
            }
            Self::Int { low, high, log, step } => {
                let Value::Int(x) = *value else { return None };
                if !(*low..=*high).contains(&x) || (x - low) % step != 0 {
                    return None;
                }
                let cell = (x - low) / step;
                Some(if *log { (x as f64).ln() } else { cell as f64 + 0.5 })
            }
        }
    }

    /// What a grid visits: every value, or `points` of a continuum, evenly spaced on its axis, both ends among them.
    pub fn grid(&self, points: usize) -> Vec<Value> {
        match (self, self.count()) {
            (Self::Int { low, high, .. }, Some(_)) => match self {
                Self::Int { step, log: false, .. } => (*low..=*high).step_by(*step as usize).map(Value::Int).collect(),
                _ => (*low..=*high).map(Value::Int).collect(),
            },
            (_, Some(count)) => (0..count).map(|cell| self.at(cell as f64)).collect(),
            (_, None) => {
                let (low, high) = self.axis();
                let share = |i: usize| i as f64 / (points.max(2) - 1) as f64;
                (0..points.max(1))
                    .map(|i| self.at(low + share(i) * (high - low)))
                    .collect()
            }
        }
    }

    /// What is wrong with it, if anything.
    fn wrong(&self) -> Option<String> {
        match self {
            Self::Float { low, high, log, step } => {
                if !(low.is_finite() && high.is_finite() && low < high) {
                    Some(format!("{low}..{high}: the first must be a number below the second"))
                } else if *log && *low <= 0.0 {
                    Some(format!("{low}..{high}:log: a logarithm needs numbers above 0"))
                } else {
                    let bad = step.filter(|step| !(*step > 0.0 && *step <= high - low));
                    bad.map(|step| format!("{low}..{high}:{step}: the step must be above 0 and fit the range"))
                }
            }
            Self::Int { low, high, log, step } => {
                if low >= high {
                    Some(format!("{low}..{high}: the first must be below the second"))
                } else if *log && *low <= 0 {
                    Some(format!("{low}..{high}:log: a logarithm needs numbers above 0"))
                } else {
                    (*step < 1 || *step > high - low)
                        .then(|| format!("{low}..{high}:{step}: the step must be at least 1 and fit the range"))
                }
            }
            Self::Choice(choices) => {
                let twice = (1..choices.len()).find(|&i| choices[..i].contains(&choices[i]));
                match twice {
                    _ if choices.is_empty() => Some("there is nothing to choose from".to_owned()),
                    Some(i) => Some(format!("{} is there twice", choices[i])),
                    None => None,
                }
            }
        }
    }
}

/// When a parameter is there: what another one, before it, must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A whole number of at least this.
    AtLeast(String, i64),
    /// One of these.
    OneOf(String, Vec<Value>),
}

impl When {
    fn parent(&self) -> &str {
        match self {
            Self::AtLeast(parent, _) | Self::OneOf(parent, _) => parent,
        }
    }

    /// Whether it holds; not if the other one is not there itself.
    pub fn holds(&self, configuration: &Configuration) -> bool {
        match (self, configuration.get(self.parent())) {
            (Self::AtLeast(_, least), Some(Value::Int(x))) => x >= least,
            (Self::OneOf(_, values), Some(value)) => values.contains(value),
            _ => false,
        }
    }
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub domain: Domain,
    /// When it is there; `None` for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// Parameters, each behind those that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space(Vec<Parameter>);

impl Space {
    /// # Errors
    /// A domain that makes no sense, a name that is there twice, or a condition on what does not come before. One line.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self, String> {
        for (i, parameter) in parameters.iter().enumerate() {
            let name = &parameter.name;
            if let Some(why) = parameter.domain.wrong() {
                return Err(format!("{name} {why}"));
            }
            let before = |name: &str| parameters[..i].iter().any(|other| other.name == name);
            if before(name) {
                return Err(format!("{name} is there twice"));
            }
            if let Some(when) = parameter.when.as_ref().filter(|when| !before(when.parent())) {
                return Err(format!(
                    "{name} depends on {}, which does not come before it",
                    when.parent()
                ));
            }
        }
        Ok(Self(parameters))
    }

    /// The parameters, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.0
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|parameter| parameter.name == name)
    }

    /// A configuration: each parameter that is there takes its fixed value or what `choose` says, given its number.
    pub fn configure(
        &self,
        fixed: &Configuration,
        mut choose: impl FnMut(usize, &Parameter) -> Value,
    ) -> Configuration {
        let mut configuration = Configuration::new();
        for (number, parameter) in self.0.iter().enumerate() {
            if parameter.when.as_ref().is_some_and(|when| !when.holds(&configuration)) {
                continue;
            }
            let fixed = fixed
                .get(&parameter.name)
                .filter(|value| parameter.domain.place(value).is_some());
            let value = fixed.cloned().unwrap_or_else(|| choose(number, parameter));
            configuration.insert(parameter.name.clone(), value);
        }
        configuration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Vec<Domain> {
        let float = |low, high, log, step| Domain::Float { low, high, log, step };
        let int = |low, high, log, step| Domain::Int { low, high, log, step };
        vec![
            float(-1.0, 2.0, false, None),
            float(1e-4, 0.5, true, None),
            float(0.0, 0.5, false, Some(0.1)),
            int(5, 20, false, 1),
            int(64, 512, false, 64),
            int(1, 1000, true, 1),
            Domain::Choice(vec![Value::Int(32), Value::Int(64), Value::Text("relu".into())]),
        ]
    }

    #[test]
    fn every_place_of_the_axis_has_a_value_with_that_place() {
        for domain in domains() {
            let (low, high) = domain.axis();
            for i in 0..=1000 {
                let place = (low + (high - low) * f64::from(i) / 1000.0).min(high.next_down());
                let value = domain.at(place);
                let back = domain
                    .place(&value)
                    .unwrap_or_else(|| panic!("{domain:?} lost {value}"));
                assert!((low..high).contains(&back), "{domain:?}: {value} at {back}");
                assert_eq!(domain.at(back), value, "{domain:?}");
            }
            for value in domain.grid(5) {
                assert!(domain.place(&value).is_some(), "{domain:?}: {value}");
            }
            assert_eq!(domain.grid(5).len(), domain.count().unwrap_or(5));
        }
    }

    #[test]
    fn what_is_outside_has_no_place() {
        for domain in domains() {
            for value in [
                Value::Float(-7.0),
                Value::Text("tanh".into()),
                Value::Float(f64::NAN),
                Value::Int(10_000),
            ] {
                assert_eq!(domain.place(&value), None, "{domain:?}: {value}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let parameter = |name: &str, domain, when| Parameter {
            name: name.into(),
            domain,
            when,
        };
        let log = Domain::Float {
            low: 0.0,
            high: 1.0,
            log: true,
            step: None,
        };
        let depth = Domain::Int {
            low: 1,
            high: 3,
            log: false,
            step: 1,
        };
        let deep = || Some(When::AtLeast("depth".into(), 2));
        for (parameters, said) in [
            (vec![parameter("lr", log, None)], "lr 0..1:log"),
            (vec![parameter("units", depth.clone(), deep())], "depends on depth"),
            (
                vec![parameter("a", depth.clone(), None), parameter("a", depth.clone(), None)],
                "twice",
            ),
            (vec![parameter("a", Domain::Choice(vec![]), None)], "nothing to choose"),
        ] {
            assert!(Space::new(parameters).unwrap_err().contains(said), "{said}");
        }
        let space = Space::new(vec![
            parameter("depth", depth.clone(), None),
            parameter("units", depth, deep()),
        ]);
        let space = space.unwrap();
        let shallow = space.configure(&Configuration::new(), |_, _| Value::Int(1));
        assert_eq!(shallow.len(), 1, "an absent parameter is not asked for");
    }
}
