//! `sigmoid-tanh`: tanh(x) + 1 = 2 sigmoid(2x), and what it means for networks.
//!
//! sigmoid(z) = (tanh(z / 2) + 1) / 2, so a sigmoid network is a tanh network with other weights: halve what leads into a hidden
//! layer, and what leads out of it, and move half of the outgoing weights' column sums into the bias. The way back doubles
//! them. Both networks must give one output but for rounding, whose bound is carried along layer by layer: a product of n terms
//! rounds by at most (n + 4) eps (|H| |W| + |b|), errors of H pass through |W|, and sigmoid and tanh shrink or keep them.

use tilelab_kernels::{Activation, Context};

use super::dense::Net;
use super::passes::distance;
use super::{Entry, Failure, Outcome, Run, plot};
use crate::measure::{Finding, PlotAxis, Trace};
use crate::mlp::Init;

pub const ENTRY: Entry = Entry {
    name: "sigmoid-tanh",
    title: "Sigmoid and tanh are one family",
    question: "Is tanh(x) + 1 = 2 sigmoid(2x), and can a sigmoid network be turned into a tanh network and back?",
    expects: "Both sides agree to a few ulp on 100 points, and the rescaled networks give equal outputs within the bound of rounding.",
    run,
};

/// f32 numbers just above 1 lie this far apart.
const ULP_OF_ONE: f64 = f32::EPSILON as f64;

/// The network with the other activation that computes the same function. `share` is 1/2 to tanh, 2 back to sigmoid.
fn turned(net: &Net, to: Activation) -> Net {
    let back = to == Activation::Sigmoid;
    let (mut other, depth) = (net.clone(), net.depth());
    other.activation = to;
    for l in 0..depth {
        let (inputs, outputs) = (net.widths[l], net.widths[l + 1]);
        let (hidden_in, hidden_out) = (l > 0, l + 1 < depth);
        // sigmoid = (tanh + 1) / 2 and tanh = 2 sigmoid - 1: an incoming h' = scale h + shift.
        let (scale, shift) = if back { (2.0, -1.0) } else { (0.5, 0.5) };
        if hidden_in {
            for j in 0..outputs {
                let sum: f64 = (0..inputs).map(|i| net.weights[l][i * outputs + j]).sum();
                other.biases[l][j] += shift * sum;
            }
            other.weights[l].iter_mut().for_each(|w| *w *= scale);
        }
        if hidden_out {
            // tanh(z / 2), and sigmoid(2 z) on the way back.
            let steep = if back { 2.0 } else { 0.5 };
            other.weights[l].iter_mut().for_each(|w| *w *= steep);
            other.biases[l].iter_mut().for_each(|b| *b *= steep);
        }
    }
    other
}

/// Bound of the rounding in each output of a row, for one of the two networks.
fn rounding(net: &Net, row: &[f64]) -> f64 {
    let eps = f64::EPSILON;
    let (mut sizes, mut errors) = (row.iter().map(|x| x.abs()).collect::<Vec<_>>(), vec![0.0; row.len()]);
    for l in 0..net.depth() {
        let (inputs, outputs) = (net.widths[l], net.widths[l + 1]);
        let (mut next_sizes, mut next_errors) = (Vec::new(), Vec::new());
        for j in 0..outputs {
            let weight = |i: usize| net.weights[l][i * outputs + j].abs();
            let size = (0..inputs).map(|i| sizes[i] * weight(i)).sum::<f64>() + net.biases[l][j].abs();
            let carried: f64 = (0..inputs).map(|i| errors[i] * weight(i)).sum();
            // The weights themselves were rounded when they were turned, hence twice.
            next_errors.push(carried + 2.0 * (inputs + 4) as f64 * eps * size + 4.0 * eps);
            // Outputs of sigmoid and tanh are at most 1.
            next_sizes.push(if l + 1 < net.depth() { 1.0 } else { size });
        }
        (sizes, errors) = (next_sizes, next_errors);
    }
    errors.into_iter().fold(0.0, f64::max)
}

/// What was computed.
struct Data {
    x: Vec<f64>,
    /// tanh(x) + 1 and 2 sigmoid(2x), f32.
    sides: [Vec<f64>; 2],
    /// Largest difference of the tanh network's outputs from the sigmoid network's, and its bound.
    turned: (f64, f64),
    /// The same there and back.
    back: (f64, f64),
}

