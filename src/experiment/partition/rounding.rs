//! What rounding may change, to first order in the unit roundoff u.
//!
//! With e(a) for the largest error of a and every product's own error on top (N. J. Higham, Accuracy and Stability of Numerical
//! Algorithms, 2002, section 3.1: (k + 2) u |A| |B| for sums of k products, in whatever order they are added):
//! ```text
//! Z = H W + b       e(Z) = e(H) |W| + (k + 2) u (|H| |W| + |b|)
//! H = tanh(Z)       e(H) = e(Z) (1 - H^2) + c u |H|                       c u: the kernel's own error
//! dO = (p - y) / B  e(dO) = (p (2 max e(O) + (n + c + 4 max |O|) u) + 2 u |p - y|) / B
//! dW = H^T dZ       e(dW) = |H|^T e(dZ) + e(H)^T |dZ| + (B + 2) u |H|^T |dZ|
//! dH = dZ W^T       e(dH) = e(dZ) |W|^T + (n + 2) u |dZ| |W|^T
//! dZ = dH (1 - H^2) e(dZ) = e(dH) (1 - H^2) + |dH| (2 |H| e(H) + 3 u)
//! ```
//! Two ways to compute one gradient differ by twice as much at most. A step w <- w - lr g(w) hands a difference d on as
//! (I - lr Hessian) d, and adds lr times the gradients' difference.

use tilelab_kernels::{Context, Epilogue, MatMut, MatRef};

use super::Failure;
use crate::hessian::Point;
use crate::mlp::Model;
use crate::program::lower::{bias_name, weights_name};

/// Ulps of tanh and exp in the kernels, with room to spare.
const FUNCTION_ULPS: f64 = 8.0;

/// Values and their errors, row-major.
#[derive(Clone)]
struct Inexact {
    values: Vec<f64>,
    errors: Vec<f64>,
}

impl Inexact {
    fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let (values, errors) = pairs.unzip();
        Self { values, errors }
    }

    fn iter(&self) -> impl Iterator<Item = (f64, f64)> {
        self.values.iter().copied().zip(self.errors.iter().copied())
    }
}

fn magnitudes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| x.abs()).collect()
}

/// op(A) op(B), [m, n], by matrices of these sizes; a transposed one is given as it lies.
fn product(
    ctx: &Context,
    (a, a_t): (&[f64], bool),
    (b, b_t): (&[f64], bool),
    (m, k, n): (usize, usize, usize),
) -> Result<Vec<f64>, Failure> {
    let place = |x, rows, cols, transposed: bool| {
        if transposed {
            MatRef::row_major(x, cols, rows).map(MatRef::transposed)
        } else {
            MatRef::row_major(x, rows, cols)
        }
    };
    let mut c = vec![0.0; m * n];
    ctx.gemm(
        1.0,
        place(a, m, k, a_t)?,
        place(b, k, n, b_t)?,
        0.0,
        MatMut::row_major(&mut c, m, n)?,
        Epilogue::none(),
    )?;
    Ok(c)
}

/// The error that the gradient of the mean softmax cross-entropy of a tanh network may have, number by number in the order
/// W1, b1, W2, ..., when it is computed with unit roundoff `u` over `labels.len()` rows `x`.
///
/// # Errors
/// Rows of another width.
pub fn gradient(
    ctx: &Context,
    model: &Model,
    at: &Point,
    (x, labels): (&[f64], &[u8]),
    u: f64,
) -> Result<Vec<f64>, Failure> {
    let rows = labels.len();
    let sizes = |l: usize| (model.layer(l).inputs, model.layer(l).outputs);
    let of = |name: String| at.get(&name).unwrap_or_default();
    // Bytes were multiplied by a scale: one rounding, and that of the scale.
    let mut outputs = vec![Inexact::of(x.iter().map(|x| (*x, 2.0 * u * x.abs())))];
    for l in 1..=model.depth() {
        let (k, n) = sizes(l);
        let (h, w, b) = (&outputs[l - 1], of(weights_name(l)), of(bias_name(l)));
        let (w_size, h_size) = (magnitudes(w), magnitudes(&h.values));
        let z = product(ctx, (&h.values, false), (w, false), (rows, k, n))?;
        let handed_on = product(ctx, (&h.errors, false), (&w_size, false), (rows, k, n))?;
        let size = product(ctx, (&h_size, false), (&w_size, false), (rows, k, n))?;
        let own = (k + 2) as f64 * u;
        let sums = (0..rows * n).map(|i| {
            let z = z[i] + b[i % n];
            let error = handed_on[i] + own * (size[i] + b[i % n].abs());
            if l == model.depth() {
                return (z, error);
            }
            let h = z.tanh();
            (h, error * (1.0 - h * h) + FUNCTION_ULPS * u * h.abs())
        });
        outputs.push(Inexact::of(sums));
    }
    let mut dz = of_softmax(
        &outputs.pop().unwrap_or_else(|| Inexact::of([].into_iter())),
        labels,
        model.classes(),
        u,
    );
    let mut errors = Vec::new();
    for l in (1..=model.depth()).rev() {
        let (k, n) = sizes(l);
        let h = &outputs[l - 1];
        let (h_size, dz_size) = (magnitudes(&h.values), magnitudes(&dz.values));
        let over_rows = |a: &[f64], b: &[f64]| product(ctx, (a, true), (b, false), (k, rows, n));
        let own = (rows + 2) as f64 * u;
        let parts = [
            over_rows(&h_size, &dz.errors)?,
            over_rows(&h.errors, &dz_size)?,
            over_rows(&h_size, &dz_size)?,
        ];
        let weights = (0..k * n).map(|i| parts[0][i] + parts[1][i] + own * parts[2][i]);
        let column = |j: usize| {
            (0..rows)
                .map(|row| dz.errors[row * n + j] + own * dz_size[row * n + j])
                .sum()
        };
        errors.push(weights.chain((0..n).map(column)).collect::<Vec<f64>>());
        if l > 1 {
            let w = of(weights_name(l));
            let w_size = magnitudes(w);
            let back = |a: &[f64], b: &[f64]| product(ctx, (a, false), (b, true), (rows, n, k));
            let (dh, handed_on, size) = (
                back(&dz.values, w)?,
                back(&dz.errors, &w_size)?,
                back(&dz_size, &w_size)?,
            );
            let through = h.iter().enumerate().map(|(i, (h, h_error))| {
                let (slope, error) = (1.0 - h * h, handed_on[i] + (n + 2) as f64 * u * size[i]);
                (
                    dh[i] * slope,
                    error * slope + dh[i].abs() * (2.0 * h.abs() * h_error + 3.0 * u),
                )
            });
            dz = Inexact::of(through);
        }
    }
    errors.reverse();
    Ok(errors.concat())
}

