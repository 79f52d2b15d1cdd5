//! What the host devices differ in: how one operation is computed. Buffers, batches and metrics are common to them (`host`).

use tilelab_kernels::{
    Activation, Adam, ColumnMeans, ColumnScales, Dropout, Float, Labels, MatMut, MatRef, Momentum, ShapeError,
    reference,
};

use crate::program::TargetLoss;

/// A row-major matrix without gaps that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// A row-major matrix without gaps that is written.
#[derive(Debug)]
pub(super) struct ViewMut<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// A factor of a product: a matrix, or its transpose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor<'a, T> {
    pub(super) view: View<'a, T>,
    pub(super) transposed: bool,
}

/// What is done to an element of a product, in this order, each optional: bias, activation, derivative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish<'a, T> {
    pub(super) bias: Option<&'a [T]>,
    pub(super) activation: Activation,
    pub(super) derivative: Option<(Activation, View<'a, T>)>,
}

impl<'a, T> View<'a, T> {
    /// As the kernels take it.
    pub(super) fn mat(self) -> MatRef<'a, T> {
        checked(MatRef::row_major(self.data, self.rows, self.cols))
    }
}

impl<'a, T> ViewMut<'a, T> {
    /// As the kernels take it.
    pub(super) fn mat(self) -> MatMut<'a, T> {
        checked(MatMut::row_major(self.data, self.rows, self.cols))
    }
}

impl<'a, T> Factor<'a, T> {
    /// As the kernels take it.
    pub(super) fn mat(self) -> MatRef<'a, T> {
        if self.transposed {
            self.view.mat().transposed()
        } else {
            self.view.mat()
        }
    }
}

/// The result of a call whose shapes were checked when its program was built.
///
/// # Panics
/// When they were not: a fault of this crate, not of its input.
pub(super) fn checked<R>(result: Result<R, ShapeError>) -> R {
    match result {
        Ok(done) => done,
        Err(error) => panic!("an operation of a checked program: {error}"),
    }
}

/// Values rounded into place.
fn put<T: Float>(to: &mut [T], values: Vec<f64>) {
    to.iter_mut().zip(values).for_each(|(to, x)| *to = T::from_f64(x));
}

/// The operations of [`crate::program::Op`], by value. Shapes have been checked.
pub(super) trait Arithmetic<T: Float>: Send {
    /// Id of the kernel that large products run on.
    fn kernel(&self) -> String;

    /// Threads that work on one operation.
    fn threads(&self) -> usize;

