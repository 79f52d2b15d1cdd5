//! Hessians in closed form: the output layer of any net, and every layer of a net with one hidden layer.
//!
//! With X~ = \[X 1\], A~ = \[H 1\], per sample n the loss' gradient g_n and Hessian S_n by the outputs, f = phi'(Z), W = W2 (h x q):
//!
//! ```text
//! (W2, W2): H[(i, c), (i', c')] = sum_n a~_i a~_i' S_n[c, c']
//! (W1, W1): H[(i, j), (i', j')] = sum_n x~_i x~_i' (f_j f_j' (W S_n W^T)[j, j'] + [j = j'] phi''(z_j) (W g_n)_j)
//! (W2, W1): H[(i', c), (i, j)]  = sum_n x~_i f_j ((W S_n)[j, c] a~_i' + [i' = j] g_n,c)
//! ```
//! S_n is a diagonal s_n (squared error, binary cross-entropy) or diag(p) - p p^T: in both cases a sum of q squares, for softmax less one
//! more, so the (W1, W1) block's middle factor is v^T v - u u^T with v_c = f (.) sqrt(s_c) W_c and u = f (.) W p, and the block is
//! [`Context::layer_hessian`]. Squared error's S is one number, and its middle factor f f^T (.) W S W^T. Nothing of it is a matrix as
//! large as J^T J's factors. Where the terms come from, what each costs, and why squared error's (W2, W1) block is one product and
//! softmax's q: `docs/hessian.md`.

mod blocks;
mod forward;

use tilelab_kernels::{Activation, Context, Float, MatMut, ShapeError};

use super::{Directions, HessianError, Point};
use crate::mlp::{Loss, Model};
use crate::program::lower::{bias_name, weights_name};

/// Where a closed form's matrix begins and ends: which of a layer's weights and bias it is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Share {
    weights: bool,
    bias: bool,
}

impl Share {
    /// Inputs of the layer that count, the bias' 1 among them.
    fn inputs(self, inputs: usize) -> usize {
        usize::from(self.weights) * inputs + usize::from(self.bias)
    }
}

/// A model's Hessian in closed form, with room for all of it: made once, used at many points.
pub struct Closed<T> {
    context: Context,
    model: Model,
    l2: T,
    rows: usize,
    hidden: Share,
    output: Share,
    /// Inputs, row-major.
    x: Vec<T>,
    labels: Vec<u8>,
    /// W and b of each layer.
    parameters: Vec<(Vec<T>, Vec<T>)>,
    room: Room<T>,
}

/// What one evaluation fills.
#[derive(Default)]
struct Room<T> {
    /// Z and H of each hidden layer.
    z: Vec<Vec<T>>,
    h: Vec<Vec<T>>,
    outputs: Vec<T>,
    /// g and s (softmax: p), N x q.
    gradient: Vec<T>,
    bend: Vec<T>,
    /// phi', d phi'' (W g), N x h.
    slope: Vec<T>,
    back: Vec<T>,
    curvature: Vec<T>,
    /// W^T, q x h, and W p, N x h.
    transposed: Vec<T>,
    mean: Vec<T>,
    /// v and u.
    factors: Vec<T>,
    /// W S W^T, h x h, where it is the same for all samples.
    between: Vec<T>,
    /// X~ and A~, N rows.
    inputs: Vec<T>,
    hidden: Vec<T>,
    /// x~ f, N x (I h), and that times (W S_n)_c.
    jacobian: Vec<T>,
    scaled: Vec<T>,
    products: Vec<T>,
}

/// Whether the Hessian of a model by these parameters has a closed form here.
pub fn has_closed_form(model: &Model, directions: &Directions) -> bool {
    let plain = !model.batch_norm() && !model.learns();
    plain && directions.names().iter().all(|name| layer_of(model, name).is_some())
}

