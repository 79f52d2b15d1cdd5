//! `joint-search`: all hyperparameters together, at random and by TPE, in the notebook's two spaces.
//!
//! Trials are judged by rows of the training set that are held back; the best of a search is then trained on all rows and tested. The
//! notebook chose and reported on the test set.

use super::seeds;
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::measure::{Beside, Cell, Finding, Held, PlotAxis, Trace};
use crate::search::study::Next;
use crate::search::training::{Hyperparameters, held_back};
use crate::search::{Direction, Given, Kind, Outcome as Ended, Plan, Pruner, Sampler, Study, StudyError, Trial};

pub const ENTRY: Entry = Entry {
    name: "joint-search",
    title: "All hyperparameters together",
    question: "What is the best that a joint search finds, at random and by TPE, and is it worth more trials?",
    expects: "More trials find a better configuration. TPE draws its first ten trials at random, so that it differs from random search only behind them.",
    run,
};

/// Share of the rows that trials are judged by.
const HELD_BACK: f64 = 1.0 / 6.0;

/// Test accuracies that differ by less are not told apart: 10,000 images, a few seeds.
const TOLD_APART: f64 = 0.005;

/// One search: values of its trials, in order; NaN where one diverged.
struct Searched {
    name: &'static str,
    /// Trials of the notebook's search, and its best.
    notebook: (usize, f64),
    values: Vec<f64>,
    best: String,
    /// The best, trained on all rows.
    tests: Vec<Trained>,
}

fn given(text: &str, kind: Kind) -> Result<Given, Failure> {
    Given::parse(text, kind).map_err(Failure::Failed)
}

/// The notebook's space: random search with lists, Optuna with ranges.
fn space(ranges: bool) -> Result<Hyperparameters, Failure> {
    let pick = |range: &'static str, list: &'static str| if ranges { range } else { list };
    Ok(Hyperparameters {
        lr: given(pick("0.001..0.2:log", "0.01,0.05,0.1"), Kind::Float)?,
        epochs: given(pick("5..20", "10"), Kind::Int)?,
        hidden_layers: given(pick("1..3", "1,2"), Kind::Int)?,
        units: given(pick("64..512:64", "64,128,256,512"), Kind::Int)?,
        batch: given("32,64,128", Kind::Int)?,
        activation: given("relu", Kind::Text)?,
        init: given("xavier-uniform", Kind::Text)?,
        optimizer: given("sgd", Kind::Text)?,
        momentum: given("0.9", Kind::Float)?,
        dropout: given("0", Kind::Float)?,
        l2: given("0", Kind::Float)?,
        schedule: given("constant", Kind::Text)?,
    })
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let best = |pointer: &str| {
        let figures = (0..notebook::count(pointer)).map(|at| notebook::figure(&format!("{pointer}/{at}/0")));
        figures.fold(f64::NAN, f64::max)
    };
    let random = (0..notebook::count("/random_search/trials"))
        .map(|at| notebook::figure(&format!("/random_search/trials/{at}/test_acc")))
        .fold(f64::NAN, f64::max);
    let searches = [
        (
            "random",
            Sampler::Random,
            false,
            notebook::count("/random_search/trials"),
            random,
            run.pick(5, 20),
        ),
        (
            "tpe",
            Sampler::Tpe,
            true,
            notebook::count("/bayesian_search/trials"),
            best("/bayesian_search/trials"),
            run.pick(10, 30),
        ),
    ];
    let mut done = Vec::new();
    for (name, sampler, ranges, count, figure, trials) in searches {
        done.push(search(run, (name, sampler, ranges), (count, figure), trials)?);
    }
    Ok(assess(&done, run.options().full))
}

