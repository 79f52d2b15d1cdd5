//! 784-256-10 on the embedded part of Fashion-MNIST, whose dense matrix nobody could hold: the largest eigenvalue against SciPy's.

use serde::Deserialize;
use tilelab::data::{Places, fashion_mnist};
use tilelab::device::Set;
use tilelab::hessian::lanczos::{Wanted, eigenpairs};
use tilelab::hessian::{Data, Directions, Products, Setup};
use tilelab_kernels::Threads;

use crate::support::{formula, model, point};

#[derive(Deserialize)]
struct Golden {
    rows: usize,
    largest: Vec<f64>,
}

/// The figure is `tests/golden/eigenvalue.py`'s: eigsh over PyTorch products, in f64. Ours is in f32.
#[test]
fn the_largest_eigenvalue_is_scipys() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/eigenvalue.json")).unwrap();
    // The embedded part, whatever this machine has beside it.
    let data = fashion_mnist::load(&Places::default()).unwrap();
    let model = model(&[784, 256, 10], "relu", "cross-entropy");
    let vector: Vec<f64> = formula(&model).into_iter().map(|x| x / 16.0).collect();
    let all = Directions::of(&model, "all").unwrap();
    let setup = Setup {
        together: 1,
        threads: Threads::all(),
        ..Setup::new(&model, &all)
    };
    let rows = Data::first(Set::of_split(&data.train).unwrap(), golden.rows);
    let mut products = Products::new(&setup, &point(&model, &vector), rows).unwrap();
    let wanted = Wanted {
        largest: 1,
        smallest: 0,
        tolerance: 1e-3,
        most_steps: 100,
        seed: 1,
    };
    let ends = eigenpairs(&mut products, wanted).unwrap();
    let (pair, exact) = (&ends.largest[0], golden.largest[0]);
    assert!(
        ends.converged && pair.residual <= 1.1e-3 * exact,
        "{} steps, residual {}",
        ends.steps,
        pair.residual
    );
    assert!(
        (pair.value - exact).abs() <= 1e-3 * exact,
        "{} in {} steps, SciPy says {exact}",
        pair.value,
        ends.steps
    );
    let near = golden
        .largest
        .iter()
        .fold(f64::INFINITY, |near: f64, x| near.min((x - pair.value).abs()));
    assert!(near <= pair.residual + 1e-6, "an eigenvalue lies within the residual");
}
