//! What a journal says, line by line, as Optuna replays it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::super::clock::parse;
use super::super::trial::{Direction, STARTED, State, Trial};
use super::{distribution, json};

/// A study as its file tells it.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// Its name; `None` while the file is empty.
    pub name: Option<String>,
    /// What it looks for.
    pub direction: Option<Direction>,
    /// Its attributes.
    pub user: BTreeMap<String, Json>,
    /// Its trials, by number.
    pub trials: Vec<Trial>,
}

fn index(line: &Json, field: &str) -> Result<usize, String> {
    let number = line[field]
        .as_u64()
        .ok_or_else(|| format!("it has no number `{field}`"))?;
    usize::try_from(number).map_err(|error| error.to_string())
}

fn object<'a>(line: &'a Json, field: &str) -> Result<&'a Map<String, Json>, String> {
    line[field]
        .as_object()
        .ok_or_else(|| format!("it has no object `{field}`"))
}

fn state(line: &Json) -> Result<State, String> {
    let state = line["state"].as_i64().and_then(State::of);
    state.ok_or_else(|| "it has no known `state`".to_owned())
}

fn moment(line: &Json, field: &str) -> Option<f64> {
    line[field].as_str().and_then(parse)
}

impl Replayed {
    /// Takes in one line.
    pub fn apply(&mut self, line: &Json) -> Result<(), String> {
        let code = index(line, "op_code")?;
        if code == 1 || matches!(code, 2..=4) && index(line, "study_id")? != 0 {
            return Err("it is about another study, or deletes this one".to_owned());
        }
        match code {
            0 => self.study(line),
            2 => {
                self.user.extend(object(line, "user_attr")?.clone());
                Ok(())
            }
            // Attributes of the study that only Optuna knows; trials that only Rustuna discards.
            3 | 10 => Ok(()),
            4 => self.trial(line),
            5..=9 => {
                let number = index(line, "trial_id")?;
                let trial = self.trials.get_mut(number);
                let trial = trial.ok_or_else(|| format!("there is no trial {number} before it"))?;
                if trial.state.is_finished() {
                    Ok(())
                } else {
                    change(trial, code, line)
                }
            }
            _ => Err(format!("it has the unknown op_code {code}")),
        }
    }

    fn study(&mut self, line: &Json) -> Result<(), String> {
        if self.name.is_some() {
            return Err("it begins a second study".to_owned());
        }
        self.name = Some(line["study_name"].as_str().ok_or("it has no `study_name`")?.to_owned());
        self.direction = match line["directions"].as_array().map(Vec::as_slice) {
            Some([one]) if one == 1 => Some(Direction::Minimize),
            Some([one]) if one == 2 => Some(Direction::Maximize),
            _ => return Err("`directions` is not one direction".to_owned()),
        };
        Ok(())
    }

    fn trial(&mut self, line: &Json) -> Result<(), String> {
        if self.name.is_none() {
            return Err("there is no study before it".to_owned());
        }
        let mut trial = Trial::new(self.trials.len(), State::Running);
        if !line["state"].is_null() {
            trial.state = state(line)?;
        }
        trial.started_s = moment(line, "datetime_start");
        trial.ended_s = moment(line, "datetime_complete");
        trial.value = json::as_number(&line["value"]).or_else(|| json::as_number(&line["values"][0]));
        if let (Some(params), Some(kinds)) = (line["params"].as_object(), line["distributions"].as_object()) {
            for (name, internal) in params {
                let kind = kinds
                    .get(name)
                    .and_then(Json::as_str)
                    .ok_or("a parameter has no distribution")?;
                parameter(&mut trial, name, kind, internal)?;
            }
        }
        let attributes = |field: &str| {
            line[field]
                .as_object()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .collect()
        };
        (trial.user, trial.system) = (attributes("user_attrs"), attributes("system_attrs"));
        for (step, value) in line["intermediate_values"].as_object().into_iter().flatten() {
            let step = step.parse().map_err(|_| format!("`{step}` is no step"))?;
            trial.curve.insert(step, json::as_number(value).unwrap_or(f64::NAN));
        }
        self.trials.push(trial);
        Ok(())
    }
}

fn parameter(trial: &mut Trial, name: &str, distribution: &str, internal: &Json) -> Result<(), String> {
    let distribution: Json = serde_json::from_str(distribution).map_err(|error| error.to_string())?;
    let internal = json::as_number(internal).ok_or("a parameter has no value")?;
    let value = distribution::external(&distribution, internal);
    let value = value.ok_or_else(|| format!("{name} has an unknown distribution"))?;
    trial.configuration.insert(name.to_owned(), value);
    Ok(())
}

/// A change of a trial that has not finished.
fn change(trial: &mut Trial, code: usize, line: &Json) -> Result<(), String> {
    match code {
        5 => {
            let name = line["param_name"].as_str().ok_or("it has no `param_name`")?;
            let kind = line["distribution"].as_str().ok_or("it has no `distribution`")?;
            parameter(trial, name, kind, &line["param_value_internal"])?;
        }
        6 => {
            trial.state = state(line)?;
            if trial.state == State::Running {
                trial.started_s = moment(line, "datetime_start");
            }
            if trial.state.is_finished() {
                trial.ended_s = moment(line, "datetime_complete");
            }
            trial.value = json::as_number(&line["values"][0]).or(trial.value);
        }
        7 => {
            let value = json::as_number(&line["intermediate_value"]).unwrap_or(f64::NAN);
            trial.curve.insert(index(line, "step")?, value);
        }
        8 => {
            trial.user.extend(object(line, "user_attr")?.clone());
            // The last attempt's, where a killed process had begun an earlier one.
            let again = trial.user.get(STARTED).and_then(Json::as_f64);
            trial.started_s = again.or(trial.started_s);
        }
        _ => trial.system.extend(object(line, "system_attr")?.clone()),
    }
    Ok(())
}
