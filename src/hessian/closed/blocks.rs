//! The blocks of the matrix.

use tilelab_kernels::{Epilogue, Float, LayerTerms, MatMut, MatRef};

use super::{Closed, checked, part, room};
use crate::mlp::Loss;

impl<T: Float> Closed<T> {
    /// (W1, W1): from factors, by the kernel.
    pub(super) fn hidden_block(&mut self, out: &mut [T]) {
        let (size, (q, h)) = (self.size(), self.last());
        let inputs = self.hidden.inputs(self.model.inputs());
        let constant = self.model.loss() == Loss::SquaredError;
        let terms = LayerTerms {
            x: checked(MatRef::row_major(&self.room.inputs, self.rows, inputs)),
            factors: if constant { &self.room.slope } else { &self.room.factors },
            positive: if constant { 1 } else { q },
            negative: self.is_softmax(),
            weights: constant.then_some(&self.room.between[..]),
            diagonal: (!self.activation().is_piecewise_linear()).then_some(&self.room.curvature[..]),
            units: h,
        };
        let rows = inputs * h;
        checked(
            self.context
                .layer_hessian(terms, false, part(out, size, (0, 0), (rows, rows), 1)),
        );
    }

    /// (W2, W2): for each c <= c' one product of A~ with A~ scaled by S\[c, c'\], its values to four places.
    pub(super) fn output_block(&mut self, out: &mut [T]) {
        let (size, (first, second), (q, h)) = (self.size(), self.sizes(), self.last());
        let inputs = self.output.inputs(h);
        if inputs == 0 {
            return;
        }
        let softmax = self.is_softmax();
        let constant = self.model.loss() == Loss::SquaredError;
        let scale = T::from_f64(1.0 / self.rows as f64);
        let a = checked(MatRef::row_major(&self.room.hidden, self.rows, inputs));
        if !softmax {
            // Between outputs nothing is shared.
            for row in 0..second {
                out[(first + row) * size + first..][..second].fill(T::ZERO);
            }
        }
        for c in 0..q {
            for other in c..if softmax { q } else { c + 1 } {
                if !constant || c == 0 {
                    let scaled = room(&mut self.room.scaled, self.rows * inputs);
                    let samples = scaled
                        .chunks_exact_mut(inputs)
                        .zip(self.room.hidden.chunks_exact(inputs));
                    for ((to, from), bend) in samples.zip(self.room.bend.chunks_exact(q)) {
                        let s = match (softmax, c == other) {
                            (false, _) => bend[c],
                            (true, true) => scale
                                .times(bend[c])
                                .times(T::ONE.plus(T::from_f64(-1.0).times(bend[c]))),
                            (true, false) => T::from_f64(-1.0).times(scale).times(bend[c].times(bend[other])),
                        };
                        to.iter_mut().zip(from).for_each(|(to, a)| *to = s.times(*a));
                    }
                    let b = checked(MatRef::row_major(scaled, self.rows, inputs));
                    let products = room(&mut self.room.products, inputs * inputs);
                    let to = checked(MatMut::row_major(products, inputs, inputs));
                    checked(
                        self.context
                            .gemm(T::ONE, a.transposed(), b, T::ZERO, to, Epilogue::none()),
                    );
                }
                for i in 0..inputs {
                    for k in i..inputs {
                        let value = self.room.products[i * inputs + k];
                        for (i, k) in [(i, k), (k, i)] {
                            out[(first + i * q + c) * size + first + k * q + other] = value;
                            out[(first + i * q + other) * size + first + k * q + c] = value;
                        }
                    }
                }
            }
        }
    }

