//! `activations`: every activation and its derivative on [-10, 10].
//!
//! A derivative is held against the central difference (f(x + h) - f(x - h)) / 2h in f64. Its truncation is h^2 / 6 times the
//! third derivative, which swish's beta scales by beta^2 (f is x sigmoid(beta x)), and its rounding a few eps |f| / h. At a kink
//! the derivative is the stated value (`kernels/src/activation.rs`), not a limit.

use tilelab_kernels::{Activation, Context, Saves};

use super::{Entry, Failure, Outcome, Run, plot};
use crate::measure::{Erratum, Finding, PlotAxis, Trace};
use crate::mlp::activation_name;

pub const ENTRY: Entry = Entry {
    name: "activations",
    title: "Activations and their derivatives",
    question: "What do the activations and their derivatives look like, and is each derivative the slope of its function?",
    expects: "Each derivative equals the central difference of its function but at a kink, where it has its stated value; swish goes to x / 2 as beta goes to 0, and to relu as beta grows.",
    run,
};

/// Half of the central difference's step.
const STEP: f64 = 1e-5;
/// The beta that stands for 0.
const TINY_BETA: f64 = 1e-6;
/// Distance of two points; a power of two, so that the kink at 0 is one of them.
const SPACING: f64 = 0.25;

/// Charts: a title and its functions.
fn groups() -> [(&'static str, Vec<Activation>); 3] {
    let swish = |beta| Activation::Swish { beta };
    [
        (
            "with a kink at 0",
            vec![
                Activation::Relu,
                Activation::PRelu { alpha: 0.1 },
                Activation::LeakyRelu { slope: 0.01 },
                Activation::Elu { alpha: 1.0 },
            ],
        ),
        ("smooth", vec![Activation::Sigmoid, Activation::Tanh, Activation::Gelu]),
        ("swish by beta", [TINY_BETA, 0.5, 1.0, 2.0, 100.0].map(swish).into()),
    ]
}

/// The derivative at a kink, where there is one: the notebook's for relu and prelu.
fn at_kink(activation: Activation) -> Option<f64> {
    match activation {
        Activation::Relu => Some(0.0),
        Activation::PRelu { .. } => Some(1.0),
        Activation::LeakyRelu { slope } => Some(slope),
        Activation::Elu { alpha } => Some(alpha),
        _ => None,
    }
}

/// Who computes: (activation, points) -> values.
type Values<'a> = &'a dyn Fn(Activation, &[f64]) -> Result<Vec<f64>, Failure>;

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let ctx = run.context()?;
    assess(&|f, x| value(&ctx, f, x), &|f, x| slope(&ctx, f, x))
}

fn value(ctx: &Context, activation: Activation, x: &[f64]) -> Result<Vec<f64>, Failure> {
    let mut y = vec![0.0; x.len()];
    ctx.activate(activation, x, &mut y)?;
    Ok(y)
}

fn slope(ctx: &Context, activation: Activation, x: &[f64]) -> Result<Vec<f64>, Failure> {
    let saved = match activation.saves() {
        Saves::Input => x.to_vec(),
        Saves::Output => value(ctx, activation, x)?,
    };
    let mut slopes = vec![0.0; x.len()];
    ctx.activate_backward(activation, &saved, &vec![1.0; x.len()], &mut slopes)?;
    Ok(slopes)
}

/// Largest |slope - central difference| over its bound, away from a kink.
fn error_over_bound(activation: Activation, x: &[f64], values: Values<'_>, slopes: &[f64]) -> Result<f64, Failure> {
    let moved = |by: f64| x.iter().map(|x| x + by).collect::<Vec<f64>>();
    let (above, below) = (values(activation, &moved(STEP))?, values(activation, &moved(-STEP))?);
    let curvature = match activation {
        Activation::Swish { beta } => beta.powi(2).max(1.0),
        _ => 1.0,
    };
    let mut worst = 0.0f64;
    for i in 0..x.len() {
        if x[i] == 0.0 && at_kink(activation).is_some() {
            continue;
        }
        let difference = (above[i] - below[i]) / (2.0 * STEP);
        let size = above[i].abs().max(below[i].abs()).max(x[i].abs());
        let bound = STEP.powi(2) / 6.0 * curvature + 8.0 * f64::EPSILON * (1.0 + size) / STEP;
        let error = (slopes[i] - difference).abs() / bound;
        worst = if error > worst || error.is_nan() { error } else { worst };
    }
    Ok(worst)
}

