//! Elementwise and row kernels and updates in f32: cases, contestants, and the check of their answers.
//!
//! Beside ours stand the same functions as plain Rust loops over the standard library's `exp` and `tanh`, and two copies of the same bytes: memcpy,
//! and ours past the caches. The faster copy is what memory allows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::{Activation, Adam, Context, Labels, MatMut, MatRef, Momentum, reference};

use crate::measure::{COPY, Contestant, Lineup};

/// The contestant that copies past the caches.
pub const STREAMED_COPY: &str = "copy-streamed";

/// Elements whose answers are held against the oracle: whole rows from the start, and the last row.
const CHECKED: usize = 1 << 17;

/// What is computed of a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// An activation, element by element.
    Activate(Activation),
    /// Softmax of rows.
    Softmax,
    /// Log-softmax of rows.
    LogSoftmax,
    /// Softmax cross-entropy: losses and gradient.
    CrossEntropy,
}

impl Function {
    /// As the command line and the tables spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activate(Activation::Relu) => "relu",
            Self::Activate(Activation::Sigmoid) => "sigmoid",
            Self::Activate(Activation::Tanh) => "tanh",
            Self::Activate(Activation::Gelu) => "gelu",
            Self::Activate(Activation::GeluTanh) => "gelu-tanh",
            Self::Activate(_) => "swish",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log-softmax",
            Self::CrossEntropy => "cross-entropy",
        }
    }

    /// All that are timed.
    pub const ALL: [Self; 9] = [
        Self::Activate(Activation::Relu),
        Self::Activate(Activation::Sigmoid),
        Self::Activate(Activation::Tanh),
        Self::Activate(Activation::Gelu),
        Self::Activate(Activation::GeluTanh),
        Self::Activate(Activation::Swish { beta: 1.0 }),
        Self::Softmax,
        Self::LogSoftmax,
        Self::CrossEntropy,
    ];

    /// y <- this of x, on our kernels.
    pub fn ours(self, ctx: &Context, input: &Input, y: &mut [f32], losses: &mut [f32]) {
        let (rows, cols) = (input.rows, input.cols);
        let done = match self {
            Self::Activate(activation) => ctx.activate(activation, &input.x, y),
            Self::Softmax => input.out(y).and_then(|y| ctx.softmax(input.matrix(), y)),
            Self::LogSoftmax => input.out(y).and_then(|y| ctx.log_softmax(input.matrix(), y)),
            Self::CrossEntropy => input.out(y).and_then(|y| {
                let scale = 1.0 / rows as f32;
                ctx.softmax_cross_entropy(input.matrix(), Labels::hard(&input.labels), scale, losses, y)
            }),
        };
        debug_assert!(done.is_ok(), "operands are made with their shape {rows}x{cols}");
    }

    /// The same as plain loops.
    fn plain(self, input: &Input, y: &mut [f32], losses: &mut [f32]) {
        let each = |y: &mut [f32], f: fn(f32) -> f32| y.iter_mut().zip(&input.x).for_each(|(y, &x)| *y = f(x));
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Activate(Activation::Relu) => each(y, |x| if x > 0.0 { x } else { 0.0 }),
            Self::Activate(Activation::Sigmoid) => each(y, sigmoid),
            Self::Activate(Activation::Tanh) => each(y, f32::tanh),
            // erf as in Abramowitz and Stegun 7.1.26 would be wrong in the fourth digit; the standard library has none.
            Self::Activate(Activation::Gelu) => {
                each(y, |x| reference::activation(Activation::Gelu, f64::from(x)) as f32)
            }
            Self::Activate(Activation::GeluTanh) => {
                each(y, |x| {
                    0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh())
                });
            }
            Self::Activate(_) => each(y, |x| x / (1.0 + (-x).exp())),
            Self::Softmax | Self::LogSoftmax | Self::CrossEntropy => {
                let rows = y.chunks_exact_mut(input.cols).zip(input.x.chunks_exact(input.cols));
                for (i, (y, x)) in rows.enumerate() {
                    let top = x.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
                    let sum: f32 = x.iter().map(|x| (x - top).exp()).sum();
                    match self {
                        Self::LogSoftmax => y.iter_mut().zip(x).for_each(|(y, x)| *y = x - top - sum.ln()),
                        _ => y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - top).exp() / sum),
                    }
                    if self == Self::CrossEntropy {
                        let label = usize::from(input.labels[i]);
                        losses[i] = top - x[label] + sum.ln();
                        y[label] -= 1.0;
                        y.iter_mut().for_each(|y| *y /= input.rows as f32);
                    }
                }
            }
        }
    }

    /// [`Function::error_over_bound`] of the first rows and the last.
    pub(super) fn error_of_sample(self, input: &Input, y: &[f32]) -> f64 {
        let few = (CHECKED / input.cols).clamp(1, input.rows);
        let first = self.error_over_bound(input, y, (0, few));
        let last = self.error_over_bound(input, y, (input.rows - 1, input.rows));
        if first.is_nan() || first > last { first } else { last }
    }

    /// The largest error of rows `from..to` of y over its bound; NaN if anything is. A few ulp for elementwise functions, and what a sum of
    /// n rounds for rows: derived in the kernels' headers, doubled for the plain loops.
    pub fn error_over_bound(self, input: &Input, y: &[f32], (from, to): (usize, usize)) -> f64 {
        let part = from * input.cols..to * input.cols;
        let (x, y) = (&input.x[part.clone()], &y[part]);
        let Ok(matrix) = MatRef::row_major(x, to - from, input.cols) else {
            return f64::NAN;
        };
        let eps = f64::from(f32::EPSILON);
        let row = eps * (16.0 + 2.0 * REACH + input.cols as f64 / 8.0);
        let (want, relative, absolute) = match self {
            Self::Activate(activation) => (reference::activate(activation, x), 64.0 * eps, eps),
            Self::Softmax => (reference::softmax(matrix), row, 1e-38),
            Self::LogSoftmax => (reference::log_softmax(matrix), 4.0 * eps, row),
            Self::CrossEntropy => {
                let scale = 1.0 / input.rows as f32;
                let labels = Labels::hard(&input.labels[from..to]);
                let gradient = reference::softmax_cross_entropy(matrix, labels, scale).1;
                (gradient, row, row * f64::from(scale))
            }
        };
        largest(y, &want, |want| relative * want.abs() + absolute)
    }
}

