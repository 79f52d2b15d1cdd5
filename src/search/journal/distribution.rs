//! Domains as Optuna's distributions.

use serde_json::{Value as Json, json};

use super::super::space::{Domain, Value};

/// The distribution.
pub fn of(domain: &Domain) -> Json {
    match domain {
        Domain::Float { low, high, log, step } => json!({
            "name": "FloatDistribution", "attributes": {"step": step, "low": low, "high": high, "log": log},
        }),
        Domain::Int { low, high, log, step } => json!({
            "name": "IntDistribution", "attributes": {"log": log, "step": step, "low": low, "high": high},
        }),
        Domain::Choice(choices) => json!({
            "name": "CategoricalDistribution", "attributes": {"choices": choices},
        }),
    }
}

/// The number that stands for a value in a journal: itself, or its place among the choices.
pub fn internal(domain: &Domain, value: &Value) -> f64 {
    match domain {
        Domain::Choice(choices) => choices.iter().position(|choice| choice == value).unwrap_or(0) as f64,
        _ => value.number().unwrap_or(f64::NAN),
    }
}

/// The value that a number stands for under a distribution.
pub fn external(distribution: &Json, internal: f64) -> Option<Value> {
    let attributes = &distribution["attributes"];
    match distribution["name"].as_str()? {
        "FloatDistribution" => Some(Value::Float(internal)),
        "IntDistribution" => Some(Value::Int(internal as i64)),
        "CategoricalDistribution" => {
            let choice = attributes["choices"].get(internal as usize)?;
            serde_json::from_value(choice.clone()).ok()
        }
        _ => None,
    }
}
