//! Functions of rows and of values that each column has: batch normalisation, forward and backward.
//!
//! With mu and v the column's mean and biased variance, r = 1 / sqrt(v + eps), and m rows:
//!   forward:  n_ij = (x_ij - mu_j) r_j, y_ij = gamma_j n_ij + beta_j
//!   backward: dx_ij = gamma_j r_j (dy_ij - mean_i dy_ij - n_ij mean_i(dy_ij n_ij)), dgamma_j = sum_i dy_ij n_ij, dbeta_j = sum_i dy_ij
//!
//! Reference: S. Ioffe, C. Szegedy, *Batch Normalization*, 2015, algorithm 1 and section 3.

use crate::elementwise::{Rows, Shared, length, over_rows};
use crate::simd::{Arithmetic, Kernel, Simd};
use crate::{Context, Float, MatMut, MatRef, ShapeError};

/// A function of I elements in one place of I matrices and of C values of that place's column, with O results.
trait Columns<T: Float, const I: usize, const C: usize, const O: usize>: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn at<S: Arithmetic<T>>(self, s: S, x: [S::V; I], c: [S::V; C]) -> [S::V; O];
}

/// Rows `first..first + count`.
struct Run<F, T, const I: usize, const C: usize, const O: usize> {
    f: F,
    inputs: [Rows<T>; I],
    columns: [Shared<T>; C],
    outputs: [Rows<T>; O],
    first: usize,
    count: usize,
}

impl<T: Float, F: Columns<T, I, C, O>, const I: usize, const C: usize, const O: usize> Kernel<T>
    for Run<F, T, I, C, O>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let n = self.inputs[0].cols;
        for i in self.first..self.first + self.count {
            let mut j = 0;
            while j < n {
                let left = n - j;
                let (mut x, mut c) = ([s.splat(T::ZERO); I], [s.splat(T::ZERO); C]);
                // SAFETY: every matrix has row i with n elements, no other task writes it, and there is a value
                // for each column.
                unsafe {
                    for (x, rows) in x.iter_mut().zip(&self.inputs) {
                        *x = s.load_up_to(rows.row(i).add(j), left);
                    }
                    for (c, values) in c.iter_mut().zip(&self.columns) {
                        *c = s.load_up_to(values.at(j), left);
                    }
                    for (y, rows) in self.f.at(s, x, c).into_iter().zip(&self.outputs) {
                        s.store_up_to(rows.row(i).add(j), left, y);
                    }
                }
                j += S::LANES;
            }
        }
    }
}

fn run<T: Float, const I: usize, const C: usize, const O: usize>(
    ctx: &Context,
    f: impl Columns<T, I, C, O>,
    inputs: [Rows<T>; I],
    columns: [&[T]; C],
    outputs: [Rows<T>; O],
) {
    let columns = columns.map(|values| Shared::read(values.as_ptr()));
    let isa = ctx.isa();
    over_rows(ctx, inputs[0].rows, inputs[0].cols, &|first, count| {
        T::run_on(
            isa,
            Run {
                f,
                inputs,
                columns,
                outputs,
                first,
                count,
            },
        );
    });
}

/// (x - mean) scale, and that times gamma plus beta.
#[derive(Clone, Copy)]
struct Normalise;

impl<T: Float> Columns<T, 1, 4, 2> for Normalise {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(self, s: S, [x]: [S::V; 1], [mean, scale, gamma, beta]: [S::V; 4]) -> [S::V; 2] {
        let normal = s.mul(s.sub(x, mean), scale);
        [normal, s.mul_add(gamma, normal, beta)]
    }
}

/// scale (dy - mean_dy - normal mean_product).
#[derive(Clone, Copy)]
struct Backward;

impl<T: Float> Columns<T, 2, 3, 1> for Backward {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(
        self,
        s: S,
        [dy, normal]: [S::V; 2],
        [scale, mean_dy, mean_product]: [S::V; 3],
    ) -> [S::V; 1] {
        let centred = s.sub(s.sub(dy, mean_dy), s.mul(normal, mean_product));
        [s.mul(scale, centred)]
    }
}

/// What batch normalisation has for each column, one value a column each.
#[derive(Debug, Clone, Copy)]
pub struct ColumnScales<'a, T> {
    /// mu
    pub mean: &'a [T],
    /// r = 1 / sqrt(variance + eps)
    pub scale: &'a [T],
    /// gamma
    pub gamma: &'a [T],
    /// beta
    pub beta: &'a [T],
}

/// The means over the rows that the way back needs, and gamma r, one value a column each.
#[derive(Debug, Clone, Copy)]
pub struct ColumnMeans<'a, T> {
    /// gamma r
    pub scale: &'a [T],
    /// Mean of dy.
    pub gradient: &'a [T],
    /// Mean of dy n.
    pub product: &'a [T],
}

impl Context {
    /// normal = (x - mean) scale and y = gamma normal + beta, by column.
    ///
    /// # Errors
    /// When shapes don't fit, or rows are not contiguous.
    pub fn batch_norm<T: Float>(
        &self,
        x: MatRef<'_, T>,
        by_column: ColumnScales<'_, T>,
        mut normal: MatMut<'_, T>,
        mut y: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "batch_norm";
        let ColumnScales {
            mean,
            scale,
            gamma,
            beta,
        } = by_column;
        for (name, values) in [("mean", mean), ("scale", scale), ("gamma", gamma), ("beta", beta)] {
            length(OPERATION, name, values.len(), x.cols())?;
        }
        let x = Rows::of(OPERATION, "x", x)?;
        let (normal, y) = (
            Rows::of_mut(OPERATION, "normal", &mut normal)?,
            Rows::of_mut(OPERATION, "y", &mut y)?,
        );
        x.same_shape(OPERATION, "normal", &normal)?;
        x.same_shape(OPERATION, "y", &y)?;
        run(self, Normalise, [x], [mean, scale, gamma, beta], [normal, y]);
        Ok(())
    }

    /// dx = scale (dy - mean of dy - normal times the mean of dy normal), by column.
    ///
    /// # Errors
    /// When shapes don't fit, or rows are not contiguous.
    pub fn batch_norm_backward<T: Float>(
        &self,
        dy: MatRef<'_, T>,
        normal: MatRef<'_, T>,
        by_column: ColumnMeans<'_, T>,
        mut dx: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        const OPERATION: &str = "batch_norm_backward";
        let ColumnMeans {
            scale,
            gradient,
            product,
        } = by_column;
        for (name, values) in [("scale", scale), ("gradient", gradient), ("product", product)] {
            length(OPERATION, name, values.len(), dy.cols())?;
        }
        let (dy, normal) = (Rows::of(OPERATION, "dy", dy)?, Rows::of(OPERATION, "normal", normal)?);
        let dx = Rows::of_mut(OPERATION, "dx", &mut dx)?;
        dy.same_shape(OPERATION, "normal", &normal)?;
        dy.same_shape(OPERATION, "dx", &dx)?;
        run(self, Backward, [dy, normal], [scale, gradient, product], [dx]);
        Ok(())
    }
}