/// The largest |got - want| / bound; NaN if anything is.
fn largest(got: &[f32], want: &[f64], bound: impl Fn(f64) -> f64) -> f64 {
    let errors = got
        .iter()
        .zip(want)
        .map(|(&got, &want)| (f64::from(got) - want).abs() / bound(want));
    errors.fold(
        0.0,
        |worst, error| if error > worst || error.is_nan() { error } else { worst },
    )
}

/// Inputs lie in [-REACH, REACH].
const REACH: f64 = 8.0;

/// A matrix, and a label a row.
#[derive(Debug, Clone)]
pub struct Input {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) x: Vec<f32>,
    pub(super) labels: Vec<u8>,
}

impl Input {
    /// Uniform in [-8, 8].
    pub fn new(rows: usize, cols: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let reach = REACH as f32;
        Self {
            rows,
            cols,
            x: (0..rows * cols).map(|_| random.random_range(-reach..=reach)).collect(),
            labels: (0..rows).map(|i| (i * 7 % cols.min(256)) as u8).collect(),
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    fn matrix(&self) -> MatRef<'_, f32> {
        match MatRef::row_major(&self.x, self.rows, self.cols) {
            Ok(matrix) => matrix,
            Err(error) => unreachable!("made with its shape: {error}"),
        }
    }

    fn out<'y>(&self, y: &'y mut [f32]) -> Result<MatMut<'y, f32>, tilelab_kernels::ShapeError> {
        MatMut::row_major(y, self.rows, self.cols)
    }
}

/// Id of ours on a context.
fn id(function: &str, ctx: &Context) -> String {
    format!("{function}-{}", ctx.isa())
}

/// Who computes y, and losses where there are any.
type Compute<'a> = Box<dyn FnMut(&mut [f32], &mut [f32]) + 'a>;

