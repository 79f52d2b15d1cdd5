//! The notebook's version from scratch in Rust: a training step written down with `ndarray`, an array a variable.

use ndarray::{Array1, Array2, Axis, LinalgScalar, ScalarOperand};

/// What the plain version computes in: f32, or f64 as the notebook's does.
pub trait Real:
    LinalgScalar + ScalarOperand + PartialOrd + std::ops::SubAssign + std::ops::AddAssign + std::ops::DivAssign
{
    fn of(x: f64) -> Self;
    fn exp(self) -> Self;
    fn to_f64(self) -> f64;
}

macro_rules! real {
    ($($t:ty),*) => {
        $(impl Real for $t {
            fn of(x: f64) -> Self {
                x as $t
            }
            fn exp(self) -> Self {
                <$t>::exp(self)
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        })*
    };
}

real!(f32, f64);

/// A network of relus with softmax cross-entropy and SGD.
pub struct Plain<T> {
    weights: Vec<Array2<T>>,
    biases: Vec<Array1<T>>,
    x: Array2<T>,
    labels: Vec<u8>,
}

impl<T: Real> Plain<T> {
    /// With these weights \[inputs, outputs\], biases of 0, and rows.
    pub fn new(widths: &[usize], weights: &[Vec<f64>], x: &[f32], labels: &[u8]) -> Self {
        let matrix = |rows: usize, cols: usize, at: &dyn Fn(usize) -> f64| {
            Array2::from_shape_fn((rows, cols), |(i, j)| T::of(at(i * cols + j)))
        };
        let pairs = widths.windows(2).zip(weights);
        Self {
            weights: pairs.map(|(pair, w)| matrix(pair[0], pair[1], &|at| w[at])).collect(),
            biases: widths[1..]
                .iter()
                .map(|&width| Array1::from_elem(width, T::zero()))
                .collect(),
            x: matrix(labels.len(), widths[0], &|at| f64::from(x[at])),
            labels: labels.to_vec(),
        }
    }

    /// One step; the mean loss before it.
    pub fn step(&mut self, lr: f64) -> f64 {
        let (depth, rows) = (self.weights.len(), self.labels.len());
        let mut kept: Vec<Array2<T>> = vec![self.x.clone()];
        for l in 0..depth {
            let mut z = kept[l].dot(&self.weights[l]);
            z += &self.biases[l];
            if l + 1 < depth {
                z.mapv_inplace(|z| if z > T::zero() { z } else { T::zero() });
            }
            kept.push(z);
        }
        let Some(mut delta) = kept.pop() else { return f64::NAN };
        let mut loss = 0.0;
        for (mut row, &label) in delta.rows_mut().into_iter().zip(&self.labels) {
            let top = row.iter().copied().fold(row[0], |top, z| if z > top { z } else { top });
            row.mapv_inplace(|z| (z - top).exp());
            let sum = row.sum();
            row.mapv_inplace(|z| z / sum);
            loss -= row[usize::from(label)].to_f64().ln();
            row[usize::from(label)] -= T::one();
        }
        delta /= T::of(rows as f64);
        for l in (0..depth).rev() {
            let weights = kept[l].t().dot(&delta);
            let biases = delta.sum_axis(Axis(0));
            let passed = (l > 0).then(|| {
                let mut back = delta.dot(&self.weights[l].t());
                // relu's derivative from its output.
                back.zip_mut_with(&kept[l], |d, &h| *d = if h > T::zero() { *d } else { T::zero() });
                back
            });
            self.weights[l].scaled_add(T::zero() - T::of(lr), &weights);
            self.biases[l].scaled_add(T::zero() - T::of(lr), &biases);
            if let Some(passed) = passed {
                delta = passed;
            }
        }
        loss / rows as f64
    }
}