fn assess(values: Values<'_>, slopes: Values<'_>) -> Result<Outcome, Failure> {
    let x: Vec<f64> = (-40..=40).map(|i| f64::from(i) * SPACING).collect();
    let zero = x.len() / 2;
    let (mut plots, mut rows) = (Vec::new(), Vec::new());
    let (mut worst, mut wrong_at_kinks) = (0.0f64, 0usize);
    for (title, activations) in groups() {
        let (mut functions, mut derivatives) = (Vec::new(), Vec::new());
        for &activation in &activations {
            let name = activation_name(activation);
            let (y, dy) = (values(activation, &x)?, slopes(activation, &x)?);
            let error = error_over_bound(activation, &x, values, &dy)?;
            worst = if error > worst || error.is_nan() { error } else { worst };
            let stated = at_kink(activation);
            wrong_at_kinks += usize::from(stated.is_some_and(|stated| dy[zero] != stated));
            let kink = stated.map_or("-".into(), Into::into);
            rows.push(vec![
                name.clone().into(),
                y[0].into(),
                y[80].into(),
                kink,
                dy[zero].into(),
                error.into(),
            ]);
            functions.push(Trace::line(name.clone(), x.iter().copied().zip(y)));
            derivatives.push(Trace::line(name, x.iter().copied().zip(dy)));
        }
        let axis = |label: &str| PlotAxis::new(label, "");
        plots.push(plot(&format!("Functions, {title}"), axis("x"), axis("f(x)"), functions));
        plots.push(plot(
            &format!("Derivatives, {title}"),
            axis("x"),
            axis("f'(x)"),
            derivatives,
        ));
    }
    let mut outcome = Outcome::new(Finding::DerivativesHold {
        activations: rows.len(),
        error_over_bound: worst,
    });
    outcome.at_most("largest |derivative - central difference| over its bound", worst, 1.0);
    outcome.equals("kinks without their stated value", wrong_at_kinks as f64, 0.0);
    let flat = values(Activation::Swish { beta: TINY_BETA }, &x)?;
    let far = |share: f64| {
        flat.iter()
            .zip(&x)
            .map(|(y, x)| (y - share * x).abs())
            .fold(0.0, f64::max)
    };
    let (from_half, from_x) = (far(0.5), far(1.0));
    // x sigmoid(beta x) = x / 2 + beta x^2 / 4 - ..
    outcome.at_most(
        "swish at beta 1e-6: largest distance from x / 2",
        from_half,
        1.01 * TINY_BETA * 100.0 / 4.0,
    );
    let beta = TINY_BETA;
    outcome.erratum(Erratum::SwishAtZero {
        beta,
        from_half,
        from_x,
    });
    plots.into_iter().for_each(|plot| outcome.plot(plot));
    let head = [
        "activation",
        "f(-10)",
        "f(10)",
        "stated f'(0)",
        "f'(0)",
        "error / bound",
    ];
    outcome.sheet("Each activation", &head, rows);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn derivatives_hold_and_a_wrong_one_is_found() {
        let bed = Bed::new();
        assert_holds(&bed.run(run).unwrap());
        bed.run(|run| {
            let ctx = run.context()?;
            let value = |f, x: &[f64]| value(&ctx, f, x);
            // One sign lost, one kink moved, one NaN.
            for (broken, check) in [(2.5, 0), (0.0, 1), (f64::NAN, 0)] {
                let outcome = assess(&value, &|f, x: &[f64]| {
                    let mut slopes = slope(&ctx, f, x)?;
                    match f {
                        Activation::Relu if broken == 0.0 => slopes[40] = 1.0,
                        Activation::Tanh if broken != 0.0 => slopes[45] += broken,
                        _ => {}
                    }
                    Ok(slopes)
                })?;
                assert_eq!(failed(&outcome), [outcome.checks()[check].name.clone()]);
            }
            let as_notebook = assess(
                &|f, x| match f {
                    Activation::Swish { beta } if beta == TINY_BETA => Ok(x.to_vec()),
                    _ => value(f, x),
                },
                &|f, x| slope(&ctx, f, x),
            )?;
            assert!(failed(&as_notebook).contains(&as_notebook.checks()[2].name));
            Ok(())
        })
        .unwrap();
    }
}
