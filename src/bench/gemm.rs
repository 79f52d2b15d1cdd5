//! Products in f32 and f64: operands, contestants, and the check of their answers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::{Context, Epilogue, Float, MatMut, MatRef};

use super::field::{Field, Layout};
use crate::cli::shapes::{Product, Shape};
use crate::device::gemm_crate;
use crate::measure::{Contestant, Lineup};

/// Rows of C that are held against the oracle one element at a time; all rows are checked by projection.
const ROWS_CHECKED: usize = 4;

/// A and B of a case, uniform in [-1, 1].
#[derive(Debug, Clone)]
pub struct Operands<T = f32> {
    /// Sizes, and how they lie.
    pub product: Product,
    layout: Layout,
    a: Field<T>,
    b: Field<T>,
}

impl<T: Float> Operands<T> {
    /// Random operands without gaps, at the start of a cache line.
    pub fn new(product: impl Into<Product>, seed: u64) -> Self {
        Self::laid(product, Layout::default(), seed)
    }

    /// Random operands, both of this layout; C will have it too.
    pub fn laid(product: impl Into<Product>, layout: Layout, seed: u64) -> Self {
        let product = product.into();
        let Shape { m, n, k } = product.shape;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut field = |rows, cols, transposed| {
            let (rows, cols) = if transposed { (cols, rows) } else { (rows, cols) };
            Field::new(rows, cols, layout, || {
                T::from_f64(f64::from(rng.random_range(-1.0f32..=1.0)))
            })
        };
        let a = field(m, k, product.a_transposed);
        let b = field(k, n, product.b_transposed);
        Self { product, layout, a, b }
    }

    /// Room for C, filled with NaN.
    pub fn c(&self) -> Field<T> {
        Field::new(self.shape().m, self.shape().n, self.layout, || T::from_f64(f64::NAN))
    }

    /// Sizes.
    pub fn shape(&self) -> Shape {
        self.product.shape
    }

    /// A, m x k.
    pub fn a(&self) -> MatRef<'_, T> {
        view(&self.a, self.product.a_transposed)
    }

    /// B, k x n.
    pub fn b(&self) -> MatRef<'_, T> {
        view(&self.b, self.product.b_transposed)
    }

    /// A and B as they lie, without gaps.
    pub fn stored(&self) -> [Vec<T>; 2] {
        [self.a.dense(), self.b.dense()]
    }

    /// The largest error of a row-major C over its bound, at most 1 if C is right; NaN if anything is.
    ///
    /// A few rows element by element in f64, with the bound (k + 3) eps |A| |B|; all rows by a projection with x of
    /// plus and minus ones: C x against A (B x), with the same bound summed along the row and what f64 sums round.
    pub fn error_over_bound(&self, c: &[T]) -> f64 {
        self.error_over(c, (self.shape().k + 3) as f64 * T::EPSILON)
    }

    /// The same over the bound `unit` |A| |B|, for products whose factors are rounded, or whose sums are truncated.
    pub fn error_over(&self, c: &[T], unit: f64) -> f64 {
        let Shape { m, n, k } = self.shape();
        let (a, b) = (self.a(), self.b());
        let at = |x: MatRef<'_, T>, i, j| x.get(i, j).map_or(f64::NAN, |x| x.to_f64());
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
                hold(c[i * n + j].to_f64(), sum, unit * size);
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
            let got = row.iter().enumerate().map(|(j, c)| c.to_f64() * sign(j)).sum();
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
fn view<T>(field: &Field<T>, transposed: bool) -> MatRef<'_, T> {
    if transposed {
        field.view().transposed()
    } else {
        field.view()
    }
}

/// One who can multiply: C (row-major) <- A B.
pub struct Multiplier<'a, T = f32> {
    /// Its id in tables and records.
    pub id: String,
    multiply: Multiply<'a, T>,
}

/// C (row-major) <- A B of these operands.
type Multiply<'a, T> = Box<dyn FnMut(&Operands<T>, MatMut<'_, T>) + 'a>;