/// Floating-point operations of one evaluation for `rows` rows, counted as [`crate::program::flops`] does: what the matrix takes this way.
pub fn flops(model: &Model, directions: &Directions, rows: usize) -> u64 {
    let names = directions.names();
    let depth = model.depth();
    let share = |l: usize| Share {
        weights: names.contains(&weights_name(l)),
        bias: names.contains(&bias_name(l)),
    };
    let (output, n) = (model.layer(depth), rows as u64);
    let (q, hidden) = (output.outputs as u64, share(depth).inputs(output.inputs) as u64);
    let forward: u64 = (1..=depth)
        .map(|l| 2 * n * (model.layer(l).inputs * model.layer(l).outputs) as u64)
        .sum();
    let squared = model.loss() == Loss::SquaredError;
    let softmax = matches!(model.loss(), Loss::CrossEntropy { .. });
    let own = if squared {
        1
    } else if softmax {
        q * (q + 1) / 2
    } else {
        q
    };
    let mut all = forward + own * 2 * n * hidden * hidden;
    if depth == 2 {
        let (units, inputs) = (model.layer(1).outputs as u64, share(1).inputs(model.inputs()) as u64);
        // Both symmetries used: I (I + 1) / 2 times J (J + 1) / 2 sums of n terms.
        let per_row = if squared { 1 } else { q + u64::from(softmax) };
        all += (inputs * (inputs + 1) / 2 + per_row) * units * (units + 1) * n;
        // The block between the layers, and what a unit's own weights share.
        let products = if squared { 1 } else { q };
        all += 2 * n * inputs * units * (products * hidden + q * u64::from(share(2).weights));
    }
    all
}

/// 0 for the output layer, 1 for the hidden layer of a net that has one.
fn layer_of(model: &Model, name: &str) -> Option<usize> {
    let is = |l: usize| name == weights_name(l) || name == bias_name(l);
    let depth = model.depth();
    if is(depth) {
        return Some(0);
    }
    (depth == 2 && is(1)).then_some(1)
}

/// The result of a call whose shapes this file makes.
fn checked<R>(result: Result<R, ShapeError>) -> R {
    match result {
        Ok(done) => done,
        Err(error) => panic!("a closed form's own shapes: {error}"),
    }
}

impl<T: Float> Closed<T> {
    /// For the rows in `x` (row-major) and their labels.
    ///
    /// # Errors
    /// A model or parameters without a closed form, or rows that do not fit the model.
    pub fn new(
        context: &Context,
        model: &Model,
        directions: &Directions,
        x: &[T],
        labels: &[u8],
    ) -> Result<Self, HessianError> {
        let argument = |text: &str| Err(HessianError::Argument(text.to_owned()));
        if !has_closed_form(model, directions) {
            return argument(
                "there is a closed form for the output layer, and for nets with one hidden layer, without batch norm or learned activations",
            );
        }
        let rows = labels.len();
        if rows == 0 || x.len() != rows * model.inputs() {
            return argument("as many rows as labels, and at least 1");
        }
        if labels.iter().any(|&label| usize::from(label) >= model.labels()) {
            return argument("a label that is no class of the model");
        }
        let names = directions.names();
        let share = |l: usize| Share {
            weights: names.contains(&weights_name(l)),
            bias: names.contains(&bias_name(l)),
        };
        let depth = model.depth();
        let parameters = (1..=depth).map(|l| {
            let layer = model.layer(l);
            (
                vec![T::ZERO; layer.inputs * layer.outputs],
                vec![T::ZERO; layer.outputs],
            )
        });
        let hidden = |l: usize| vec![T::ZERO; rows * model.layer(l).outputs];
        let room = Room {
            z: (1..depth).map(hidden).collect(),
            h: (1..depth).map(hidden).collect(),
            ..Room::default()
        };
        Ok(Self {
            context: context.clone(),
            model: model.clone(),
            l2: T::ZERO,
            rows,
            hidden: if depth == 2 { share(1) } else { Share::default() },
            output: share(depth),
            x: x.to_vec(),
            labels: labels.to_vec(),
            parameters: parameters.collect(),
            room,
        })
    }