fn search(
    run: &mut Run<'_>,
    (name, sampler, ranges): (&'static str, Sampler, bool),
    notebook: (usize, f64),
    trials: usize,
) -> Result<Searched, Failure> {
    let data = run.fashion()?;
    let base = run.base();
    let part = held_back(&data, HELD_BACK, base.seed).map_err(Failure::Failed)?;
    let hyperparameters = space(ranges)?;
    let failed = |error: StudyError| Failure::Failed(error.to_string());
    let mut study = Study::in_memory(Plan {
        space: hyperparameters.space().map_err(Failure::Failed)?,
        direction: Direction::Maximize,
        sampler,
        grid_points: 1,
        pruner: Pruner::None,
        seed: base.seed,
        jobs: 1,
        objective: std::collections::BTreeMap::new(),
    })
    .map_err(failed)?;
    while let Next::Start(task) = study.next(trials, 0, 0).map_err(failed)? {
        let options = hyperparameters
            .options(&base, &part, &task.configuration)
            .map_err(Failure::Failed)?;
        let trained = run.train(&format!("{name}, trial {}", task.number), &options, &part)?;
        // A run that diverged has no accuracy, and counts as diverged.
        study.end(&task, &Ended::Complete(trained.test_acc())).map_err(failed)?;
    }
    let values = study
        .trials()
        .iter()
        .map(|trial| trial.value.unwrap_or(f64::NAN))
        .collect();
    let spelled = |trial: &Trial| {
        let parts: Vec<String> = trial
            .configuration
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        parts.join(", ")
    };
    let (mut best, mut tests) = (String::new(), Vec::new());
    if let Some(trial) = study.best() {
        best = spelled(trial);
        let options = hyperparameters
            .options(&base, &data, &trial.configuration)
            .map_err(Failure::Failed)?;
        tests = seeds::train(run, &format!("{name}, best"), &options, &data, run.pick(1, 3))?;
    }
    Ok(Searched {
        name,
        notebook,
        values,
        best,
        tests,
    })
}

/// The best value behind each trial.
fn so_far(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .scan(f64::NAN, |best, &value| {
            Some({
                *best = best.max(value);
                *best
            })
        })
        .collect()
}

fn assess(searches: &[Searched], full: bool) -> Outcome {
    let accuracy = |search: &Searched| seeds::mean(&seeds::figures(&search.tests, Trained::test_acc));
    let [random, tpe] = searches else {
        return Outcome::new(Finding::ChecksFailed {
            failed: vec!["two searches were not run".to_owned()],
        });
    };
    let trials = (random.values.len(), tpe.values.len());
    let test_acc = (accuracy(random), accuracy(tpe));
    let apart = (test_acc.0 - test_acc.1).abs() >= TOLD_APART;
    let mut outcome = Outcome::new(if apart {
        Finding::SearchesDiffer { trials, test_acc }
    } else {
        Finding::SearchesAgree { trials, test_acc }
    });
    for search in searches {
        let name = search.name;
        outcome.at_least(
            format!("test accuracy of the best of {name}"),
            accuracy(search),
            if full { 0.86 } else { 0.75 },
        );
        let accuracies = seeds::figures(&search.tests, Trained::test_acc);
        outcome.beside(Beside {
            of: format!(
                "{name}, best of {} trials here and {} there",
                search.values.len(),
                search.notebook.0
            ),
            figure: "test accuracy".to_owned(),
            notebook: search.notebook.1,
            ours: seeds::mean(&accuracies),
            deviation: (accuracies.len() > 1).then(|| seeds::deviation(&accuracies)),
            seeds: accuracies.len(),
            // The notebook's was chosen on the test set.
            held: Held::Nothing,
        });
    }
    let traces = searches.iter().map(|search| {
        let best = so_far(&search.values);
        Trace::line(
            search.name.to_owned(),
            best.into_iter().enumerate().map(|(i, best)| ((i + 1) as f64, best)),
        )
    });
    let (x, y) = (
        PlotAxis::new("trials", "").whole(),
        PlotAxis::new("best validation accuracy", ""),
    );
    outcome.plot(plot("The best behind each trial", x, y, traces.collect()));
    let row = |search: &Searched| -> Vec<Cell> {
        vec![search.name.into(), accuracy(search).into(), search.best.as_str().into()]
    };
    outcome.sheet(
        "The best of each search",
        &["search", "test accuracy", "configuration"],
        searches.iter().map(row).collect(),
    );
    if !full {
        outcome.shrunk("10,000 of 60,000 images; the notebook's number of trials and no more; one seed of three.");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::seeds::made;
    use crate::experiment::testing::{assert_holds, failed};

    #[test]
    fn branches_and_breaks() {
        let search = |name, values: &[f64], test_acc| Searched {
            name,
            notebook: (5, 0.88),
            values: values.to_vec(),
            best: "lr 0.1".to_owned(),
            tests: vec![made::run(&made::falling(2.3, 0.3, 10), test_acc)],
        };
        let searches = |tpe| {
            [
                search("random", &[0.8, 0.7], 0.87),
                search("tpe", &[0.6, f64::NAN, 0.9], tpe),
            ]
        };
        let apart = assess(&searches(0.89), true);
        assert_holds(&apart);
        let (trials, test_acc) = ((2, 3), (0.87, 0.89));
        assert_eq!(apart.finding(), Finding::SearchesDiffer { trials, test_acc });
        let test_acc = (0.87, 0.872);
        assert_eq!(
            assess(&searches(0.872), true).finding(),
            Finding::SearchesAgree { trials, test_acc }
        );
        // A search whose best learned nothing, or that was never trained.
        assert_eq!(failed(&assess(&searches(0.1), true)).len(), 1);
        assert_eq!(failed(&assess(&searches(f64::NAN), false)).len(), 1);
        assert_eq!(failed(&assess(&[], true)).len(), 1);
        // NaN neither is a best nor hides one.
        assert_eq!(so_far(&[f64::NAN, 0.5, f64::NAN, 0.4, 0.6])[1..], [0.5, 0.5, 0.5, 0.6]);
    }
}
