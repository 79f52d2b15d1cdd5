//! Where the notebook is wrong: one section, from what the experiments found.

use crate::measure::{Body, Erratum, Record};
use crate::report::format::{number, plural};

use super::super::{Column, Layout, Section, Table, Tone, Verdict, slug};

/// The section; none without an erratum.
pub fn section(records: &[&Record]) -> Option<Section> {
    let mut rows = Vec::new();
    for record in records {
        if let Body::Experiment(experiment) = &record.body {
            for erratum in &experiment.errata {
                let [says, is] = words(erratum);
                rows.push(vec![says, is, experiment.experiment.clone()]);
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    let text = format!(
        "{} of the notebook, each shown by an experiment.",
        plural(rows.len(), "erratum").replace("erratums", "errata")
    );
    let head = ["the notebook says", "in fact", "shown by the experiment"];
    let table = Table {
        caption: "Errata".to_owned(),
        head: head.map(Column::text).into(),
        rows,
        wrong: Vec::new(),
        layout: Layout::Card,
    };
    Some(Section {
        id: slug("errata"),
        title: "Errata of the notebook".to_owned(),
        question: "Where is the notebook wrong?".to_owned(),
        verdict: Verdict::new(Tone::Plain, text),
        notes: Vec::new(),
        headline: None,
        quick: false,
        charts: Vec::new(),
        drawings: Vec::new(),
        tables: vec![table],
        heat: None,
        gallery: None,
        conditions: Vec::new(),
        source: None,
    })
}

/// What it says, and what is.
fn words(erratum: &Erratum) -> [String; 2] {
    match erratum {
        Erratum::SwishAtZero {
            beta,
            from_half,
            from_x,
        } => [
            "As beta goes to 0, swish goes to the linear function f(x) = x.".to_owned(),
            format!(
                "It goes to x / 2: at beta = {} it lies within {} of x / 2 on [−10, 10], and up to {} from x.",
                number(*beta),
                number(*from_half),
                number(*from_x)
            ),
        ],
        Erratum::GradientTransposed {
            shape,
            gradient,
            error,
            error_as_printed,
        } => [
            "The gradient of f by an n × m matrix X is n × m, and is then printed with ∂f/∂x₂₁ in row 1, column 2."
                .to_owned(),
            format!(
                "That layout is its transpose, m × n. The gradient of a {} × {} matrix is {} × {} and agrees with central differences to {}, entry by entry; read as printed it is off by {}.",
                shape.0,
                shape.1,
                gradient.0,
                gradient.1,
                number(*error),
                number(*error_as_printed)
            ),
        ],
        Erratum::HessianGrowth { exponent } => [
            "With second derivatives the number of operations grows exponentially.".to_owned(),
            format!(
                "It grows as a power: a Hessian of n numbers has n² entries, n products with the Hessian, each as dear as a few gradients. Its time went with the number of parameters to the power {}.",
                number(*exponent)
            ),
        ],
        Erratum::StallCalledOverfitting {
            train_loss,
            test_loss,
            he_train_loss,
        } => [
            "More hidden layers easily lead to overfitting (of the network whose accuracy stays at 10 %).".to_owned(),
            format!(
                "It never fits at all: its train loss stays at {}, its test loss at {} (ln 10 = 2.303). The first weights are too small for four hidden layers: with He's the same network reaches a train loss of {}.",
                number(*train_loss),
                number(*test_loss),
                number(*he_train_loss)
            ),
        ],
        Erratum::TrainingFootprint { formula, listed } => [
            format!("Training 100-50-10 takes {formula} numbers, by 2(hd + h + qh + q) + d + 3h + q."),
            format!(
                "The list that it adds up has {listed}: the formula drops h + q, namely ∂J/∂o and one of ∂J/∂h and ∂J/∂z."
            ),
        ],
        Erratum::ScratchInF64 {
            f64_over_f32,
            notebook_factor,
        } => [
            format!(
                "A framework is {} times as fast as a version from scratch.",
                number(*notebook_factor)
            ),
            format!(
                "The version from scratch computes in f64, the framework in f32. Plain loops over the same products take {} times as long in f64 as in f32: that much of the factor is the type, not the framework.",
                number(*f64_over_f32)
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_erratum_names_its_figures() {
        let (error, large) = (1e-9, 0.5);
        for erratum in [
            Erratum::SwishAtZero {
                beta: 1e-6,
                from_half: error,
                from_x: large,
            },
            Erratum::GradientTransposed {
                shape: (5, 4),
                gradient: (5, 4),
                error,
                error_as_printed: large,
            },
            Erratum::HessianGrowth { exponent: 2.125 },
            Erratum::StallCalledOverfitting {
                train_loss: std::f64::consts::LN_10,
                test_loss: 2.3027,
                he_train_loss: 0.3125,
            },
            Erratum::TrainingFootprint {
                formula: 11_380,
                listed: 11_440,
            },
            Erratum::ScratchInF64 {
                f64_over_f32: 1.75,
                notebook_factor: 2.142,
            },
        ] {
            let [says, is] = words(&erratum);
            assert!(
                says.ends_with('.') && is.ends_with('.') && is.chars().any(|c| c.is_ascii_digit()),
                "{is}"
            );
        }
    }
}
