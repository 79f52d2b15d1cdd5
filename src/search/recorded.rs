//! A study as a measurement.

use super::anova::{self, Anova};
use super::space::{Domain, Parameter};
use super::study::{Study, WORKER};
use super::training::Tested;
use super::trial::{DIVERGED, FAILURE, Trial};
use crate::measure::{Importance, Search, SearchContour, SearchParameter, SearchTest, SearchTrial, SearchValue};

/// What a study does not know of itself.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its file.
    pub study: String,
    /// What a trial is judged by.
    pub measure: String,
    /// Where the data came from.
    pub data: String,
    /// Rows that trials learn from and rows that they are judged by.
    pub rows: (usize, usize),
    /// Hyperparameters that are not searched.
    pub fixed: Vec<(String, String)>,
    /// The command that trains the best.
    pub best_command: String,
}

/// The record of a study.
pub fn searched(study: &Study, setting: Setting, tests: &[Tested]) -> Search {
    let (plan, trials) = (study.plan(), study.trials());
    let begun = trials
        .iter()
        .filter_map(|trial| trial.started_s)
        .fold(f64::INFINITY, f64::min);
    let mut so_far: Option<f64> = None;
    let told = trials.iter().map(|trial| {
        if let Some(value) = trial.result()
            && so_far.is_none_or(|best| plan.direction.better(value, best))
        {
            so_far = Some(value);
        }
        SearchTrial {
            best: so_far,
            ..one(trial, plan.space.parameters(), begun)
        }
    });
    Search {
        study: setting.study,
        sampler: plan.sampler.to_string(),
        pruner: plan.pruner.to_string(),
        jobs: plan.jobs,
        seed: plan.seed,
        measure: setting.measure,
        maximize: plan.direction == super::Direction::Maximize,
        data: setting.data,
        rows: setting.rows,
        fixed: setting.fixed,
        parameters: plan.space.parameters().iter().map(described).collect(),
        trials: told.collect(),
        best: study.best().map(|trial| trial.number),
        best_command: setting.best_command,
        tests: tests
            .iter()
            .map(|tested| SearchTest {
                seed: tested.seed,
                accuracy: tested.accuracy,
                loss: tested.loss,
            })
            .collect(),
        importance: importance(study),
    }
}

fn described(parameter: &Parameter) -> SearchParameter {
    let (range, log, whole, choices) = match &parameter.domain {
        Domain::Float { low, high, log, .. } => ((*low, *high), *log, false, Vec::new()),
        Domain::Int { low, high, log, .. } => ((*low as f64, *high as f64), *log, true, Vec::new()),
        Domain::Choice(choices) => {
            let names: Vec<String> = choices.iter().map(ToString::to_string).collect();
            ((0.0, (names.len() - 1) as f64), false, true, names)
        }
    };
    SearchParameter {
        name: parameter.name.clone(),
        range,
        log,
        whole,
        choices,
        conditional: parameter.when.is_some(),
    }
}

fn one(trial: &Trial, parameters: &[Parameter], begun: f64) -> SearchTrial {
    let value = |parameter: &Parameter| {
        let value = trial.configuration.get(&parameter.name)?;
        let place = parameter.domain.place(value)?;
        let (low, high) = parameter.domain.axis();
        let x = if parameter.domain.is_choice() {
            place.floor()
        } else {
            value.number()?
        };
        Some(SearchValue {
            name: parameter.name.clone(),
            text: value.to_string(),
            x,
            place: (place - low) / (high - low),
        })
    };
    let said = |name: &str| trial.user.get(name).and_then(|text| text.as_str()).map(str::to_owned);
    let note = said(DIVERGED).or_else(|| said(FAILURE));
    let note = note.or_else(|| trial.retry_of().map(|number| format!("repeats trial {number}")));
    SearchTrial {
        number: trial.number,
        state: trial.state.to_string(),
        value: trial.result(),
        best: None,
        parameters: parameters.iter().filter_map(value).collect(),
        curve: trial
            .curve
            .iter()
            .map(|(&epoch, &x)| (epoch, Some(x).filter(|x| x.is_finite())))
            .collect(),
        started_s: trial.started_s.map(|at| at - begun),
        ended_s: trial.ended_s.map(|at| at - begun),
        job: trial.user.get(WORKER).and_then(serde_json::Value::as_u64),
        note: note.unwrap_or_default(),
    }
}

fn importance(study: &Study) -> Option<Importance> {
    let space = &study.plan().space;
    let anova = Anova::of(space, study.trials())?;
    let name = |p: usize| anova.parameters()[p].name.clone();
    let shares = anova.alone();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&p, &q| shares[q].total_cmp(&shares[p]));
    let mut pairs = Vec::new();
    for p in 0..shares.len() {
        for q in p + 1..shares.len() {
            pairs.push((name(p), name(q), anova.together(p, q)));
        }
    }
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
    let contour = match order[..] {
        [p, q, ..] => Some(contour(&anova, p, q)),
        _ => None,
    };
    let left_out = space
        .parameters()
        .iter()
        .filter(|parameter| !anova.parameters().contains(parameter));
    Some(Importance {
        trials: study.trials().iter().filter(|trial| trial.result().is_some()).count(),
        alone: order.iter().map(|&p| (name(p), shares[p])).collect(),
        pairs,
        left_out: left_out.map(|parameter| parameter.name.clone()).collect(),
        contour,
    })
}

fn contour(anova: &Anova, p: usize, q: usize) -> SearchContour {
    let anova::Contour { places, values } = anova.contour(p, q);
    let [x, y] = [p, q].map(|p| &anova.parameters()[p]);
    let numbers = |parameter: &Parameter, places: &[f64]| -> Vec<f64> {
        let (low, high) = parameter.domain.axis();
        let at = |place: f64| match parameter.domain {
            Domain::Choice(_) => place,
            _ => parameter
                .domain
                .at(low + place * (high - low))
                .number()
                .unwrap_or(f64::NAN),
        };
        places.iter().map(|&place| at(place)).collect()
    };
    SearchContour {
        parameters: (x.name.clone(), y.name.clone()),
        x: numbers(x, &places[0]),
        y: numbers(y, &places[1]),
        values,
    }
}
