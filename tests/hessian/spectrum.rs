//! Eigenpairs, densities and traces: against dense matrices, and within the errors that they state.

use tilelab::hessian::density::density;
use tilelab::hessian::lanczos::{Wanted, eigenpairs};
use tilelab::hessian::trace::{Method, trace};
use tilelab::hessian::{HessianError, Operator, SymmetricEigen, Which};

use crate::support::{Rows, close, matrix, model};

/// A dense matrix that is known by its products alone.
struct Dense {
    values: Vec<f64>,
    size: usize,
    products: usize,
}

impl Operator for Dense {
    fn size(&self) -> usize {
        self.size
    }

    fn together(&self) -> usize {
        3
    }

    fn multiply(&mut self, vectors: &[f64], out: &mut [f64]) -> Result<(), HessianError> {
        let n = self.size;
        for (v, out) in vectors.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            self.products += 1;
            for (row, out) in self.values.chunks_exact(n).zip(out) {
                *out = row.iter().zip(v).map(|(a, b)| a * b).sum();
            }
        }
        Ok(())
    }
}

fn hessian(which: Which) -> Dense {
    let model = model(&[4, 6, 3], "tanh", "cross-entropy");
    let rows = Rows::new(30, &model);
    Dense {
        values: matrix(&model, which, &rows),
        size: model.parameters(),
        products: 0,
    }
}

#[test]
fn eigenpairs_are_those_of_the_dense_matrix() {
    let mut h = hessian(Which::Hessian);
    let exact = SymmetricEigen::of(&h.values, h.size).values;
    let n = exact.len();
    let wanted = Wanted {
        largest: 4,
        smallest: 3,
        tolerance: 1e-9,
        most_steps: 60,
        seed: 1,
    };
    let ends = eigenpairs(&mut h, wanted).unwrap();
    assert!(ends.converged);
    let top = exact_top(&exact);
    for (pair, exact) in ends
        .largest
        .iter()
        .zip(&exact)
        .chain(ends.smallest.iter().zip(exact.iter().rev()))
    {
        assert!(
            (pair.value - exact).abs() <= pair.residual + 1e-12,
            "{} within its bound of {exact}",
            pair.value
        );
        assert!(pair.residual <= 1e-8 * top, "{}", pair.residual);
    }
    // All of it.
    let all = eigenpairs(
        &mut h,
        Wanted {
            largest: n,
            smallest: 0,
            most_steps: n,
            ..wanted
        },
    )
    .unwrap();
    let values: Vec<f64> = all.largest.iter().map(|pair| pair.value).collect();
    close(&values, &exact, 1e-12, "the whole spectrum");
}

fn exact_values(h: &Dense) -> Vec<f64> {
    SymmetricEigen::of(&h.values, h.size).values
}

fn exact_top(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |top: f64, x| top.max(x.abs()))
}

/// Eigenvalues that are there several times are found several times, and a bound is honest where the steps run out.
#[test]
fn multiple_eigenvalues_and_too_few_steps() {
    let n = 12;
    let diagonal = |at: usize| [5.0, 5.0, 5.0, 1.0][at.min(3)];
    let values = (0..n * n)
        .map(|at| if at / n == at % n { diagonal(at / n) } else { 0.0 })
        .collect();
    let mut h = Dense {
        values,
        size: n,
        products: 0,
    };
    let wanted = Wanted {
        largest: 4,
        smallest: 1,
        tolerance: 1e-10,
        most_steps: n,
        seed: 2,
    };
    let ends = eigenpairs(
        &mut h,
        Wanted {
            tolerance: 0.0,
            ..wanted
        },
    )
    .unwrap();
    let values: Vec<f64> = ends.largest.iter().map(|pair| pair.value).collect();
    close(&values, &[5.0, 5.0, 5.0, 1.0], 1e-12, "5 three times");

    let mut h = hessian(Which::Hessian);
    let exact = exact_values(&h);
    let few = eigenpairs(
        &mut h,
        Wanted {
            largest: 1,
            smallest: 0,
            tolerance: 1e-12,
            most_steps: 4,
            seed: 1,
        },
    )
    .unwrap();
    assert!(!few.converged && few.steps == 4);
    let near = exact
        .iter()
        .fold(f64::INFINITY, |near: f64, x| near.min((x - few.largest[0].value).abs()));
    assert!(near <= few.largest[0].residual, "an eigenvalue lies within the bound");
    assert!(
        eigenpairs(
            &mut h,
            Wanted {
                largest: 0,
                smallest: 0,
                ..wanted
            }
        )
        .is_err()
    );
}

