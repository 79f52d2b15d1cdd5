//! `activation-choice`: one network with seven activations, several seeds each: is the order real or noise?
//!
//! The difference of two means over n seeds has the standard error sqrt((s1^2 + s2^2) / n); the best is called so only where it lies
//! more than two of them above the next.

use tilelab_kernels::Activation;

use super::seeds;
use super::{Entry, Failure, Outcome, Run, Trained, notebook, plot};
use crate::measure::{Beside, Finding, Held, PlotAxis, Trace};
use crate::mlp::{Init, Optimizer, TrainOptions, activation_name};

pub const ENTRY: Entry = Entry {
    name: "activation-choice",
    title: "Which activation works best",
    question: "Which activation works best, and is the order more than noise?",
    expects: "All of them come within a few percent of one another; one run each, as in the notebook, cannot order them.",
    run,
};

/// Standard errors that count as more than noise.
const SIGNIFICANT: f64 = 2.0;

/// The activations, and where the notebook has their accuracy.
const CHOICES: [(Activation, Option<&str>); 7] = [
    (Activation::Relu, Some("relu")),
    (Activation::Sigmoid, Some("sigmoid")),
    (Activation::Tanh, Some("tanh")),
    (Activation::LeakyRelu { slope: 0.01 }, Some("leaky_relu 0.01")),
    (Activation::Elu { alpha: 1.0 }, Some("elu")),
    (Activation::Gelu, None),
    (Activation::Swish { beta: 1.0 }, None),
];

/// All runs with one activation.
struct Choice {
    activation: Activation,
    runs: Vec<Trained>,
}

impl Choice {
    fn accuracies(&self) -> Vec<f64> {
        seeds::figures(&self.runs, Trained::test_acc)
    }

    fn mean(&self) -> f64 {
        seeds::mean(&self.accuracies())
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let data = run.fashion()?;
    let mut choices = Vec::new();
    for (activation, _) in CHOICES {
        let options = TrainOptions {
            layers: vec![784, 256, 128, 10],
            activation,
            init: Init::Torch,
            optimizer: Optimizer::Adam { decoupled: false },
            lr: 0.001,
            batch: 128,
            epochs: run.pick(3, 5),
            ..run.base()
        };
        let runs = seeds::train(run, &activation_name(activation), &options, &data, run.pick(3, 5))?;
        choices.push(Choice { activation, runs });
    }
    Ok(assess(&choices, run.options().full))
}

fn assess(choices: &[Choice], full: bool) -> Outcome {
    let mut order: Vec<&Choice> = choices.iter().collect();
    order.sort_by(|a, b| b.mean().total_cmp(&a.mean()));
    let [first, second, ..] = order[..] else {
        return Outcome::new(Finding::ChecksFailed {
            failed: vec!["fewer than two activations were run".to_owned()],
        });
    };
    let spread = |choice: &Choice| seeds::deviation(&choice.accuracies());
    let error = ((spread(first).powi(2) + spread(second).powi(2)) / first.runs.len() as f64).sqrt();
    let gap = first.mean() - second.mean();
    let (best, next) = (activation_name(first.activation), activation_name(second.activation));
    let mut outcome = Outcome::new(if gap > SIGNIFICANT * error {
        Finding::OrderIsReal { best, next, gap, error }
    } else {
        Finding::OrderIsNoise { best, next, gap, error }
    });
    let least = choices.iter().map(Choice::mean);
    let least = least.fold(
        f64::INFINITY,
        |least, acc| if acc < least || acc.is_nan() { acc } else { least },
    );
    outcome.at_least("smallest mean test accuracy", least, if full { 0.8 } else { 0.7 });
    outcome.at_most(
        "largest deviation over seeds",
        choices.iter().map(spread).fold(0.0, f64::max),
        0.05,
    );
    let mut rows = Vec::new();
    for choice in &order {
        let place = CHOICES.iter().find(|(activation, _)| *activation == choice.activation);
        let printed = place
            .and_then(|(_, name)| *name)
            .map(|name| notebook::figure(&format!("/activations/test_acc/{name}")));
        let name = activation_name(choice.activation);
        if let Some(printed) = printed {
            outcome.beside(Beside {
                of: name.clone(),
                figure: "test accuracy".to_owned(),
                notebook: printed,
                ours: choice.mean(),
                deviation: Some(spread(choice)),
                seeds: choice.runs.len(),
                held: Held::Nothing,
            });
        }
        rows.push(vec![
            name.into(),
            choice.mean().into(),
            spread(choice).into(),
            printed.map_or("-".into(), Into::into),
        ]);
    }
    let traces = choices.iter().enumerate().map(|(at, choice)| {
        let place = [(at as f64 + 1.0, choice.mean())];
        Trace::points(activation_name(choice.activation), place).with_error(vec![spread(choice)])
    });
    let (x, y) = (
        PlotAxis::new("activation", "").whole(),
        PlotAxis::new("test accuracy", ""),
    );
    let mut accuracies = plot("Test accuracy by activation", x, y, traces.collect());
    accuracies.note = "Bars are one standard deviation over the seeds.".to_owned();
    outcome.plot(accuracies);
    outcome.sheet(
        "Every activation, best first",
        &["activation", "test accuracy", "deviation", "notebook's"],
        rows,
    );
    if !full {
        outcome.shrunk("10,000 of 60,000 images, 3 epochs of 5, 3 seeds of 5.");
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
        let choice = |activation, accuracies: [f64; 3]| Choice {
            activation,
            runs: accuracies.map(|acc| made::run(&[0.5], acc)).into(),
        };
        let choices = |tanh| {
            vec![
                choice(Activation::Relu, [0.87, 0.871, 0.872]),
                choice(Activation::Tanh, tanh),
            ]
        };
        let real = assess(&choices([0.879, 0.88, 0.881]), true);
        assert_holds(&real);
        assert!(matches!(real.finding(), Finding::OrderIsReal { best, .. } if best == "tanh"));
        let noise = assess(&choices([0.86, 0.872, 0.884]), true);
        assert!(matches!(noise.finding(), Finding::OrderIsNoise { .. }));
        // An activation that lost its derivative learns nothing; one that diverges is NaN.
        assert_eq!(failed(&assess(&choices([0.1, 0.1, 0.1]), true)).len(), 1);
        assert!(!failed(&assess(&choices([f64::NAN, 0.88, 0.88]), true)).is_empty());
        assert!(matches!(assess(&[], true).finding(), Finding::ChecksFailed { .. }));
    }
}
