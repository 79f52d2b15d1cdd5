//! The closed form against products, over every selection of parameters, and exactly symmetric.

use tilelab::hessian::Directions;
use tilelab::hessian::closed::{Closed, has_closed_form};
use tilelab_kernels::{Context, Float, Isa, Threads};

use crate::support::{Rows, by_products, close, formula, model, point, setup};

fn closed<T: Float>(model: &tilelab::mlp::Model, of: &str, rows: &Rows) -> Vec<T> {
    let some = Directions::of(model, of).unwrap();
    let context = Context::new(Isa::selected().unwrap(), Threads::one()).unwrap();
    let (x, labels) = rows.data().values::<T>();
    let mut closed = Closed::new(&context, model, &some, &x, &labels).unwrap().with_l2(0.05);
    closed.move_to(&point(model, &formula(model)));
    // A reused buffer: what was in it counts for nothing.
    let mut out = vec![T::from_f64(f64::NAN); some.size() * some.size()];
    closed.hessian(&mut out);
    let first = out.clone();
    closed.hessian(&mut out);
    assert!(first == out, "{of}: the second call gives other bits");
    out
}

#[test]
fn it_equals_products_for_any_selection() {
    for (layers, activation, loss) in [
        (vec![3, 18, 4], "relu", "mse"),
        (vec![5, 7, 3], "tanh", "cross-entropy:0.1"),
        (vec![2, 33, 2], "gelu", "bce"),
        (vec![4, 5, 1], "swish:0.7", "bce"),
        (vec![1, 1, 1], "sigmoid", "mse"),
    ] {
        let model = model(&layers, activation, loss);
        let rows = Rows::new(11, &model);
        for of in [
            "all", "W1", "b1", "W2", "b2", "layer1", "layer2", "W1,W2", "b1,b2", "b1,W2", "W1,b2",
        ] {
            let some = Directions::of(&model, of).unwrap();
            let products = tilelab::hessian::Setup {
                l2: 0.05,
                ..setup(&model, &some)
            };
            let expected = by_products(&products, &point(&model, &formula(&model)), &rows);
            let got = closed::<f64>(&model, of, &rows);
            let what = format!("{layers:?} {activation} {loss} {of}");
            close(&got, &expected, 1e-12, &what);
            let single: Vec<f64> = closed::<f32>(&model, of, &rows).into_iter().map(f64::from).collect();
            close(&single, &expected, 2e-5, &format!("{what} f32"));
            let n = some.size();
            let is_symmetric =
                (0..n * n).all(|at| got[at] == got[at % n * n + at / n] && single[at] == single[at % n * n + at / n]);
            assert!(is_symmetric, "{what}: symmetric to the bit");
        }
    }
}

#[test]
fn the_output_layer_of_a_deep_net() {
    let deep = model(&[3, 5, 4, 6, 3], "tanh", "cross-entropy");
    let rows = Rows::new(10, &deep);
    for of in ["layer4", "W4", "b4"] {
        let some = Directions::of(&deep, of).unwrap();
        assert!(has_closed_form(&deep, &some));
        let products = tilelab::hessian::Setup {
            l2: 0.05,
            ..setup(&deep, &some)
        };
        let expected = by_products(&products, &point(&deep, &formula(&deep)), &rows);
        close(&closed::<f64>(&deep, of, &rows), &expected, 1e-12, of);
    }
    assert!(!has_closed_form(&deep, &Directions::of(&deep, "layer3").unwrap()));
    let normed = deep.with_batch_norm(true);
    assert!(!has_closed_form(&normed, &Directions::of(&normed, "layer4").unwrap()));
}
