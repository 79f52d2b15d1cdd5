//! Symmetry, the four matrices and how they hang together, parts of the parameters, and splits of directions and rows.

use tilelab::hessian::{Directions, HessianError, Operator, Products, Setup, SymmetricEigen, Which, dense};
use tilelab::program::Element;

use crate::support::{Gradient, Rows, by_products, close, formula, matrix, model, point, setup};

#[test]
fn products_are_symmetric() {
    let model = model(&[4, 5, 3], "gelu", "cross-entropy");
    let (rows, all) = (Rows::new(20, &model), Directions::of(&model, "all").unwrap());
    let n = all.size();
    let mut products = Products::new(&setup(&model, &all), &point(&model, &formula(&model)), rows.data()).unwrap();
    let units: Vec<f64> = (0..n * n).map(|at| f64::from(at / n == at % n)).collect();
    let mut h = vec![0.0; n * n];
    products.multiply(&units, &mut h).unwrap();
    let transposed: Vec<f64> = (0..n * n).map(|at| h[at % n * n + at / n]).collect();
    close(&h, &transposed, 1e-14, "H and its transpose");
    assert_eq!(products.count(), n as u64);
}

/// H less Gauss-Newton is the residual, the sum of g_c times the Hessian of output c: zero where the outputs are linear in the parameters,
/// and for relu zero on the diagonal and within each layer.
#[test]
fn hessian_is_gauss_newton_and_residual() {
    let linear = model(&[4, 3], "relu", "cross-entropy");
    let rows = Rows::new(12, &linear);
    close(
        &matrix(&linear, Which::Hessian, &rows),
        &matrix(&linear, Which::GaussNewton, &rows),
        1e-14,
        "a linear model",
    );

    let relu = model(&[3, 4, 3], "relu", "mse");
    let rows = Rows::new(12, &relu);
    let (h, gauss_newton) = (
        matrix(&relu, Which::Hessian, &rows),
        matrix(&relu, Which::GaussNewton, &rows),
    );
    let n = relu.parameters();
    let diagonal = |m: &[f64]| -> Vec<f64> { (0..n).map(|i| m[i * n + i]).collect() };
    close(&diagonal(&h), &diagonal(&gauss_newton), 1e-13, "relu's diagonal");
    assert!(
        h.iter().zip(&gauss_newton).any(|(h, g)| (h - g).abs() > 1e-3),
        "the residual is somewhere"
    );

    // The residual by itself: the loss' gradient is held where it is, so the objective is linear in the outputs. Its differences give it.
    let tanh = model(&[3, 4, 3], "tanh", "mse");
    let rows = Rows::new(12, &tanh);
    let (h, gauss_newton) = (
        matrix(&tanh, Which::Hessian, &rows),
        matrix(&tanh, Which::GaussNewton, &rows),
    );
    let n = tanh.parameters();
    let jacobian = jacobian_by_differences(&tanh, &rows);
    let outputs = jacobian.len() / n;
    let mut expected = vec![0.0; n * n];
    // Squared error: l'' is 2 / (rows outputs) for every output.
    let bend = 2.0 / outputs as f64;
    for o in jacobian.chunks_exact(n) {
        for (i, a) in o.iter().enumerate() {
            for (j, b) in o.iter().enumerate() {
                expected[i * n + j] += bend * a * b;
            }
        }
    }
    close(
        &gauss_newton,
        &expected,
        1e-6,
        "Gauss-Newton from the outputs' differences",
    );
    assert!(h.iter().zip(&gauss_newton).any(|(h, g)| (h - g).abs() > 1e-3));
    let smallest = SymmetricEigen::of(&gauss_newton, n).values[n - 1];
    assert!(smallest > -1e-12, "Gauss-Newton is positive semidefinite: {smallest}");
}

/// d output / d parameter: a row for each output of each sample.
fn jacobian_by_differences(model: &tilelab::mlp::Model, rows: &Rows) -> Vec<f64> {
    let (at, step) = (formula(model), 1e-5);
    let mut gradient = Gradient::new(model, rows, false, 0.0);
    let n = at.len();
    let mut columns = Vec::new();
    for i in 0..n {
        let mut side = |by: f64| {
            let mut moved = at.clone();
            moved[i] += by;
            gradient.at(&moved);
            gradient.outputs()
        };
        let (above, below) = (side(step), side(-step));
        columns.push(
            above
                .iter()
                .zip(below)
                .map(|(a, b)| (a - b) / (2.0 * step))
                .collect::<Vec<f64>>(),
        );
    }
    (0..columns[0].len() * n).map(|at| columns[at % n][at / n]).collect()
}

#[test]
fn the_empirical_fisher_is_the_sum_of_the_rows_own_gradients() {
    for loss in ["cross-entropy:0.1", "mse", "bce"] {
        let model = model(&[3, 4, 3], "gelu", loss);
        let rows = Rows::new(7, &model);
        let (n, at) = (model.parameters(), formula(&model));
        let mut expected = vec![0.0; n * n];
        for i in 0..7 {
            let one = Rows {
                values: rows.values[3 * i..][..3].to_vec(),
                labels: vec![rows.labels[i]],
                columns: 3,
            };
            let (g, _) = Gradient::new(&model, &one, false, 0.0).at(&at);
            for (j, a) in g.iter().enumerate() {
                for (k, b) in g.iter().enumerate() {
                    expected[j * n + k] += a * b / 7.0;
                }
            }
        }
        close(&matrix(&model, Which::EmpiricalFisher, &rows), &expected, 1e-11, loss);
    }
}

