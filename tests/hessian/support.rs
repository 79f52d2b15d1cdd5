//! Small problems: parameters and rows from formulas, and the gradient at any point.

use tilelab::device::{Batch, Device, ProgramId, Session, Set};
use tilelab::hessian::{Data, Directions, Point, Products, Setup, Which, dense};
use tilelab::mlp::{Model, activation_by_name};
use tilelab::program::lower::Lowering;
use tilelab::program::{Element, Program, StepArgs};
use tilelab_kernels::Threads;

/// Whole numbers over powers of two, as `tests/golden/hessian.py` has them: f32 holds them too.
pub fn parameter(i: usize) -> f64 {
    ((37 * i + 11 * i * i) % 101) as f64 / 64.0 - 50.0 / 64.0
}

fn element(i: usize, j: usize) -> f32 {
    (((7 * i + 13 * j + 3 * i * j) % 41) as f32 - 20.0) / 16.0
}

/// Rows and labels.
pub struct Rows {
    pub values: Vec<f32>,
    pub labels: Vec<u8>,
    pub columns: usize,
}

impl Rows {
    pub fn new(rows: usize, model: &Model) -> Self {
        let columns = model.inputs();
        let values = (0..rows)
            .flat_map(|i| (0..columns).map(move |j| element(i, j)))
            .collect();
        let labels = (0..rows).map(|i| (i % model.classes()) as u8).collect();
        Self {
            values,
            labels,
            columns,
        }
    }

    pub fn data(&self) -> Data<'_> {
        let set = Set::of_reals(&self.values, &self.labels, self.columns).unwrap();
        Data::first(set, self.labels.len())
    }
}

/// A model by the command line's words.
pub fn model(layers: &[usize], activation: &str, loss: &str) -> Model {
    Model::new(layers, activation_by_name(activation).unwrap())
        .unwrap()
        .with_loss(loss.parse().unwrap())
}

/// All parameters one after the other, at a point.
pub fn point(model: &Model, vector: &[f64]) -> Point {
    let all = Directions::of(model, "all").unwrap();
    let mut values: Vec<(String, Vec<f64>)> = Point::first(model, tilelab::mlp::Init::default(), 1)
        .iter()
        .map(|(name, values)| (name.to_owned(), values.to_vec()))
        .collect();
    for (name, values) in &mut values {
        if let Some(part) = all.parts().iter().find(|part| part.name == *name) {
            values.copy_from_slice(&vector[part.offset..][..part.len()]);
        }
    }
    Point::of(values)
}

pub fn formula(model: &Model) -> Vec<f64> {
    (0..model.parameters()).map(parameter).collect()
}

pub fn setup<'a>(model: &'a Model, directions: &'a Directions) -> Setup<'a> {
    Setup {
        float: Element::F64,
        together: 5,
        norm_training: true,
        threads: Threads::one(),
        ..Setup::new(model, directions)
    }
}

/// The matrix by products.
pub fn by_products(setup: &Setup<'_>, point: &Point, rows: &Rows) -> Vec<f64> {
    let n = setup.directions.size();
    let mut out = vec![0.0; n * n];
    dense::by_products(&mut Products::new(setup, point, rows.data()).unwrap(), &mut out).unwrap();
    out
}

pub fn matrix(model: &Model, which: Which, rows: &Rows) -> Vec<f64> {
    let all = Directions::of(model, "all").unwrap();
    let setup = Setup {
        which,
        ..setup(model, &all)
    };
    by_products(&setup, &point(model, &formula(model)), rows)
}

/// Asserts that two matrices or vectors differ by at most `tolerance` of the largest element.
#[track_caller]
pub fn close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let top = expected.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // Written so that NaN fails.
        let near = (got - expected).abs() <= tolerance * top;
        assert!(
            near,
            "{what}: element {i} is {got}, it should be {expected} (largest {top})"
        );
    }
}

/// The gradient of the plain program, in f64.
pub struct Gradient<'a> {
    program: Program,
    session: Box<dyn Session + 'a>,
    directions: Directions,
    rows: &'a Rows,
    model: &'a Model,
    l2: f64,
}

impl<'a> Gradient<'a> {
    pub fn new(model: &'a Model, rows: &'a Rows, norm_training: bool, l2: f64) -> Self {
        let lowering = Lowering {
            model,
            float: Element::F64,
            rows: rows.labels.len(),
            byte_scale: 1.0,
        };
        let program = lowering.derivatives(norm_training).unwrap();
        let sets = [rows.data().set];
        let session = Device::Reference
            .open(std::slice::from_ref(&program), &sets, Threads::one())
            .unwrap();
        let directions = Directions::of(model, "all").unwrap();
        Self {
            program,
            session,
            directions,
            rows,
            model,
            l2,
        }
    }

    /// The gradient there, and the sign of every hidden unit's input.
    pub fn at(&mut self, vector: &[f64]) -> (Vec<f64>, Vec<bool>) {
        let place = point(self.model, vector);
        for (name, values) in place.iter() {
            self.session.write(name, values).unwrap();
        }
        let data = self.rows.data();
        let batch = Batch::of_set(&self.program, &[data.set], 0, &data.rows).unwrap();
        let args = StepArgs {
            inverse_rows: 1.0 / data.rows.len() as f64,
            ..StepArgs::default()
        };
        self.session.run(ProgramId(0), &batch, &args);
        let mut gradient = Vec::new();
        for part in self.directions.parts() {
            let decays = part.name.starts_with('W');
            let values = self.session.read(&format!("d{}", part.name)).unwrap();
            let weights = &vector[part.offset..];
            gradient.extend(
                values
                    .iter()
                    .zip(weights)
                    .map(|(g, w)| g + if decays { self.l2 * w } else { 0.0 }),
            );
        }
        let given = if self.model.batch_norm() { "u" } else { "z" };
        let hidden = 1..self.model.depth();
        let signs = hidden
            .flat_map(|l| self.session.read(&format!("{given}{l}")).unwrap())
            .map(|z| z > 0.0)
            .collect();
        (gradient, signs)
    }

    /// The outputs that the last call computed.
    pub fn outputs(&mut self) -> Vec<f64> {
        self.session.read("o").unwrap()
    }
}