    /// The regularisation's lambda.
    #[must_use]
    pub fn with_l2(self, l2: f64) -> Self {
        Self {
            l2: T::from_f64(l2),
            ..self
        }
    }

    /// Other values of the parameters.
    pub fn move_to(&mut self, point: &Point) {
        for (l, (weights, bias)) in self.parameters.iter_mut().enumerate() {
            for (to, name) in [(weights, weights_name(l + 1)), (bias, bias_name(l + 1))] {
                let values = point.get(&name).unwrap_or_default();
                to.iter_mut().zip(values).for_each(|(to, x)| *to = T::from_f64(*x));
            }
        }
    }

    /// Bytes of all that an evaluation fills beside the matrix, once it has run.
    pub fn bytes(&self) -> u64 {
        let room = &self.room;
        let flat = [
            &room.outputs,
            &room.gradient,
            &room.bend,
            &room.slope,
            &room.back,
            &room.curvature,
            &room.transposed,
            &room.mean,
            &room.factors,
            &room.between,
            &room.inputs,
            &room.hidden,
            &room.jacobian,
            &room.scaled,
            &room.products,
            &self.x,
        ];
        let layers = room.z.iter().chain(&room.h);
        let all = flat.into_iter().chain(layers).map(Vec::len).sum::<usize>();
        (all * size_of::<T>()) as u64
    }

    /// Rows of the matrix.
    pub fn size(&self) -> usize {
        let (first, second) = self.sizes();
        first + second
    }

    /// Rows that belong to the hidden layer, and to the output layer.
    fn sizes(&self) -> (usize, usize) {
        let depth = self.model.depth();
        let output = self.model.layer(depth);
        let second = self.output.inputs(output.inputs) * output.outputs;
        if depth != 2 {
            return (0, second);
        }
        let hidden = self.model.layer(1);
        (self.hidden.inputs(hidden.inputs) * hidden.outputs, second)
    }

    /// The Hessian, row-major and exactly symmetric, into `out`.
    ///
    /// # Panics
    /// When `out` has not as many elements as the matrix.
    pub fn hessian(&mut self, out: &mut [T]) {
        let size = self.size();
        assert_eq!(out.len(), size * size, "room for all of the matrix");
        self.forward();
        self.output_block(out);
        if self.sizes().0 > 0 {
            self.hidden_block(out);
            if self.sizes().1 > 0 {
                self.cross_block(out);
            }
        }
        self.regularise(out);
    }

    /// lambda on the diagonal, for weights.
    fn regularise(&self, out: &mut [T]) {
        if self.l2 == T::ZERO {
            return;
        }
        let (first, _) = self.sizes();
        let depth = self.model.depth();
        for (l, share, from) in [(1, self.hidden, 0), (depth, self.output, first)] {
            let layer = self.model.layer(l);
            let count = usize::from(share.weights) * layer.inputs * layer.outputs;
            for i in from..from + count {
                let at = i * self.size() + i;
                out[at] = out[at].plus(self.l2);
            }
        }
    }

    fn is_softmax(&self) -> bool {
        matches!(self.model.loss(), Loss::CrossEntropy { .. })
    }

    fn activation(&self) -> Activation {
        self.model.activation()
    }

    /// Outputs of the model, and what comes into its last layer.
    fn last(&self) -> (usize, usize) {
        let layer = self.model.layer(self.model.depth());
        (layer.outputs, layer.inputs)
    }
}

/// Room for `len` elements; their values count for nothing.
fn room<T: Float>(vector: &mut Vec<T>, len: usize) -> &mut [T] {
    if vector.len() != len {
        vector.clear();
        vector.resize(len, T::ZERO);
    }
    vector
}

/// A part of the matrix: rows from `row`, columns from `col` on.
fn part<T: Float>(
    out: &mut [T],
    size: usize,
    (row, col): (usize, usize),
    (rows, cols): (usize, usize),
    step: usize,
) -> MatMut<'_, T> {
    checked(MatMut::new(&mut out[row * size + col..], rows, cols, step * size, 1))
}
