//! The lines of a change.

use serde_json::{Value as Json, json};

use super::super::clock::iso;
use super::super::space::{Configuration, Domain, Value};
use super::super::trial::{Direction, FIXED, RETRIED, State};
use super::{distribution, json as python, numbers};

/// Who writes: Optuna asks for a name of each process. One name, so that the same study is the same file but for its times.
const WORKER: &str = "tilelab";
/// A file holds one study.
const STUDY: usize = 0;

/// Lines that belong together.
#[derive(Debug, Clone, Default)]
pub struct Lines(Vec<Json>);

impl Lines {
    pub(in crate::search) fn iter(&self) -> impl Iterator<Item = &Json> {
        self.0.iter()
    }

    fn push(&mut self, code: u8, mut line: Json) {
        line["op_code"] = code.into();
        line["worker_id"] = WORKER.into();
        self.0.push(line);
    }

    /// A study begins.
    pub fn study(&mut self, name: &str, direction: Direction) {
        let direction = match direction {
            Direction::Minimize => 1,
            Direction::Maximize => 2,
        };
        self.push(0, json!({"study_name": name, "directions": [direction]}));
    }

    /// An attribute of the study.
    pub fn study_attr(&mut self, name: &str, value: &Json) {
        self.push(2, json!({"study_id": STUDY, "user_attr": {name: value}}));
    }

    /// The next trial begins.
    pub fn trial(&mut self, started_s: f64) {
        self.push(4, json!({"study_id": STUDY, "datetime_start": iso(started_s)}));
    }

    /// The next trial waits with a given configuration, perhaps to repeat one that failed.
    pub fn waiting(&mut self, fixed: &Configuration, retry_of: Option<usize>) {
        let mut system = json!({FIXED: fixed});
        if let Some(number) = retry_of {
            system[RETRIED] = number.into();
        }
        let line = json!({
            "study_id": STUDY, "datetime_start": null, "state": State::Waiting as u8, "value": null, "values": null,
            "distributions": {}, "params": {}, "user_attrs": {}, "system_attrs": system, "intermediate_values": {},
        });
        self.push(4, line);
    }

    /// A waiting trial begins.
    pub fn begins(&mut self, trial: usize, started_s: f64) {
        let line = json!({
            "trial_id": trial, "state": State::Running as u8, "values": null, "datetime_start": iso(started_s),
        });
        self.push(6, line);
    }

    /// A parameter of a trial, which is in its domain.
    pub fn parameter(&mut self, trial: usize, (name, value): (&str, &Value), domain: &Domain) {
        let line = json!({
            "trial_id": trial, "param_name": name,
            "param_value_internal": distribution::internal(domain, value),
            "distribution": distribution::of(domain).to_string(),
        });
        self.push(5, line);
    }

    /// What was seen at a step.
    pub fn step(&mut self, trial: usize, step: usize, value: f64) {
        self.push(
            7,
            json!({"trial_id": trial, "step": step, "intermediate_value": python::number(value)}),
        );
    }

    /// An attribute of a trial.
    pub fn attr(&mut self, trial: usize, name: &str, value: impl Into<Json>) {
        self.push(8, json!({"trial_id": trial, "user_attr": {name: value.into()}}));
    }

    /// A trial has ended.
    pub fn end(&mut self, trial: usize, state: State, value: Option<f64>, ended_s: f64) {
        let values = value.map_or(Json::Null, |value| numbers(&[value]));
        let line = json!({
            "trial_id": trial, "state": state as u8, "values": values, "datetime_complete": iso(ended_s),
        });
        self.push(6, line);
    }
}