/// The case of `function` on `input`: ours on each context, the plain loop, the copies.
pub fn lineup<'a>(function: Function, input: &'a Input, contexts: &[Context]) -> Lineup<'a> {
    let name = format!("{} {}x{}", function.name(), input.rows, input.cols);
    let enter = |id: String, mut run: Compute<'a>| {
        let (mut y, mut losses) = (vec![f32::NAN; input.len()], vec![f32::NAN; input.rows]);
        run(&mut y, &mut losses);
        let error = function.error_of_sample(input, &y);
        Contestant::new(id, error, move |calls| {
            for _ in 0..calls {
                run(&mut y, &mut losses);
            }
            std::hint::black_box(&mut y);
        })
    };
    let mut contestants = Vec::new();
    for ctx in contexts {
        let (id, ctx) = (id(function.name(), ctx), ctx.clone());
        contestants.push(enter(
            id,
            Box::new(move |y, losses| function.ours(&ctx, input, y, losses)),
        ));
    }
    contestants.push(enter(
        "plain-loop".to_owned(),
        Box::new(move |y, losses| function.plain(input, y, losses)),
    ));
    contestants.extend(copies(&input.x, contexts));
    Lineup {
        name,
        x: input.len() as f64,
        work: 8.0 * input.len() as f64,
        contestants,
    }
}

/// The copies of `x`.
fn copies<'a>(x: &'a [f32], contexts: &[Context]) -> Vec<Contestant<'a>> {
    let differs = |y: &[f32]| if y == x { 0.0 } else { f64::NAN };
    let mut y = vec![f32::NAN; x.len()];
    y.copy_from_slice(x);
    let mut all = vec![Contestant::new(COPY, differs(&y), move |calls| {
        for _ in 0..calls {
            y.copy_from_slice(x);
            std::hint::black_box(&mut y);
        }
    })];
    if let Some(ctx) = contexts.first().cloned() {
        let mut y = vec![f32::NAN; x.len()];
        let copy = move |y: &mut [f32]| {
            let done = ctx.activate(Activation::Identity, x, y);
            debug_assert!(done.is_ok(), "of one length");
        };
        copy(&mut y);
        all.push(Contestant::new(STREAMED_COPY, differs(&y), move |calls| {
            for _ in 0..calls {
                copy(&mut y);
            }
            std::hint::black_box(&mut y);
        }));
    }
    all
}

/// An update rule that is timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// SGD with weight decay: reads two arrays, writes one.
    Sgd,
    /// Momentum: reads three, writes two.
    Momentum,
    /// Adam: reads four, writes three.
    Adam,
}

pub(super) const MOMENTUM: Momentum = Momentum {
    lr: 1e-6,
    momentum: 0.9,
    l2: 1e-4,
    nesterov: false,
};

pub(super) const ADAM: Adam = Adam {
    lr: 1e-6,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    l2: 0.0,
    weight_decay: 0.0,
    step: 10,
};

/// 1 - lr times the weight decay, and lr, of the timed SGD.
pub(super) const SGD: [f32; 2] = [0.999_999, 1e-6];

/// The arrays of an update: weights and two of state.
pub(super) type State = [Vec<f32>; 3];

impl Rule {
    /// All that are timed.
    pub const ALL: [Self; 3] = [Self::Sgd, Self::Momentum, Self::Adam];

    /// In the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Momentum => "momentum",
            Self::Adam => "adam",
        }
    }

    /// Arrays read and written, the gradient included.
    pub(super) fn moved(self) -> usize {
        match self {
            Self::Sgd => 3,
            Self::Momentum => 5,
            Self::Adam => 7,
        }
    }

    fn ours(self, ctx: &Context, g: &[f32], [w, a, b]: &mut State) {
        let done = match self {
            Self::Sgd => ctx.sgd(SGD[0], SGD[1], g, w),
            Self::Momentum => ctx.momentum(MOMENTUM, g, w, a),
            Self::Adam => ctx.adam(ADAM, g, w, a, b),
        };
        debug_assert!(done.is_ok(), "of one length");
    }

    /// The formulas over f32, an element at a time.
    fn plain(self, g: &[f32], [w, a, b]: &mut State) {
        let state = w.iter_mut().zip(a).zip(b).zip(g);
        match self {
            Self::Sgd => state.for_each(|(((w, _), _), g)| *w = SGD[0] * *w - SGD[1] * g),
            Self::Momentum => {
                let (lr, mu, l2) = (MOMENTUM.lr as f32, MOMENTUM.momentum as f32, MOMENTUM.l2 as f32);
                state.for_each(|(((w, v), _), g)| {
                    *v = mu * *v + (g + l2 * *w);
                    *w -= lr * *v;
                });
            }
            Self::Adam => {
                let (b1, b2, eps) = (ADAM.beta1 as f32, ADAM.beta2 as f32, ADAM.epsilon as f32);
                let step = (ADAM.lr / (1.0 - ADAM.beta1.powi(10))) as f32;
                let root = (1.0 - ADAM.beta2.powi(10)).sqrt() as f32;
                state.for_each(|(((w, a), b), g)| {
                    *a = b1 * *a + (1.0 - b1) * g;
                    *b = b2 * *b + (1.0 - b2) * g * g;
                    *w -= step * *a / (b.sqrt() / root + eps);
                });
            }
        }
    }

    /// The largest error over its bound of the weights after the first step from [`state`]; NaN if anything is.
    pub(super) fn error_over_bound(self, g: &[f32], weights: &[f32]) -> f64 {
        // Weights up to 1 in size, with three roundings.
        let bound = |want: f64| 2.0 * f64::from(f32::EPSILON) * (want.abs() + 1e-3);
        largest(weights, &self.oracle(g, &state(g)), bound)
    }

    /// One step by the oracle: the weights.
    fn oracle(self, g: &[f32], [w, a, b]: &State) -> Vec<f64> {
        let at = |values: &[f32], i: usize| f64::from(values[i]);
        let one = |i: usize| match self {
            Self::Sgd => f64::from(SGD[0]) * at(w, i) - f64::from(SGD[1]) * at(g, i),
            Self::Momentum => reference::momentum(MOMENTUM, at(g, i), at(w, i), at(a, i)).0,
            Self::Adam => reference::adam(ADAM, at(g, i), at(w, i), (at(a, i), at(b, i))).0,
        };
        (0..g.len().min(CHECKED)).map(one).collect()
    }
}