/// dO from O.
fn of_softmax(o: &Inexact, labels: &[u8], classes: usize, u: f64) -> Inexact {
    let scale = 1.0 / labels.len() as f64;
    let mut all = Vec::with_capacity(o.values.len());
    let rows = o.values.chunks_exact(classes).zip(o.errors.chunks_exact(classes));
    for ((o, errors), &label) in rows.zip(labels) {
        let top = o.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = o.iter().map(|o| (o - top).exp()).sum();
        let size = o.iter().fold(0.0, |most: f64, o| most.max(o.abs()));
        let error = errors.iter().copied().fold(0.0, f64::max);
        let relative = 2.0 * error + (classes as f64 + FUNCTION_ULPS + 4.0 * size) * u;
        all.extend(o.iter().enumerate().map(|(j, o)| {
            let p = (o - top).exp() / sum;
            let apart = p - f64::from(u8::from(j == usize::from(label)));
            (scale * apart, scale * (p * relative + 2.0 * u * apart.abs()))
        }));
    }
    Inexact::of(all.into_iter())
}

/// Euclidean norm.
pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The largest |a - b| over its bound; NaN if any is, infinite for lists of different lengths.
pub fn over(a: &[f64], b: &[f64], bounds: &[f64]) -> f64 {
    if a.len() != b.len() || a.len() != bounds.len() {
        return f64::INFINITY;
    }
    let ratio = |((a, b), bound): ((&f64, &f64), &f64)| if a == b { 0.0 } else { (a - b).abs() / bound };
    let ratios = a.iter().zip(b).zip(bounds).map(ratio);
    ratios.fold(0.0, |most, r| if r > most || r.is_nan() { r } else { most })
}

#[cfg(test)]
mod tests {
    use tilelab_kernels::{Activation, Isa, Threads};

    use super::*;
    use crate::device::{Device, Set};
    use crate::mlp::Init;
    use crate::parallel::{Job, data_parallel};
    use crate::program::Element;

    /// An f32 gradient lies within the bound of an f64 one, and not within a thousandth of it: it bounds, and is no dream.
    #[test]
    fn f32_lies_within_its_bound() {
        let ctx = Context::new(Isa::selected().unwrap(), Threads::one()).unwrap();
        let model = Model::new(&[12, 9, 7, 4], Activation::Tanh).unwrap();
        let first = Point::first(&model, Init::Torch, 3);
        let values: Vec<f32> = (0..16 * 12).map(|i| (i * 5 % 17) as f32 / 17.0).collect();
        let labels: Vec<u8> = (0..16).map(|row| row % 4).collect();
        let gradient_in = |float| {
            let job = Job {
                model: &model,
                first: &first,
                set: Set::of_reals(&values, &labels, 12).unwrap(),
                byte_scale: 1.0,
                batch: 16,
                steps: 1,
                lr: 0.1,
                float,
                device: Device::Cpu,
                threads: Threads::one(),
            };
            data_parallel(&job, 1).unwrap().gradient
        };
        let (single, double) = (gradient_in(Element::F32), gradient_in(Element::F64));
        let x: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        let u = f64::from(f32::EPSILON) / 2.0;
        let bounds = gradient(&ctx, &model, &first, (&x, &labels), u).unwrap();
        let most = over(&single, &double, &bounds);
        assert!(most <= 1.0 && most > 1e-3, "{most}");
        assert!(over(&single, &[f64::NAN], &bounds).is_infinite());
        assert!(over(&[f64::NAN], &[1.0], &[1.0]).is_nan());
    }
}