    /// out <- scale * rows of `bytes`, which has as many columns as `out`.
    fn gather(&mut self, bytes: &[u8], rows: &[u32], scale: T, out: ViewMut<'_, T>);

    /// out <- rows of `reals`, which has as many columns as `out`.
    fn gather_reals(&mut self, reals: &[f32], rows: &[u32], out: ViewMut<'_, T>) {
        for (to, &row) in out.data.chunks_exact_mut(out.cols).zip(rows) {
            let from = &reals[row as usize * out.cols..][..out.cols];
            let pairs = to.iter_mut().zip(from);
            pairs.for_each(|(to, &x)| *to = T::from_f64(f64::from(x)));
        }
    }

    /// C <- finish(alpha * A * B + beta * C); beta = 0 never reads C.
    fn product(
        &mut self,
        alpha: T,
        a: Factor<'_, T>,
        b: Factor<'_, T>,
        beta: T,
        c: ViewMut<'_, T>,
        finish: Finish<'_, T>,
    );

    /// x <- x + bias.
    fn add_bias(&mut self, bias: &[T], x: ViewMut<'_, T>);

    /// out <- f(x).
    fn activate(&mut self, activation: Activation, x: View<'_, T>, out: ViewMut<'_, T>);

    /// out <- gradient (.) f'(saved).
    fn activate_backward(
        &mut self,
        activation: Activation,
        saved: View<'_, T>,
        gradient: View<'_, T>,
        out: ViewMut<'_, T>,
    );

    /// Losses of the rows, and scale * (softmax - target).
    fn softmax_cross_entropy(
        &mut self,
        logits: View<'_, T>,
        labels: Labels<'_, T>,
        scale: T,
        losses: &mut [T],
        gradient: ViewMut<'_, T>,
    );

    /// Losses of the rows.
    fn cross_entropy(&mut self, logits: View<'_, T>, labels: &[u8], losses: &mut [T]);

    /// sums <- sum over rows.
    fn column_sum(&mut self, x: View<'_, T>, sums: &mut [T]);

    /// weights <- decay * weights - lr * gradient.
    fn sgd(&mut self, decay: T, lr: T, gradient: View<'_, T>, weights: ViewMut<'_, T>);

    /// Losses of the rows against targets, and scale times the derivative. By the plain f64 loops if a device has nothing of its own; so
    /// the three below.
    fn target_loss(
        &mut self,
        loss: TargetLoss,
        (outputs, targets): (View<'_, T>, View<'_, T>),
        losses: &mut [T],
        gradient: Option<(T, ViewMut<'_, T>)>,
    ) {
        let oracle = match loss {
            TargetLoss::SquaredError => reference::squared_error,
            TargetLoss::BinaryCrossEntropy => reference::binary_cross_entropy,
        };
        let (scale, gradient) = gradient.map_or((T::ONE, None), |(scale, into)| (scale, Some(into)));
        let (values, slopes) = oracle(outputs.mat(), targets.mat(), scale);
        put(losses, values);
        if let Some(gradient) = gradient {
            put(gradient.data, slopes);
        }
    }

    /// The sum of gradient df/dp at x, p being f's learned parameter: min(x, 0) for prelu, x^2 y (1 - y) with y = sigmoid(beta x) for swish.
    fn parameter_gradient(&mut self, activation: Activation, x: View<'_, T>, gradient: View<'_, T>) -> f64 {
        let slope = |x: f64| match activation {
            Activation::PRelu { .. } => x.min(0.0),
            Activation::Swish { beta } => {
                let y = 1.0 / (1.0 + (-beta * x).exp());
                x * x * y * (1.0 - y)
            }
            _ => 0.0,
        };
        let pairs = x.data.iter().zip(gradient.data);
        pairs.map(|(x, g)| g.to_f64() * slope(x.to_f64())).sum()
    }

    /// Mean and biased variance of each column.
    fn column_statistics(&mut self, x: View<'_, T>, mean: &mut [T], variance: &mut [T]) {
        let (means, variances) = reference::column_mean_variance(x.mat());
        put(mean, means);
        put(variance, variances);
    }

    /// normal <- (x - mean) scale, out <- gamma normal + beta.
    fn batch_norm(&mut self, x: View<'_, T>, by: ColumnScales<'_, T>, normal: ViewMut<'_, T>, out: ViewMut<'_, T>) {
        let places = normal.data.iter_mut().zip(out.data).enumerate();
        for (i, (normal, out)) in places {
            let j = i % x.cols;
            let n = (x.data[i].to_f64() - by.mean[j].to_f64()) * by.scale[j].to_f64();
            *normal = T::from_f64(n);
            *out = T::from_f64(by.gamma[j].to_f64() * n + by.beta[j].to_f64());
        }
    }

    /// sums <- the sum of a (.) b over rows.
    fn column_dot(&mut self, a: View<'_, T>, b: View<'_, T>, sums: &mut [T]) {
        put(sums, reference::column_dot(a.mat(), b.mat()));
    }

    /// out <- scale (gradient - its mean - normal times the mean of gradient normal).
    fn batch_norm_backward(
        &mut self,
        gradient: View<'_, T>,
        normal: View<'_, T>,
        by: ColumnMeans<'_, T>,
        out: ViewMut<'_, T>,
    ) {
        for (i, out) in out.data.iter_mut().enumerate() {
            let j = i % gradient.cols;
            let centred = gradient.data[i].to_f64() - by.gradient[j].to_f64();
            let left = centred - normal.data[i].to_f64() * by.product[j].to_f64();
            *out = T::from_f64(by.scale[j].to_f64() * left);
        }
    }

    /// out <- x with elements dropped.
    fn dropout(&mut self, dropout: Dropout, x: View<'_, T>, out: ViewMut<'_, T>) {
        put(out.data, reference::dropout(dropout, x.mat()));
    }

    /// out <- f'(saved). By the plain f64 loops if a device has nothing of its own; so the three below.
    fn activation_slope(&mut self, activation: Activation, saved: View<'_, T>, out: ViewMut<'_, T>) {
        let slopes = saved.data.iter().map(|x| reference::derivative(activation, x.to_f64()));
        put(out.data, slopes.collect());
    }

    /// out <- gradient (.) f''(saved).
    fn activation_curvature(
        &mut self,
        activation: Activation,
        saved: View<'_, T>,
        gradient: View<'_, T>,
        out: ViewMut<'_, T>,
    ) {
        let pairs = saved.data.iter().zip(gradient.data);
        let bends = pairs.map(|(x, g)| g.to_f64() * reference::second_derivative(activation, x.to_f64()));
        put(out.data, bends.collect());
    }

    /// out_k <- y (.) x_k, or out_k + that, for every block of y's shape.
    fn multiply_stacked(&mut self, y: View<'_, T>, x: View<'_, T>, add: bool, out: ViewMut<'_, T>) {
        for ((out, x), y) in out.data.iter_mut().zip(x.data).zip(y.data.iter().cycle()) {
            let there = if add { out.to_f64() } else { 0.0 };
            *out = T::from_f64(there + y.to_f64() * x.to_f64());
        }
    }

    /// out <- softmax of each row.
    fn softmax(&mut self, x: View<'_, T>, out: ViewMut<'_, T>) {
        put(out.data, reference::softmax(x.mat()));
    }

    /// A step with momentum.
    fn momentum(&mut self, rule: Momentum, gradient: View<'_, T>, weights: ViewMut<'_, T>, velocity: ViewMut<'_, T>) {
        let state = weights.data.iter_mut().zip(velocity.data);
        for (g, (w, v)) in gradient.data.iter().zip(state) {
            let (new_w, new_v) = reference::momentum(rule, g.to_f64(), w.to_f64(), v.to_f64());
            (*w, *v) = (T::from_f64(new_w), T::from_f64(new_v));
        }
    }

    /// A step of Adam or AdamW.
    fn adam(&mut self, rule: Adam, gradient: View<'_, T>, weights: ViewMut<'_, T>, moments: [ViewMut<'_, T>; 2]) {
        let [first, second] = moments;
        let state = weights.data.iter_mut().zip(first.data).zip(second.data);
        for (g, ((w, a), b)) in gradient.data.iter().zip(state) {
            let new = reference::adam(rule, g.to_f64(), w.to_f64(), (a.to_f64(), b.to_f64()));
            (*w, *a, *b) = (T::from_f64(new.0), T::from_f64(new.1), T::from_f64(new.2));
        }
    }

    /// Column of the largest element of each row, the first of equals.
    fn row_argmax(&mut self, x: View<'_, T>, out: &mut [u32]);
}