impl<'a, T: Float> Multiplier<'a, T> {
    /// Any other: `multiply` is C <- A B.
    pub fn new(id: impl Into<String>, multiply: impl FnMut(&Operands<T>, MatMut<'_, T>) + 'a) -> Self {
        Self {
            id: id.into(),
            multiply: Box::new(multiply),
        }
    }

    /// Our kernels on `ctx`.
    pub fn ours(ctx: &Context) -> Self {
        let ctx = ctx.clone();
        let id = ctx.gemm_kernel_id::<T>();
        let multiply = move |operands: &Operands<T>, c: MatMut<'_, T>| {
            let done = ctx.gemm(T::ONE, operands.a(), operands.b(), T::ZERO, c, Epilogue::none());
            debug_assert!(done.is_ok(), "operands are made with their shape");
        };
        Self {
            id,
            multiply: Box::new(multiply),
        }
    }

    /// The `gemm` crate on one thread.
    pub fn gemm_crate() -> Self {
        let multiply = |operands: &Operands<T>, c: MatMut<'_, T>| {
            gemm_crate::product_into(T::ONE, operands.a(), operands.b(), T::ZERO, c);
        };
        Self {
            id: "gemm-crate".to_owned(),
            multiply: Box::new(multiply),
        }
    }

    /// The formula's three loops, i, j, p, each element's sum before the next.
    pub fn naive() -> Self {
        let multiply = |operands: &Operands<T>, mut c: MatMut<'_, T>| {
            let (a, b) = (&operands.a, &operands.b);
            let (ta, tb) = (operands.product.a_transposed, operands.product.b_transposed);
            let Shape { m, n, k } = operands.shape();
            for i in 0..m {
                for j in 0..n {
                    let sum = (0..k).fold(T::ZERO, |sum, p| sum.plus(a.at(i, p, ta).times(b.at(p, j, tb))));
                    c.set(i, j, sum);
                }
            }
        };
        Self {
            id: "naive-loop".to_owned(),
            multiply: Box::new(multiply),
        }
    }

    /// C <- A B.
    pub fn run(&mut self, operands: &Operands<T>, c: &mut Field<T>) {
        (self.multiply)(operands, c.view_mut());
    }

    /// Makes it a contestant of the case, after its answer was checked.
    fn enter(mut self, operands: &'a Operands<T>) -> Contestant<'a> {
        let mut c = operands.c();
        self.run(operands, &mut c);
        let error = operands.error_over_bound(&c.dense());
        Contestant::new(self.id.clone(), error, move |calls| {
            for _ in 0..calls {
                self.run(operands, &mut c);
            }
            std::hint::black_box(&mut c);
        })
    }
}

/// A product's name, with its type where that is not f32.
pub fn case_name<T: Float>(product: Product) -> String {
    match T::NAME {
        "f32" => product.to_string(),
        other => format!("{product} {other}"),
    }
}

/// The case of these operands: every contestant's answer is checked first.
pub fn lineup<'a, T: Float>(operands: &'a Operands<T>, players: Vec<Multiplier<'a, T>>) -> Lineup<'a> {
    let Shape { m, .. } = operands.shape();
    Lineup {
        name: case_name::<T>(operands.product),
        x: m as f64,
        work: operands.shape().flops(),
        contestants: players.into_iter().map(|player| player.enter(operands)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilelab_kernels::{Isa, Threads};

    #[test]
    fn everybody_is_right_in_every_layout() {
        let shape = Shape { m: 9, n: 17, k: 33 };
        for (row, offset_bytes, a_transposed, b_transposed) in [
            (0, 0, false, false),
            (40, 4, false, true),
            (37, 32, true, false),
            (64, 16, true, true),
        ] {
            let product = Product {
                shape,
                a_transposed,
                b_transposed,
            };
            let operands = Operands::<f32>::laid(product, Layout { row, offset_bytes }, 3);
            let isas = Isa::available().into_iter();
            let ours = isas.map(|isa| Multiplier::ours(&Context::new(isa, Threads::one()).unwrap()));
            for mut player in ours.chain([Multiplier::gemm_crate(), Multiplier::naive()]) {
                let mut c = operands.c();
                player.run(&operands, &mut c);
                let error = operands.error_over_bound(&c.dense());
                assert!(error <= 1.0, "{} at {product} in rows of {row}: {error}", player.id);
            }
        }
    }

    #[test]
    fn a_wrong_element_and_a_nan_are_beyond_the_bound() {
        let operands = Operands::<f32>::new(Shape { m: 9, n: 7, k: 33 }, 1);
        let mut field = operands.c();
        Multiplier::gemm_crate().run(&operands, &mut field);
        let mut c = field.dense();
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
