//! `linear-collapse`: layers without an activation between them are one layer.
//!
//! (X W1 + b1) W2 + b2 = X (W1 W2) + (b1 W2 + b2). A narrow layer in between takes rank away: rank(W1 W2) is at most the width.

use nalgebra::DMatrix;
use tilelab_kernels::{Activation, Context, Epilogue, MatMut, MatRef};

use super::dense::Net;
use super::notebook::figure;
use super::passes::distance;
use super::{Entry, Failure, Outcome, Run};
use crate::measure::{Beside, Finding, Held};
use crate::mlp::Init;

pub const ENTRY: Entry = Entry {
    name: "linear-collapse",
    title: "Linear layers collapse",
    question: "Does a deep network without activations compute more than one layer, and can it compute less?",
    expects: "The notebook's two layers and their product both give 37; a deep linear network equals one matrix and bias within rounding; a 3-2-3 bottleneck has rank at most 2 where a 3 x 3 layer has 3.",
    run,
};

/// What was computed.
struct Data {
    /// The notebook's example: deep, collapsed.
    example: [f64; 2],
    /// Largest difference of the deep network's outputs from the collapsed one's, and its bound.
    deep: (f64, f64),
    /// Singular values: of the bottleneck's product, of a 3 x 3 layer.
    singular: [Vec<f64>; 2],
}

fn product(ctx: &Context, a: &[f64], b: &[f64], (m, k, n): (usize, usize, usize)) -> Result<Vec<f64>, Failure> {
    let mut c = vec![0.0; m * n];
    ctx.gemm(
        1.0,
        MatRef::row_major(a, m, k)?,
        MatRef::row_major(b, k, n)?,
        0.0,
        MatMut::row_major(&mut c, m, n)?,
        Epilogue::none(),
    )?;
    Ok(c)
}

/// All layers as one.
fn collapsed(ctx: &Context, net: &Net) -> Result<Net, Failure> {
    let inputs = net.widths[0];
    let (mut weights, mut bias) = (net.weights[0].clone(), net.biases[0].clone());
    for l in 1..net.depth() {
        let (k, n) = (net.widths[l], net.widths[l + 1]);
        weights = product(ctx, &weights, &net.weights[l], (inputs, k, n))?;
        bias = product(ctx, &bias, &net.weights[l], (1, k, n))?;
        bias.iter_mut().zip(&net.biases[l]).for_each(|(b, add)| *b += add);
    }
    Ok(Net {
        widths: vec![inputs, bias.len()],
        activation: net.activation,
        weights: vec![weights],
        biases: vec![bias],
    })
}

/// The same network with the absolute value of every number: its outputs bound what rounding can do.
fn absolute(net: &Net) -> Net {
    let positive = |lists: &[Vec<f64>]| {
        lists
            .iter()
            .map(|list| list.iter().map(|x| x.abs()).collect())
            .collect()
    };
    Net {
        weights: positive(&net.weights),
        biases: positive(&net.biases),
        ..net.clone()
    }
}