/// Weights and state before the first step with this gradient.
pub(super) fn state(g: &[f32]) -> State {
    let small = |x: &f32| x / 8.0;
    let square = |x: &f32| x * x + 0.01;
    [
        g.iter().rev().map(small).collect(),
        g.iter().map(small).collect(),
        g.iter().map(square).collect(),
    ]
}

/// The case of an update of `gradient.len()` parameters.
pub fn update<'a>(rule: Rule, gradient: &'a Input, contexts: &[Context]) -> Lineup<'a> {
    let g = &gradient.x[..];
    let enter = |id: String, mut run: Box<dyn FnMut(&mut State) + 'a>| {
        let mut state = state(g);
        run(&mut state);
        let error = rule.error_over_bound(g, &state[0]);
        Contestant::new(id, error, move |calls| {
            for _ in 0..calls {
                run(&mut state);
            }
            std::hint::black_box(&mut state);
        })
    };
    let mut contestants = Vec::new();
    for ctx in contexts {
        let (id, ctx) = (id(rule.name(), ctx), ctx.clone());
        contestants.push(enter(id, Box::new(move |state| rule.ours(&ctx, g, state))));
    }
    contestants.push(enter(
        "plain-loop".to_owned(),
        Box::new(move |state| rule.plain(g, state)),
    ));
    Lineup {
        name: format!("{} {}", rule.name(), g.len()),
        x: g.len() as f64,
        work: (4 * rule.moved() * g.len()) as f64,
        contestants,
    }
}

#[cfg(test)]
mod tests {
    use tilelab_kernels::{Isa, Threads};

    use super::*;

    #[test]
    fn every_contestant_is_right_and_a_wrong_answer_is_seen() {
        let contexts: Vec<Context> = Isa::available()
            .into_iter()
            .map(|isa| Context::new(isa, Threads::one()).unwrap())
            .collect();
        let input = Input::new(7, 100, 1);
        for function in Function::ALL {
            let (mut y, mut losses) = (vec![0.0; 700], vec![0.0; 7]);
            for ctx in &contexts {
                function.ours(ctx, &input, &mut y, &mut losses);
                assert!(
                    function.error_over_bound(&input, &y, (0, 7)) <= 1.0,
                    "{function:?} {}",
                    ctx.isa()
                );
            }
            function.plain(&input, &mut y, &mut losses);
            assert!(
                function.error_over_bound(&input, &y, (0, 7)) <= 1.0,
                "{function:?}, plain"
            );
            y[333] += 0.01;
            assert!(function.error_over_bound(&input, &y, (0, 7)) > 1.0, "{function:?}");
            y[333] = f32::NAN;
            assert!(function.error_over_bound(&input, &y, (0, 7)).is_nan(), "{function:?}");
        }
        for rule in Rule::ALL {
            let lineup = update(rule, &input, &contexts);
            assert_eq!(lineup.contestants.len(), contexts.len() + 1);
        }
    }
}