/// Each of many samples has the true Fisher as its expectation, so their mean comes near by the square root of their number.
#[test]
fn the_monte_carlo_fisher_goes_to_gauss_newton() {
    for loss in ["cross-entropy", "mse", "bce"] {
        let model = model(&[2, 3, 2], "tanh", loss);
        let (rows, all) = (Rows::new(6, &model), Directions::of(&model, "all").unwrap());
        let exact = matrix(&model, Which::GaussNewton, &rows);
        let far = |samples: usize| {
            let setup = Setup {
                which: Which::MonteCarloFisher,
                samples,
                together: 32,
                ..setup(&model, &all)
            };
            let got = by_products(&setup, &point(&model, &formula(&model)), &rows);
            let square = |m: &mut dyn Iterator<Item = f64>| m.map(|x| x * x).sum::<f64>().sqrt();
            square(&mut got.iter().zip(&exact).map(|(a, b)| a - b)) / square(&mut exact.iter().copied())
        };
        let (few, many) = (far(4), far(1600));
        assert!(
            many < 0.15 && many < few / 4.0,
            "{loss}: {few} with 4 samples, {many} with 1600"
        );
    }
}

#[test]
fn any_split_of_directions_and_rows_gives_the_same() {
    for which in Which::ALL {
        let model = model(&[4, 5, 3], "tanh", "cross-entropy");
        let (rows, all) = (Rows::new(23, &model), Directions::of(&model, "all").unwrap());
        let at = point(&model, &formula(&model));
        let whole = Setup {
            which,
            l2: 0.02,
            samples: 2,
            ..setup(&model, &all)
        };
        let expected = by_products(&whole, &at, &rows);
        for (together, chunk) in [(1, 4096), (64, 23), (7, 5), (5, 1)] {
            let split = Setup {
                together,
                chunk,
                ..whole
            };
            let what = format!("{which:?}, {together} directions, {chunk} rows at once");
            close(&by_products(&split, &at, &rows), &expected, 1e-13, &what);
        }
    }
}

#[test]
fn a_part_of_the_parameters_is_a_part_of_the_matrix() {
    let model = model(&[3, 4, 4, 2], "swish", "mse")
        .with_batch_norm(true)
        .with_learned_beta(true);
    let (rows, all) = (Rows::new(9, &model), Directions::of(&model, "all").unwrap());
    let at = point(&model, &formula(&model));
    let (whole, n) = (by_products(&setup(&model, &all), &at, &rows), all.size());
    for of in ["W1", "b1", "W2,b3", "layer3", "gamma1", "beta2,slope2", "slope1", "b2"] {
        let some = Directions::of(&model, of).unwrap();
        let places: Vec<usize> = some
            .parts()
            .iter()
            .flat_map(|part| {
                let there = all.parts().iter().find(|there| there.name == part.name).unwrap();
                there.offset..there.offset + there.len()
            })
            .collect();
        let expected: Vec<f64> = places
            .iter()
            .flat_map(|&i| places.iter().map(move |&j| (i, j)))
            .map(|(i, j)| whole[i * n + j])
            .collect();
        close(&by_products(&setup(&model, &some), &at, &rows), &expected, 1e-13, of);
    }
}

#[test]
fn the_diagonal_is_the_matrix_own() {
    let model = model(&[3, 4, 3], "relu", "cross-entropy");
    let (rows, all) = (Rows::new(9, &model), Directions::of(&model, "all").unwrap());
    let at = point(&model, &formula(&model));
    let (whole, n) = (by_products(&setup(&model, &all), &at, &rows), all.size());
    let mut products = Products::new(&setup(&model, &all), &at, rows.data()).unwrap();
    let expected: Vec<f64> = (0..n).map(|i| whole[i * n + i]).collect();
    close(&dense::diagonal(&mut products).unwrap(), &expected, 1e-14, "diagonal");
    let (estimate, errors) = tilelab::hessian::trace::diagonal(&mut products, 400, 3).unwrap();
    let far = estimate
        .iter()
        .zip(&expected)
        .zip(&errors)
        .filter(|((a, b), e)| (*a - *b).abs() > 4.0 * **e + 1e-12);
    assert_eq!(far.count(), 0, "estimates lie within four of their own errors");
}

#[test]
fn what_can_not_be_is_refused() {
    let coupled = model(&[3, 4, 2], "relu", "mse").with_batch_norm(true);
    let (rows, all) = (Rows::new(9, &coupled), Directions::of(&coupled, "all").unwrap());
    let split = Setup {
        chunk: 4,
        ..setup(&coupled, &all)
    };
    let at = point(&coupled, &formula(&coupled));
    let error = Products::new(&split, &at, rows.data()).err().unwrap();
    assert!(matches!(error, HessianError::Coupled { rows: 9, chunk: 4 }), "{error}");
    assert!(
        Products::new(
            &Setup {
                norm_training: false,
                ..split
            },
            &at,
            rows.data()
        )
        .is_ok()
    );

    let error = dense::fits(203_530, Element::F32, Some(1 << 30))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("154.3 GiB") && error.contains("tilelab hessian eig"),
        "{error}"
    );
    assert!(dense::fits(1000, Element::F64, Some(8_000_000)).is_ok());
    assert!(dense::fits(1000, Element::F64, Some(7_999_999)).is_err());

    let mut wild = formula(&coupled);
    wild[0] = f64::NAN;
    let mut products = Products::new(&setup(&coupled, &all), &point(&coupled, &wild), rows.data()).unwrap();
    let (v, mut out) = (vec![1.0; all.size()], vec![0.0; all.size()]);
    assert!(matches!(
        products.multiply(&v, &mut out),
        Err(HessianError::NotFinite(_))
    ));
}
