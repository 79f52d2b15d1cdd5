//! One product with everything that can vary, and its comparison with the oracle.

use tilelab_kernels::gemm::Shape;
use tilelab_kernels::{Activation, Context, Epilogue, Float, reference};

use crate::support::matrices::{Layout, Padded};

/// Which epilogue a case has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    None,
    Bias,
    Relu,
    BiasRelu,
    Derivative,
    /// Beyond what the micro-kernels do: the epilogue's second half works on the tile in L1.
    Long,
    All,
}

pub const KINDS: [Kind; 7] = [
    Kind::None,
    Kind::Bias,
    Kind::Relu,
    Kind::BiasRelu,
    Kind::Derivative,
    Kind::Long,
    Kind::All,
];

pub struct Case<T> {
    a: Padded<T>,
    b: Padded<T>,
    c: Padded<T>,
    bias: Vec<T>,
    saved: Padded<T>,
    alpha: f64,
    beta: f64,
    kind: Kind,
}

impl<T: Float> Case<T> {
    pub fn new(
        shape: Shape,
        layouts: [Layout; 3],
        scalars: (f64, f64),
        kind: Kind,
        mut value: impl FnMut() -> f64,
    ) -> Self {
        let Shape { m, n, k } = shape;
        let (alpha, beta) = scalars;
        let a = Padded::new(m, k, layouts[0], 3, &mut value);
        let b = Padded::new(k, n, layouts[1], 1, &mut value);
        // beta = 0 must not read C: it is NaN then.
        let c = Padded::new(m, n, layouts[2], 2, || if beta == 0.0 { f64::NAN } else { value() });
        let bias = (0..n).map(|_| T::from_f64(value())).collect();
        let saved = Padded::new(m, n, Layout::RowMajor, 5, &mut value);
        Self {
            a,
            b,
            c,
            bias,
            saved,
            alpha,
            beta,
            kind,
        }
    }

    fn epilogue(&self) -> Epilogue<'_, T> {
        let none = Epilogue::none();
        match self.kind {
            Kind::None => none,
            Kind::Bias => none.bias(&self.bias),
            Kind::Relu => none.activation(Activation::Relu),
            Kind::BiasRelu => none.bias(&self.bias).activation(Activation::Relu),
            Kind::Derivative => none.times_derivative(Activation::Relu, self.saved.view()),
            Kind::Long => none
                .bias(&self.bias)
                .activation(Activation::Relu)
                .times_derivative(Activation::Identity, self.saved.view()),
            Kind::All => none
                .bias(&self.bias)
                .activation(Activation::Relu)
                .times_derivative(Activation::Relu, self.saved.view()),
        }
    }

    /// Runs it; the result in a C of its own.
    fn run(&self, ctx: &Context) -> Padded<T> {
        let mut c = Padded {
            data: self.c.data.clone(),
            ..self.c
        };
        let (alpha, beta) = (T::from_f64(self.alpha), T::from_f64(self.beta));
        ctx.gemm(alpha, self.a.view(), self.b.view(), beta, c.view_mut(), self.epilogue())
            .unwrap();
        c
    }

    /// The oracle's result, and for each element the bound (k + 3) eps (|alpha| |A| |B| + |beta| |C|), with one more
    /// rounding for the bias.
    fn oracle(&self) -> (Vec<f64>, Vec<f64>) {
        let (m, n, k) = (self.c.rows, self.c.cols, self.a.cols);
        let (mut expected, mut bounds) = (Vec::new(), Vec::new());
        for i in 0..m {
            for j in 0..n {
                let mut size = 0.0;
                for p in 0..k {
                    size += (self.a.at(i, p) * self.b.at(p, j)).abs();
                }
                size *= self.alpha.abs();
                if self.beta != 0.0 {
                    size += (self.beta * self.c.at(i, j)).abs();
                }
                if matches!(self.kind, Kind::Bias | Kind::BiasRelu | Kind::Long | Kind::All) {
                    size += self.bias[j].to_f64().abs();
                }
                bounds.push((k + 4) as f64 * T::EPSILON * size);
            }
        }
        let mut c = Padded {
            data: self.c.data.clone(),
            ..self.c
        };
        let (alpha, beta) = (T::from_f64(self.alpha), T::from_f64(self.beta));
        reference::gemm(alpha, self.a.view(), self.b.view(), beta, c.view_mut(), self.epilogue());
        for i in 0..m {
            for j in 0..n {
                expected.push(c.at(i, j));
            }
        }
        (expected, bounds)
    }

    pub fn check(&self, ctx: &Context, what: &str) {
        let got = self.run(ctx);
        let (expected, bounds) = self.oracle();
        for i in 0..got.rows {
            for j in 0..got.cols {
                let at = i * got.cols + j;
                let error = (got.at(i, j) - expected[at]).abs();
                // The oracle's result is rounded to T once itself.
                let bound = bounds[at] + expected[at].abs() * T::EPSILON;
                assert!(
                    error <= bound,
                    "{what}: ({i}, {j}) is {}, expected {} +- {bound:e}, {:?} alpha {} beta {}",
                    got.at(i, j),
                    expected[at],
                    self.kind,
                    self.alpha,
                    self.beta
                );
            }
        }
        assert!(got.gaps_are_untouched(), "{what}: wrote outside C");
    }
}
