//! The device `cpu`: our kernels.

use tilelab_kernels::{
    Activation, Adam, ColumnMeans, ColumnScales, Context, Corrections, Dropout, Epilogue, Float, Gradient, Isa, Labels,
    Momentum, Threads,
};

use super::DeviceError;
use crate::program::TargetLoss;

use super::arithmetic::{Arithmetic, Factor, Finish, View, ViewMut, checked};

/// Our kernels on the ISA that [`Isa::selected`] gives.
pub(super) struct Cpu {
    context: Context,
    /// Adam's corrections of the last step that was seen: all arrays of a step share them.
    corrections: Option<(Adam, Corrections)>,
}

impl Cpu {
    /// # Errors
    /// An ISA was forced that this CPU lacks, or a worker can't be started.
    pub(super) fn new(threads: Threads) -> Result<Self, DeviceError> {
        Ok(Self {
            context: Context::new(Isa::selected()?, threads)?,
            corrections: None,
        })
    }
}

impl<'a, T: Float> From<Finish<'a, T>> for Epilogue<'a, T> {
    fn from(finish: Finish<'a, T>) -> Self {
        let mut epilogue = Self::none().activation(finish.activation);
        if let Some(bias) = finish.bias {
            epilogue = epilogue.bias(bias);
        }
        match finish.derivative {
            Some((activation, saved)) => epilogue.times_derivative(activation, saved.mat()),
            None => epilogue,
        }
    }
}

impl<T: Float> Arithmetic<T> for Cpu {
    fn kernel(&self) -> String {
        self.context.gemm_kernel_id::<T>()
    }

    fn threads(&self) -> usize {
        self.context.threads().get()
    }

    fn gather(&mut self, bytes: &[u8], rows: &[u32], scale: T, out: ViewMut<'_, T>) {
        let columns = out.cols;
        checked(self.context.gather_rows_u8(bytes, columns, rows, scale, out.mat()));
    }

    fn gather_reals(&mut self, reals: &[f32], rows: &[u32], out: ViewMut<'_, T>) {
        checked(self.context.gather_rows_f32(reals, rows, out.mat()));
    }

    fn product(
        &mut self,
        alpha: T,
        a: Factor<'_, T>,
        b: Factor<'_, T>,
        beta: T,
        c: ViewMut<'_, T>,
        finish: Finish<'_, T>,
    ) {
        checked(self.context.gemm(alpha, a.mat(), b.mat(), beta, c.mat(), finish.into()));
    }

    fn add_bias(&mut self, bias: &[T], x: ViewMut<'_, T>) {
        checked(self.context.add_bias(bias, x.mat()));
    }

    fn activate(&mut self, activation: Activation, x: View<'_, T>, out: ViewMut<'_, T>) {
        checked(self.context.activate(activation, x.data, out.data));
    }

    fn activate_backward(
        &mut self,
        activation: Activation,
        saved: View<'_, T>,
        gradient: View<'_, T>,
        out: ViewMut<'_, T>,
    ) {
        checked(
            self.context
                .activate_backward(activation, saved.data, gradient.data, out.data),
        );
    }

    fn softmax_cross_entropy(
        &mut self,
        logits: View<'_, T>,
        labels: Labels<'_, T>,
        scale: T,
        losses: &mut [T],
        gradient: ViewMut<'_, T>,
    ) {
        let (logits, gradient) = (logits.mat(), gradient.mat());
        checked(
            self.context
                .softmax_cross_entropy(logits, labels, scale, losses, gradient),
        );
    }

    fn cross_entropy(&mut self, logits: View<'_, T>, labels: &[u8], losses: &mut [T]) {
        checked(
            self.context
                .cross_entropy_loss(logits.mat(), Labels::hard(labels), losses),
        );
    }

    fn column_sum(&mut self, x: View<'_, T>, sums: &mut [T]) {
        checked(self.context.column_sum(x.mat(), sums));
    }

    fn sgd(&mut self, decay: T, lr: T, gradient: View<'_, T>, weights: ViewMut<'_, T>) {
        checked(self.context.sgd(decay, lr, gradient.data, weights.data));
    }