fn sides(ctx: &Context, x: &[f64]) -> Result<[Vec<f64>; 2], Failure> {
    let single = |scale: f64| x.iter().map(|x| (scale * x) as f32).collect::<Vec<f32>>();
    let (mut left, mut right) = (vec![0.0f32; x.len()], vec![0.0f32; x.len()]);
    ctx.activate(Activation::Tanh, &single(1.0), &mut left)?;
    ctx.activate(Activation::Sigmoid, &single(2.0), &mut right)?;
    Ok([
        left.iter().map(|y| f64::from(y + 1.0)).collect(),
        right.iter().map(|y| f64::from(2.0 * y)).collect(),
    ])
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let ctx = run.context()?;
    // As numpy's linspace(-5, 5, 100).
    let x: Vec<f64> = (0..100).map(|i| -5.0 + 10.0 * f64::from(i) / 99.0).collect();
    let sides = sides(&ctx, &x)?;
    let net = Net::random(&[20, 16, 8, 3], Activation::Sigmoid, run.options().seed);
    let (as_tanh, rows) = (turned(&net, Activation::Tanh), 32);
    let again = turned(&as_tanh, Activation::Sigmoid);
    let inputs = Init::Normal { sigma: 1.0 }.weights(run.options().seed, 99, (rows, 20));
    let outputs = |net: &Net| net.outputs(&ctx, &inputs, rows);
    let bound = inputs
        .chunks_exact(20)
        .map(|row| rounding(&net, row) + rounding(&as_tanh, row));
    let bound = bound.fold(0.0, f64::max);
    let first = outputs(&net)?;
    Ok(assess(&Data {
        x,
        sides,
        turned: (distance(&outputs(&as_tanh)?, &first), bound),
        back: (distance(&outputs(&again)?, &first), 2.0 * bound),
    }))
}

fn assess(data: &Data) -> Outcome {
    let apart = distance(&data.sides[0], &data.sides[1]) / ULP_OF_ONE;
    let mut outcome = Outcome::new(Finding::SigmoidIsTanh {
        ulps: apart,
        network_error: data.turned.0,
    });
    // tanh and sigmoid within 2 ulp of numbers below 1, the sum and the product rounded once each.
    outcome.at_most(
        "tanh(x) + 1 against 2 sigmoid(2x), largest difference in ulp of 1",
        apart,
        4.0,
    );
    outcome.at_most(
        "sigmoid network turned into tanh, over its bound",
        data.turned.0 / data.turned.1,
        1.0,
    );
    outcome.at_most("and back, over its bound", data.back.0 / data.back.1, 1.0);
    let names = ["tanh(x) + 1", "2 sigmoid(2x)"];
    let trace = |side: usize| {
        Trace::line(
            names[side],
            data.x.iter().copied().zip(data.sides[side].iter().copied()),
        )
    };
    let axis = |label: &str| PlotAxis::new(label, "");
    outcome.plot(plot("Both sides", axis("x"), axis("value"), vec![trace(0), trace(1)]));
    let gap = data.x.iter().zip(data.sides[0].iter().zip(&data.sides[1]));
    let gap = Trace::line("difference", gap.map(|(&x, (a, b))| (x, (a - b) / ULP_OF_ONE)));
    outcome.plot(plot(
        "What lies between them",
        axis("x"),
        PlotAxis::new("difference", "ulp of 1"),
        vec![gap],
    ));
    let rows = [("sigmoid to tanh", data.turned), ("and back", data.back)];
    let rows = rows.map(|(name, (error, bound))| vec![name.into(), error.into(), bound.into()]);
    outcome.sheet(
        "A 20-16-8-3 network on 32 rows, f64",
        &["turned", "largest difference", "bound"],
        rows.into(),
    );
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn it_holds_and_each_break_is_found() {
        let bed = Bed::new();
        assert_holds(&bed.run(run).unwrap());
        bed.run(|run| {
            let ctx = run.context()?;
            let x = vec![-1.0, 0.5, 2.0];
            let good = || {
                Ok::<_, Failure>(Data {
                    sides: sides(&ctx, &x)?,
                    x: x.clone(),
                    turned: (1e-16, 1e-14),
                    back: (0.0, 1e-14),
                })
            };
            assert_holds(&assess(&good()?));
            // sigmoid(x) where sigmoid(2x) belongs; an output off; NaN.
            let mut data = good()?;
            let mut wrong = vec![0.0; 3];
            ctx.activate(Activation::Sigmoid, &x, &mut wrong)?;
            data.sides[1] = wrong.iter().map(|y| 2.0 * y).collect();
            assert_eq!(failed(&assess(&data)).len(), 1);
            let mut data = good()?;
            data.turned.0 = 1e-3;
            data.back.0 = f64::NAN;
            assert_eq!(failed(&assess(&data)).len(), 2);
            // A network whose bias was forgotten is no longer the same function.
            let net = Net::random(&[4, 3, 2], Activation::Sigmoid, 1);
            let mut forgot = turned(&net, Activation::Tanh);
            forgot.biases[1].clone_from(&net.biases[1]);
            let inputs = [0.3, -0.2, 1.0, 0.5];
            let apart = distance(&net.outputs(&ctx, &inputs, 1)?, &forgot.outputs(&ctx, &inputs, 1)?);
            assert!(apart > 1e3 * rounding(&net, &inputs), "{apart}");
            Ok(())
        })
        .unwrap();
    }
}
