//! Products in f32: operands, contestants, and the check of their answers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::{Context, Epilogue, MatMut, MatRef};

use super::blas::Library;
use crate::cli::shapes::{Product, Shape};
use crate::device::gemm_crate;
use crate::measure::{Contestant, Lineup};

/// Rows of C that are held against the oracle one element at a time; all rows are checked by projection.
const ROWS_CHECKED: usize = 4;

/// A and B of a case, uniform in [-1, 1].
#[derive(Debug, Clone)]
pub struct Operands {
    /// Sizes, and how they lie.
    pub product: Product,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Operands {
    /// Random operands.
    pub fn new(product: impl Into<Product>, seed: u64) -> Self {
        let product = product.into();
        let shape = product.shape;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut fill = |len| (0..len).map(|_| rng.random_range(-1.0f32..=1.0)).collect();
        let (a, b) = (fill(shape.m * shape.k), fill(shape.k * shape.n));
        Self { product, a, b }
    }

    /// Sizes.
    pub fn shape(&self) -> Shape {
        self.product.shape
    }

    /// A, m x k.
    pub fn a(&self) -> MatRef<'_, f32> {
        view(&self.a, self.shape().m, self.shape().k, self.product.a_transposed)
    }

    /// B, k x n.
    pub fn b(&self) -> MatRef<'_, f32> {
        view(&self.b, self.shape().k, self.shape().n, self.product.b_transposed)
    }

    /// The largest error of a row-major C over its bound, at most 1 if C is right; NaN if anything is.
    ///
    /// A few rows element by element in f64, with the bound (k + 3) eps |A| |B|; all rows by a projection with x of
    /// plus and minus ones: C x against A (B x), with the same bound summed along the row and what f64 sums round.
    pub fn error_over_bound(&self, c: &[f32]) -> f64 {
        let Shape { m, n, k } = self.shape();
        let (a, b) = (self.a(), self.b());
        let at = |x: MatRef<'_, f32>, i, j| x.get(i, j).map_or(f64::NAN, |x| f64::from(*x));
        let unit = (k + 3) as f64 * f64::from(f32::EPSILON);
        let mut worst = 0.0f64;
        let mut hold = |got: f64, expected: f64, bound: f64| {
            let over = (got - expected).abs() / bound.max(f64::MIN_POSITIVE);
            // max would drop a NaN.
            worst = if over > worst || over.is_nan() { over } else { worst };
        };
        for turn in 0..ROWS_CHECKED.min(m) {
            let i = turn * (m - 1) / ROWS_CHECKED.min(m).max(2).saturating_sub(1).max(1);
            for j in 0..n {
                let (mut sum, mut size) = (0.0, 0.0);
                for p in 0..k {
                    let term = at(a, i, p) * at(b, p, j);
                    (sum, size) = (sum + term, size + term.abs());
                }
                hold(f64::from(c[i * n + j]), sum, unit * size);
            }
        }
        let sign = |j: usize| if (j * 0x9E37_79B1) >> 13 & 1 == 0 { 1.0 } else { -1.0 };
        let (mut bx, mut b_size) = (vec![0.0; k], vec![0.0; k]);
        for p in 0..k {
            for j in 0..n {
                let x = at(b, p, j);
                (bx[p], b_size[p]) = (bx[p] + x * sign(j), b_size[p] + x.abs());
            }
        }
        for (i, row) in c.chunks_exact(n).enumerate().take(m) {
            let got = row.iter().enumerate().map(|(j, c)| f64::from(*c) * sign(j)).sum();
            let (mut expected, mut size) = (0.0, 0.0);
            for p in 0..k {
                expected += at(a, i, p) * bx[p];
                size += at(a, i, p).abs() * b_size[p];
            }
            hold(got, expected, unit * size);
        }
        if worst > 0.0 || worst.is_nan() { worst } else { 0.0 }
    }
}

/// Row-major, or the transpose of what lies row-major.
fn view(data: &[f32], rows: usize, cols: usize, transposed: bool) -> MatRef<'_, f32> {
    let lies = if transposed { (cols, rows) } else { (rows, cols) };
    match MatRef::row_major(data, lies.0, lies.1) {
        Ok(view) if transposed => view.transposed(),
        Ok(view) => view,
        Err(error) => unreachable!("operands are made with their shape: {error}"),
    }
}

/// One who can multiply: C (row-major) <- A B.
pub struct Multiplier<'a> {
    /// Its id in tables and records.
    pub id: String,
    multiply: Multiply<'a>,
}

/// C (row-major) <- A B of these operands.
type Multiply<'a> = Box<dyn FnMut(&Operands, &mut [f32]) + 'a>;

impl<'a> Multiplier<'a> {
    /// Our kernels on `ctx`.
    pub fn ours(ctx: &Context) -> Self {
        let ctx = ctx.clone();
        let id = ctx.gemm_kernel_id::<f32>();
        let multiply = move |operands: &Operands, c: &mut [f32]| {
            let Shape { m, n, .. } = operands.shape();
            let done = MatMut::row_major(c, m, n)
                .and_then(|c| ctx.gemm(1.0, operands.a(), operands.b(), 0.0, c, Epilogue::none()));
            debug_assert!(done.is_ok(), "operands are made with their shape");
        };
        Self {
            id,
            multiply: Box::new(multiply),
        }
    }

    /// The `gemm` crate on one thread.
    pub fn gemm_crate() -> Self {
        let multiply = |operands: &Operands, c: &mut [f32]| {
            gemm_crate::product(1.0, operands.a(), operands.b(), 0.0, c);
        };
        Self {
            id: "gemm-crate".to_owned(),
            multiply: Box::new(multiply),
        }
    }

    /// A BLAS library.
    pub fn library(library: &'a Library) -> Self {
        Self {
            id: library.name().to_owned(),
            multiply: Box::new(|operands, c| library.sgemm(operands.a(), operands.b(), c)),
        }
    }

    /// Makes it a contestant of the case, after its answer was checked.
    fn enter(mut self, operands: &'a Operands) -> Contestant<'a> {
        let mut c = vec![f32::NAN; operands.shape().m * operands.shape().n];
        (self.multiply)(operands, &mut c);
        let error = operands.error_over_bound(&c);
        Contestant::new(self.id, error, move |calls| {
            for _ in 0..calls {
                (self.multiply)(operands, &mut c);
            }
            std::hint::black_box(&mut c);
        })
    }
}

/// The case of these operands: every contestant's answer is checked first.
pub fn lineup<'a>(operands: &'a Operands, players: Vec<Multiplier<'a>>) -> Lineup<'a> {
    let Shape { m, .. } = operands.shape();
    Lineup {
        name: operands.product.to_string(),
        x: m as f64,
        work: operands.shape().flops(),
        contestants: players.into_iter().map(|player| player.enter(operands)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_element_and_a_nan_are_beyond_the_bound() {
        let operands = Operands::new(Shape { m: 9, n: 7, k: 33 }, 1);
        let mut c = vec![0.0; 63];
        (Multiplier::gemm_crate().multiply)(&operands, &mut c);
        assert!(operands.error_over_bound(&c) <= 1.0);
        for at in 0..63 {
            let right = c[at];
            c[at] = right + 0.01;
            assert!(operands.error_over_bound(&c) > 1.0, "element {at}");
            c[at] = f32::NAN;
            assert!(operands.error_over_bound(&c).is_nan(), "element {at}");
            c[at] = right;
        }
    }
}
