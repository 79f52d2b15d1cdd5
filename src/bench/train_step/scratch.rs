//! The perceptron as one writes it first: whole-array expressions over `ndarray`, products by its `dot` (the `matrixmultiply` crate),
//! and a new array for every result. In f32, and in f64 as NumPy has it by default.

use ndarray::{Array1, Array2, Axis, NdFloat};

use super::{Case, Data, numbers};

/// A case of softmax cross-entropy and SGD, one step at a time.
pub struct Scratch<F> {
    x: Array2<F>,
    labels: Vec<usize>,
    weights: Vec<Array2<F>>,
    biases: Vec<Array1<F>>,
    lr: F,
    inverse_rows: F,
}

impl<F: NdFloat + Into<f64>> Scratch<F> {
    /// With the first parameters. `number` makes an F.
    ///
    /// # Panics
    /// When the case is one of binary cross-entropy, which is not written here.
    pub fn new(case: &Case, data: &Data, number: impl Fn(f64) -> F) -> Self {
        assert!(!case.binary(), "softmax cross-entropy and SGD only");
        let columns = case.layers[0];
        let x = |(i, j): (usize, usize)| number(f64::from(data.values[i * columns + j]));
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (l, pair) in (1..).zip(case.layers.windows(2)) {
            let (n, q) = (pair[0], pair[1]);
            let scale = (4.0 / n as f64).sqrt();
            let values: Vec<F> = numbers(n * q, 10 + l)
                .map(|x| number(f64::from((scale * x) as f32)))
                .collect();
            weights.push(Array2::from_shape_fn((n, q), |(i, j)| values[i * q + j]));
            biases.push(Array1::zeros(q));
        }
        Self {
            x: Array2::from_shape_fn((case.batch, columns), x),
            labels: data.labels[..case.batch]
                .iter()
                .map(|&label| usize::from(label))
                .collect(),
            weights,
            biases,
            lr: number(case.lr()),
            inverse_rows: number(1.0 / case.batch as f64),
        }
    }

    /// One step; the mean loss before it.
    pub fn step(&mut self) -> f64 {
        let depth = self.weights.len();
        // Z(l) = H(l-1) W(l) + b(l), H(l) = max(Z(l), 0)
        let mut hidden: Vec<Array2<F>> = Vec::with_capacity(depth);
        for (l, (weights, bias)) in self.weights.iter().zip(&self.biases).enumerate() {
            let z = hidden.last().unwrap_or(&self.x).dot(weights) + bias;
            let last = l + 1 == depth;
            hidden.push(if last { z } else { z.mapv(|x| x.max(F::zero())) });
        }
        let Some(logits) = hidden.pop() else {
            return f64::NAN;
        };
        let top = logits
            .fold_axis(Axis(1), F::neg_infinity(), |top, &x| top.max(x))
            .insert_axis(Axis(1));
        let powers = (&logits - &top).mapv(F::exp);
        let sums = powers.sum_axis(Axis(1)).insert_axis(Axis(1));
        let mut d = &powers / &sums;
        let mut loss = 0.0;
        for (i, &label) in self.labels.iter().enumerate() {
            loss -= d[[i, label]].ln().into();
            d[[i, label]] -= F::one();
        }
        d *= self.inverse_rows;
        for l in (0..depth).rev() {
            let input = if l == 0 { &self.x } else { &hidden[l - 1] };
            let (dw, db) = (input.t().dot(&d), d.sum_axis(Axis(0)));
            if l > 0 {
                let slope = hidden[l - 1].mapv(|h| if h > F::zero() { F::one() } else { F::zero() });
                d = d.dot(&self.weights[l].t()) * slope;
            }
            self.weights[l].scaled_add(-self.lr, &dw);
            self.biases[l].scaled_add(-self.lr, &db);
        }
        loss / self.labels.len() as f64
    }
}
