//! Cheap functions over a mixed space with known optima, to hold samplers against one another.
//!
//! Both are losses whose smallest value is 0; what a search is away from it is its regret. `smooth` is a sum of one bowl for
//! each parameter, with weights as unequal as hyperparameters are. `cliff` has in place of the learning rate's bowl a slope in
//! r = lr / (1 - mu), the rate that a step with momentum comes to, and a fall behind r = 0.5: the best lies at the edge, where one step
//! more diverges, as it does in training.

use super::space::{Configuration, Domain, Parameter, Space, Value, When};

/// Loss of a run that diverged.
const DIVERGED: f64 = 4.0;
/// Where it does.
const EDGE: f64 = 0.5;

/// A function to be minimised; its smallest value is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surrogate {
    /// A bowl in each parameter.
    Smooth,
    /// A slope that ends in a cliff.
    Cliff,
}

impl Surrogate {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Smooth, Self::Cliff];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smooth => "smooth",
            Self::Cliff => "cliff",
        }
    }

    /// Nine to eleven parameters: logarithms, steps, whole numbers, choices, conditions.
    ///
    /// # Panics
    /// Never: the space makes sense.
    pub fn space() -> Space {
        let names = |names: &[&str]| Domain::Choice(names.iter().map(|name| Value::Text((*name).to_owned())).collect());
        let int = |low, high, step| Domain::Int {
            low,
            high,
            log: false,
            step,
        };
        let float = |low, high, log| Domain::Float {
            low,
            high,
            log,
            step: None,
        };
        let mut parameters = Vec::new();
        let mut add = |name: &str, domain, when| {
            let name = name.to_owned();
            parameters.push(Parameter { name, domain, when });
        };
        add("lr", float(1e-4, 1.0, true), None);
        add("epochs", int(5, 20, 1), None);
        add("hidden_layers", int(1, 3, 1), None);
        for layer in 0..3 {
            let when = (layer > 0).then(|| When::AtLeast("hidden_layers".to_owned(), layer + 1));
            add(&format!("units_l{layer}"), int(64, 512, 64), when);
        }
        add("batch", Domain::Choice([32, 64, 128].map(Value::Int).into()), None);
        add("activation", names(&["relu", "gelu", "tanh"]), None);
        add("optimizer", names(&["sgd", "momentum"]), None);
        let momentum = When::OneOf("optimizer".to_owned(), vec![Value::Text("momentum".to_owned())]);
        add("momentum", float(0.5, 0.99, false), Some(momentum));
        add("dropout", float(0.0, 0.5, false), None);
        match Space::new(parameters) {
            Ok(space) => space,
            Err(why) => unreachable!("the surrogates' space: {why}"),
        }
    }

    /// The loss of a configuration of [`Surrogate::space`].
    pub fn loss(self, tried: &Configuration) -> f64 {
        let number = |name: &str| tried.get(name).and_then(Value::number);
        let bowl = |name: &str, best: f64, width: f64| number(name).map_or(0.0, |x| ((x - best) / width).powi(2));
        let named = |name: &str, worth: &[(&str, f64)]| {
            let is = |what: &str| tried.get(name).is_some_and(|value| value.to_string() == what);
            worth.iter().find(|(what, _)| is(what)).map_or(0.0, |(_, loss)| *loss)
        };
        let layers = number("hidden_layers").unwrap_or(1.0);
        let units: f64 = (0..3).map(|layer| bowl(&format!("units_l{layer}"), 384.0, 448.0)).sum();
        let rest = 0.3 * bowl("epochs", 17.0, 15.0)
            + 0.2 * (layers - 2.0).abs()
            + 0.5 * units / layers
            + named("batch", &[("64", 0.05), ("128", 0.2)])
            + named("activation", &[("relu", 0.1), ("tanh", 0.3)])
            + 0.5 * bowl("dropout", 0.2, 0.5);
        let lr = number("lr").unwrap_or(f64::NAN);
        match self {
            Self::Smooth => {
                let momentum = named("optimizer", &[("sgd", 0.15)]) + 0.5 * bowl("momentum", 0.9, 0.5);
                0.5 * (lr / 0.05).log10().powi(2) + momentum + rest
            }
            Self::Cliff => {
                let rate = lr / (1.0 - number("momentum").unwrap_or(0.0));
                if rate > EDGE {
                    DIVERGED
                } else {
                    0.5 * (EDGE / rate).log10() + rest
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optima_are_known() {
        let best = |name: &str, lr: f64| {
            let given: Configuration = [
                ("lr", Value::Float(lr)),
                ("epochs", Value::Int(17)),
                ("hidden_layers", Value::Int(2)),
                ("units_l0", Value::Int(384)),
                ("units_l1", Value::Int(384)),
                ("batch", Value::Int(32)),
                ("activation", Value::Text("gelu".into())),
                ("optimizer", Value::Text(name.into())),
                ("momentum", Value::Float(0.9)),
                ("dropout", Value::Float(0.2)),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
            Surrogate::space().configure(&given, |_, parameter| panic!("{} is missing", parameter.name))
        };
        assert!(Surrogate::Smooth.loss(&best("momentum", 0.05)).abs() < 1e-12);
        assert!(Surrogate::Cliff.loss(&best("sgd", EDGE)).abs() < 1e-12);
        assert!(Surrogate::Cliff.loss(&best("sgd", EDGE.next_up())) == DIVERGED);
        assert!(Surrogate::Cliff.loss(&best("momentum", 0.051)) == DIVERGED);
    }
}