    fn target_loss(
        &mut self,
        loss: TargetLoss,
        (outputs, targets): (View<'_, T>, View<'_, T>),
        losses: &mut [T],
        gradient: Option<(T, ViewMut<'_, T>)>,
    ) {
        let (outputs, targets) = (outputs.mat(), targets.mat());
        let gradient = gradient.map(|(scale, into)| Gradient {
            scale,
            into: into.mat(),
        });
        checked(match loss {
            TargetLoss::SquaredError => self.context.squared_error(outputs, targets, losses, gradient),
            TargetLoss::BinaryCrossEntropy => self.context.binary_cross_entropy(outputs, targets, losses, gradient),
        });
    }

    fn parameter_gradient(&mut self, activation: Activation, x: View<'_, T>, gradient: View<'_, T>) -> f64 {
        let sum = self
            .context
            .activation_parameter_gradient(activation, x.data, gradient.data);
        checked(sum).to_f64()
    }

    fn column_statistics(&mut self, x: View<'_, T>, mean: &mut [T], variance: &mut [T]) {
        checked(self.context.column_mean_variance(x.mat(), mean, variance));
    }

    fn batch_norm(&mut self, x: View<'_, T>, by: ColumnScales<'_, T>, normal: ViewMut<'_, T>, out: ViewMut<'_, T>) {
        checked(self.context.batch_norm(x.mat(), by, normal.mat(), out.mat()));
    }

    fn column_dot(&mut self, a: View<'_, T>, b: View<'_, T>, sums: &mut [T]) {
        checked(self.context.column_dot(a.mat(), b.mat(), sums));
    }

    fn batch_norm_backward(
        &mut self,
        gradient: View<'_, T>,
        normal: View<'_, T>,
        by: ColumnMeans<'_, T>,
        out: ViewMut<'_, T>,
    ) {
        checked(
            self.context
                .batch_norm_backward(gradient.mat(), normal.mat(), by, out.mat()),
        );
    }

    fn dropout(&mut self, dropout: Dropout, x: View<'_, T>, out: ViewMut<'_, T>) {
        checked(self.context.dropout(dropout, x.mat(), out.mat()));
    }

    fn activation_slope(&mut self, activation: Activation, saved: View<'_, T>, out: ViewMut<'_, T>) {
        checked(self.context.activation_slope(activation, saved.data, out.data));
    }

    fn activation_curvature(
        &mut self,
        activation: Activation,
        saved: View<'_, T>,
        gradient: View<'_, T>,
        out: ViewMut<'_, T>,
    ) {
        checked(
            self.context
                .activation_curvature(activation, saved.data, gradient.data, out.data),
        );
    }

    fn multiply_stacked(&mut self, y: View<'_, T>, x: View<'_, T>, add: bool, out: ViewMut<'_, T>) {
        checked(self.context.multiply_stacked(y.data, x.data, add, out.data));
    }

    fn softmax(&mut self, x: View<'_, T>, out: ViewMut<'_, T>) {
        checked(self.context.softmax(x.mat(), out.mat()));
    }

    fn momentum(&mut self, rule: Momentum, gradient: View<'_, T>, weights: ViewMut<'_, T>, velocity: ViewMut<'_, T>) {
        checked(self.context.momentum(rule, gradient.data, weights.data, velocity.data));
    }

    fn adam(&mut self, rule: Adam, gradient: View<'_, T>, weights: ViewMut<'_, T>, moments: [ViewMut<'_, T>; 2]) {
        let [first, second] = moments;
        let same = |seen: &Adam| (seen.step, seen.beta1, seen.beta2) == (rule.step, rule.beta1, rule.beta2);
        let corrections = match self.corrections {
            Some((seen, corrections)) if same(&seen) => corrections,
            _ => rule.corrections(),
        };
        self.corrections = Some((rule, corrections));
        let moments = [first.data, second.data];
        checked(
            self.context
                .adam_corrected(rule, corrections, gradient.data, weights.data, moments),
        );
    }

    fn row_argmax(&mut self, x: View<'_, T>, out: &mut [u32]) {
        checked(self.context.row_argmax(x.mat(), out));
    }
}