    /// (W2, W1), and its transpose.
    pub(super) fn cross_block(&mut self, out: &mut [T]) {
        let (rows, size, (first, second), (q, h)) = (self.rows, self.size(), self.sizes(), self.last());
        let (inputs, hidden) = (self.hidden.inputs(self.model.inputs()), self.output.inputs(h));
        // x~ f: the sums' derivative by W1, for every sample a row.
        let jacobian = room(&mut self.room.jacobian, rows * first);
        let samples = self
            .room
            .inputs
            .chunks_exact(inputs)
            .zip(self.room.slope.chunks_exact(h));
        for (to, (x, slope)) in jacobian.chunks_exact_mut(first).zip(samples) {
            for (to, &x) in to.chunks_exact_mut(h).zip(x) {
                to.iter_mut().zip(slope).for_each(|(to, f)| *to = x.times(*f));
            }
        }
        let u = checked(MatRef::row_major(&self.room.jacobian, rows, first));
        let a = checked(MatRef::row_major(&self.room.hidden, rows, hidden));
        if self.model.loss() == Loss::SquaredError {
            // S is one number: one product, and W's elements times it.
            let bend = self.room.bend[0];
            let products = room(&mut self.room.products, hidden * first);
            let to = checked(MatMut::row_major(products, hidden, first));
            checked(
                self.context
                    .gemm(bend, a.transposed(), u, T::ZERO, to, Epilogue::none()),
            );
            for (i, products) in self.room.products.chunks_exact(first).enumerate() {
                for c in 0..q {
                    let weights = &self.room.transposed[c * h..][..h];
                    let to = &mut out[(first + i * q + c) * size..][..first];
                    for (to, from) in to.chunks_exact_mut(h).zip(products.chunks_exact(h)) {
                        to.iter_mut()
                            .zip(from)
                            .zip(weights)
                            .for_each(|((to, from), w)| *to = from.times(*w));
                    }
                }
            }
        } else {
            self.cross_products(out);
        }
        if self.output.weights {
            self.own_gradient(out);
        }
        // Above the diagonal.
        let (above, below) = out.split_at_mut(first * size);
        let from = checked(MatRef::new(below, second, first, size, 1));
        let to = checked(MatMut::new(&mut above[first..], first, second, size, 1));
        checked(self.context.transpose(from, to));
    }

    /// For each c the product of A~ with x~ f (.) (W S_n)_c, straight into the rows of c.
    fn cross_products(&mut self, out: &mut [T]) {
        let (rows, size, (first, _), (q, h)) = (self.rows, self.size(), self.sizes(), self.last());
        let (inputs, hidden) = (self.hidden.inputs(self.model.inputs()), self.output.inputs(h));
        let a = checked(MatRef::row_major(&self.room.hidden, rows, hidden));
        let (softmax, scale) = (self.is_softmax(), T::from_f64(1.0 / rows as f64));
        let mut mixed = vec![T::ZERO; h];
        for c in 0..q {
            let weights = &self.room.transposed[c * h..][..h];
            let scaled = room(&mut self.room.scaled, rows * first);
            for (n, to) in scaled.chunks_exact_mut(first).enumerate() {
                let (bend, slope) = (self.room.bend[n * q + c], &self.room.slope[n * h..][..h]);
                for (j, to) in mixed.iter_mut().enumerate() {
                    // (W S)_c: s_c W_c, for softmax p_c (W_c - W p).
                    let w = if softmax {
                        scale.times(weights[j].plus(T::from_f64(-1.0).times(self.room.mean[n * h + j])))
                    } else {
                        weights[j]
                    };
                    *to = bend.times(w).times(slope[j]);
                }
                for (to, &x) in to.chunks_exact_mut(h).zip(&self.room.inputs[n * inputs..][..inputs]) {
                    to.iter_mut().zip(&mixed).for_each(|(to, m)| *to = x.times(*m));
                }
            }
            let b = checked(MatRef::row_major(scaled, rows, first));
            let to = part(out, size, (first + c, 0), (hidden, first), q);
            checked(
                self.context
                    .gemm(T::ONE, a.transposed(), b, T::ZERO, to, Epilogue::none()),
            );
        }
    }

    /// \[i' = j\]: a unit's own weights share its output, sum over n of x~_i f_j g_c.
    fn own_gradient(&mut self, out: &mut [T]) {
        let (rows, size, (first, _), (q, h)) = (self.rows, self.size(), self.sizes(), self.last());
        let g = checked(MatRef::row_major(&self.room.gradient, rows, q));
        let u = checked(MatRef::row_major(&self.room.jacobian, rows, first));
        let products = room(&mut self.room.products, q * first);
        let to = checked(MatMut::row_major(products, q, first));
        checked(
            self.context
                .gemm(T::ONE, g.transposed(), u, T::ZERO, to, Epilogue::none()),
        );
        for (c, products) in self.room.products.chunks_exact(first).enumerate() {
            for (at, value) in products.iter().enumerate() {
                let to = &mut out[(first + at % h * q + c) * size + at];
                *to = to.plus(*value);
            }
        }
    }
}
