//! Against central differences of the gradient in f64, for every activation and loss.

use tilelab::hessian::{Directions, Setup};

use crate::support::{Gradient, Rows, by_products, close, formula, model, point, setup};

/// Small enough that no kink lies between the two sides, which is asserted; large enough that the gradient's rounding stays below.
const STEP: f64 = 1e-5;

fn check(model: &tilelab::mlp::Model, norm_training: bool, l2: f64) {
    let (rows, all) = (Rows::new(9, model), Directions::of(model, "all").unwrap());
    let at = formula(model);
    let n = at.len();
    let mut gradient = Gradient::new(model, &rows, norm_training, l2);
    let mut expected = vec![0.0; n * n];
    for i in 0..n {
        let mut side = |by: f64| {
            let mut moved = at.clone();
            moved[i] += by;
            gradient.at(&moved)
        };
        let ((above, signs), (below, other_signs)) = (side(STEP), side(-STEP));
        assert_eq!(signs, other_signs, "a kink lies within {STEP} of the point");
        for (j, (above, below)) in above.iter().zip(below).enumerate() {
            expected[i * n + j] = (above - below) / (2.0 * STEP);
        }
    }
    let setup = Setup {
        norm_training,
        l2,
        ..setup(model, &all)
    };
    let got = by_products(&setup, &point(model, &at), &rows);
    let what = format!("{:?} {:?} {:?}", model.widths(), model.activation(), model.loss());
    close(&got, &expected, 1e-6, &what);
}

#[test]
fn every_activation_and_loss() {
    let activations = [
        "relu",
        "identity",
        "sigmoid",
        "tanh",
        "gelu",
        "gelu-tanh",
        "leaky-relu:0.1",
        "leaky-relu:-0.2",
        "prelu",
        "elu:0.7",
        "elu:-0.5",
        "swish:1.5",
    ];
    let losses = ["cross-entropy", "cross-entropy:0.2", "mse", "bce"];
    for (i, activation) in activations.into_iter().enumerate() {
        check(&model(&[3, 4, 3, 2], activation, losses[i % 4]), false, 0.0);
    }
    for loss in losses {
        check(&model(&[3, 4, 3], "tanh", loss), false, 0.03);
    }
    check(&model(&[3, 4, 1], "gelu", "bce"), false, 0.0);
    check(&model(&[4, 3], "relu", "cross-entropy"), false, 0.0);
}

#[test]
fn batch_norm_in_both_modes_and_learned_parameters() {
    for training in [true, false] {
        for activation in ["tanh", "prelu", "swish"] {
            let model = model(&[3, 4, 3, 2], activation, "cross-entropy").with_batch_norm(true);
            check(&model.with_learned_beta(activation == "swish"), training, 0.0);
        }
    }
}