#[test]
fn a_density_has_weights_of_1_and_exact_moments() {
    let mut h = hessian(Which::Hessian);
    let (n, steps) = (h.size, 8);
    let seen = density(&mut h, 40, steps, 5).unwrap();
    for probe in &seen.probes {
        assert_eq!(probe.nodes.len(), steps);
        assert!(
            (probe.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12,
            "weights sum to 1"
        );
        assert!(probe.weights.iter().all(|w| *w >= 0.0));
    }
    // The first two moments of a probe are those of its vector, whatever the number of steps: two and more give the same.
    let again = density(&mut h, 40, 3, 5).unwrap();
    for power in [1, 2] {
        let ((a, _), (b, _)) = (seen.moment(power), again.moment(power));
        assert!((a - b).abs() < 1e-12 * a.abs().max(1e-3), "moment {power}: {a} and {b}");
    }
    let exact = exact_values(&h);
    for power in [1, 2, 3] {
        let ((got, error), mean) = (
            seen.moment(power),
            exact.iter().map(|x| x.powi(power)).sum::<f64>() / n as f64,
        );
        assert!(
            (got - mean).abs() <= 4.0 * error,
            "moment {power}: {got} +- {error}, it is {mean}"
        );
    }
    let area: f64 = seen
        .curve(400, 0.05)
        .windows(2)
        .map(|two| (two[1].0 - two[0].0) * (two[0].1 + two[1].1) / 2.0)
        .sum();
    assert!((area - 1.0).abs() < 0.01, "{area}");
}

/// Over 200 seeds: the mean lies where the trace is, and an interval of two standard errors holds it about as often as it says.
#[test]
fn traces_are_calibrated() {
    for which in [Which::Hessian, Which::GaussNewton] {
        let mut h = hessian(which);
        let exact: f64 = (0..h.size).map(|i| h.values[i * h.size + i]).sum();
        for (method, products) in [
            (Method::Hutchinson, 24),
            (Method::HutchPlusPlus, 24),
            (Method::XTrace, 24),
        ] {
            let before = h.products;
            let all: Vec<_> = (0..200)
                .map(|seed| trace(&mut h, method, products, seed).unwrap())
                .collect();
            let taken: usize = all.iter().map(|estimate| estimate.products).sum();
            assert_eq!(h.products - before, taken, "{method:?} says how many products it took");
            assert!(taken <= 200 * products);
            let mean = all.iter().map(|estimate| estimate.value).sum::<f64>() / 200.0;
            let spread = (all.iter().map(|estimate| (estimate.value - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
            let name = format!("{which:?} {method:?}");
            assert!(
                (mean - exact).abs() <= 4.0 * spread / 200f64.sqrt() + 1e-9,
                "{name}: {mean}, it is {exact}"
            );
            let within = all
                .iter()
                .filter(|e| (e.value - exact).abs() <= 2.0 * e.standard_error + 1e-9)
                .count();
            // Two of Student's t with 7 to 23 degrees of freedom: 91 to 94 percent; XTrace's values depend on each other.
            assert!(within >= 165, "{name}: {within} of 200 within two standard errors");
            let stated = (all.iter().map(|e| e.standard_error.powi(2)).sum::<f64>() / 200.0).sqrt();
            assert!(
                stated > 0.6 * spread - 1e-9 && stated < 1.8 * spread + 1e-9,
                "{name}: states {stated}, it is {spread}"
            );
        }
    }
    let error = trace(&mut hessian(Which::Hessian), Method::XTrace, 3, 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains("at least 4"), "{error}");
}

/// A matrix of low rank is had exactly by those that look for its range.
#[test]
fn low_rank_is_exact() {
    let n = 30;
    let v: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin()).collect();
    let values = (0..n * n).map(|at| v[at / n] * v[at % n]).collect();
    let mut h = Dense {
        values,
        size: n,
        products: 0,
    };
    let exact: f64 = v.iter().map(|x| x * x).sum();
    for method in [Method::HutchPlusPlus, Method::XTrace] {
        let got = trace(&mut h, method, 12, 1).unwrap();
        assert!(
            (got.value - exact).abs() < 1e-10 && got.standard_error < 1e-10,
            "{method:?}: {got:?}"
        );
    }
}