fn singular_values(matrix: &[f64]) -> Vec<f64> {
    let values = DMatrix::from_row_slice(3, 3, matrix).svd(false, false).singular_values;
    let mut values: Vec<f64> = values.iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Singular values above NumPy's threshold: the largest times the size times eps. 0 for what is no number.
fn rank(singular: &[f64]) -> usize {
    let threshold = singular
        .first()
        .map_or(f64::NAN, |top| top * singular.len() as f64 * f64::EPSILON);
    singular.iter().filter(|&&value| value > threshold).count()
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let (ctx, seed) = (run.context()?, run.options().seed);
    let of = |name: &str| figure(&format!("/linear_collapse/{name}"));
    let one = |w: f64, b: f64| (vec![w], vec![b]);
    let ((w1, b1), (w2, b2)) = (one(of("w1"), of("b1")), one(of("w2"), of("b2")));
    let pair = Net {
        widths: vec![1, 1, 1],
        activation: Activation::Identity,
        weights: vec![w1, w2],
        biases: vec![b1, b2],
    };
    let x = [of("x")];
    let example = [
        pair.outputs(&ctx, &x, 1)?[0],
        collapsed(&ctx, &pair)?.outputs(&ctx, &x, 1)?[0],
    ];

    let widths = [12, 24, 16, 8, 20, 6];
    let net = Net::random(&widths, Activation::Identity, seed);
    let rows = 64;
    let inputs = Init::Normal { sigma: 1.0 }.weights(seed, 99, (rows, widths[0]));
    let sizes: Vec<f64> = inputs.iter().map(|x| x.abs()).collect();
    let most = absolute(&net)
        .outputs(&ctx, &sizes, rows)?
        .into_iter()
        .fold(0.0, f64::max);
    // Each of the two ways rounds every term at most once a factor and once an addition.
    let terms = widths.iter().sum::<usize>() + 4 * widths.len();
    let apart = distance(
        &net.outputs(&ctx, &inputs, rows)?,
        &collapsed(&ctx, &net)?.outputs(&ctx, &inputs, rows)?,
    );
    let normal = |layer, sizes| Init::Normal { sigma: 1.0 }.weights(seed, layer, sizes);
    let bottleneck = product(&ctx, &normal(1, (3, 2)), &normal(2, (2, 3)), (3, 2, 3))?;
    Ok(assess(&Data {
        example,
        deep: (apart, 2.0 * terms as f64 * f64::EPSILON * most),
        singular: [singular_values(&bottleneck), singular_values(&normal(3, (3, 3)))],
    }))
}

fn assess(data: &Data) -> Outcome {
    let [narrow, wide] = [0, 1].map(|at| rank(&data.singular[at]));
    let mut outcome = Outcome::new(Finding::LinearCollapses {
        error: data.deep.0,
        bottleneck_rank: narrow,
        layer_rank: wide,
    });
    let wanted = figure("/linear_collapse/y");
    outcome.equals("the notebook's two layers", data.example[0], wanted);
    outcome.equals("the same as one layer", data.example[1], wanted);
    outcome.at_most(
        "six deep layers against one, largest difference over its bound",
        data.deep.0 / data.deep.1,
        1.0,
    );
    outcome.at_most("rank of the 3-2-3 bottleneck", narrow as f64, 2.0);
    outcome.equals("rank of the 3 x 3 layer", wide as f64, 3.0);
    for (of, ours) in [
        ("deep: 3 (2 x 5 + 1) + 4", data.example[0]),
        ("one layer: 6 x 5 + 7", data.example[1]),
    ] {
        outcome.beside(Beside {
            of: of.to_owned(),
            figure: "y".to_owned(),
            notebook: wanted,
            ours,
            deviation: None,
            seeds: 1,
            held: Held::within(wanted, ours, 0.0, 0.0),
        });
    }
    let row = |name: &str, values: &[f64], rank: usize| {
        let mut row = vec![name.into()];
        row.extend((0..3).map(|at| values.get(at).copied().unwrap_or(f64::NAN).into()));
        row.push(rank.into());
        row
    };
    let rows = vec![
        row("3-2-3 bottleneck", &data.singular[0], narrow),
        row("3 x 3 layer", &data.singular[1], wide),
    ];
    outcome.sheet("Singular values", &["matrix", "first", "second", "third", "rank"], rows);
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
        let good = || Data {
            example: [37.0, 37.0],
            deep: (1e-14, 1e-12),
            singular: [vec![2.0, 1.0, 1e-17], vec![2.0, 1.0, 0.1]],
        };
        assert_holds(&assess(&good()));
        let breaks: [(&dyn Fn(&mut Data), usize); 5] = [
            (&|data| data.example[0] = 36.0, 0),
            (&|data| data.example[1] = f64::NAN, 1),
            (&|data| data.deep.0 = 1e-3, 2),
            (&|data| data.singular[0][2] = 0.1, 3),
            (&|data| data.singular[1][2] = f64::NAN, 4),
        ];
        for (harm, check) in breaks {
            let mut data = good();
            harm(&mut data);
            let outcome = assess(&data);
            assert_eq!(failed(&outcome), [outcome.checks()[check].name.clone()]);
        }
        // An activation between the layers: one matrix no longer does it.
        bed.run(|run| {
            let ctx = run.context()?;
            let net = Net::random(&[4, 8, 3], Activation::Relu, 1);
            let inputs = Init::Normal { sigma: 1.0 }.weights(1, 9, (8, 4));
            let one = collapsed(&ctx, &net)?;
            assert!(distance(&net.outputs(&ctx, &inputs, 8)?, &one.outputs(&ctx, &inputs, 8)?) > 0.1);
            Ok(())
        })
        .unwrap();
    }
}
