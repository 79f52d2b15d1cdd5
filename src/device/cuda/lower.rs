//! From a program's operations to launches.

use tilelab_kernels::Activation;
use tilelab_kernels::cuda::columns::{self, Statistics, Summed};
use tilelab_kernels::cuda::gemm::{self, Card, Factor, Finish, Matrix};
use tilelab_kernels::cuda::{Call, Slice, elementwise, rows as by_row, softmax};

use super::rows::{CardValues, Rows};
use super::step::{Cell, Layout, parameter};
use super::store::Store;
use crate::device::DeviceError;
use crate::program::{BatchNorm, BatchNormBackward, BufferId, Op, Operand, Product, Program, Scalar, TargetLoss};

/// Sees to it that a card can run all of a program.
pub(super) fn supported(program: &Program) -> Result<(), DeviceError> {
    match program
        .operations()
        .iter()
        .find(|op| matches!(op, Op::Second(_) | Op::Stacked(_)))
    {
        None => Ok(()),
        Some(_) => Err(DeviceError::Unsupported {
            program: program.name().to_owned(),
            what: "second derivatives",
        }),
    }
}

/// Floats of room that a program's sums over columns take on their way.
pub(super) fn room(program: &Program) -> usize {
    let columns = program.operations().iter().map(|op| match *op {
        Op::ColumnSum { x, .. } | Op::BatchNorm(BatchNorm { x, .. }) => program.buffer(x).shape,
        Op::BatchNormBackward(back) => program.buffer(back.gradient).shape,
        _ => crate::program::Shape::fixed(0, 0),
    });
    // The parts of a sum, and two sums that the way back through batch normalisation keeps.
    let floats = columns.map(|shape| columns::room(shape.rows_in(program.rows()), shape.cols) + 2 * shape.cols);
    floats.max().unwrap_or(0)
}

/// A program for batches of one size.
pub(super) struct Lowering<'l, 'a> {
    card: Card,
    program: &'l Program,
    layout: &'l Layout,
    store: &'l Store,
    source: Rows<'l, 'a>,
    rows: usize,
    calls: Vec<Call>,
}

impl<'l, 'a> Lowering<'l, 'a> {
    pub(super) fn new(
        card: Card,
        program: &'l Program,
        layout: &'l Layout,
        store: &'l Store,
        source: Rows<'l, 'a>,
        rows: usize,
    ) -> Self {
        Self {
            card,
            program,
            layout,
            store,
            source,
            rows,
            calls: Vec::new(),
        }
    }

    /// All its launches in order.
    pub(super) fn calls(mut self) -> Result<Vec<Call>, DeviceError> {
        for op in self.program.operations() {
            self.operation(op)?;
        }
        Ok(self.calls)
    }

    fn real(&self, id: BufferId) -> Slice<f32> {
        self.store.slice(self.program, id, self.rows)
    }

    fn bytes(&self, id: BufferId) -> Slice<u8> {
        self.store.slice(self.program, id, self.rows)
    }

    fn indices(&self, id: BufferId) -> Slice<u32> {
        self.store.slice(self.program, id, self.rows)
    }

    fn metric(&self, id: BufferId) -> Slice<f64> {
        self.store.slice(self.program, id, self.rows)
    }

    fn shape(&self, id: BufferId) -> (usize, usize) {
        let shape = self.program.buffer(id).shape;
        (shape.rows_in(self.rows), shape.cols)
    }

    /// A cell of the step's block, `len` elements of T.
    fn cell<T>(&self, cell: Cell, len: usize) -> Slice<T> {
        self.source.block.slice(self.layout.cell(cell), len)
    }

    fn scalar(&self, scalar: Scalar) -> Slice<f32> {
        self.cell(Cell::Scalar(scalar), 1)
    }

    fn parameter(&self, activation: Activation) -> Slice<f32> {
        self.scalar(Scalar::constant(parameter(activation)))
    }

    fn operation(&mut self, op: &Op) -> Result<(), DeviceError> {
        let call = match *op {
            Op::LoadRows { byte_scale, out } => {
                let (out, shape) = (self.real(out), self.shape(out));
                let which = self.source.indices(self.layout, self.rows);
                match self.source.values(self.layout, out.len()) {
                    CardValues::Bytes(bytes) => by_row::gather_bytes(bytes, which, byte_scale as f32, out, shape),
                    CardValues::Reals(reals) => by_row::gather_reals(reals, which, out, shape),
                }
            }
            Op::LoadLabels { out } => by_row::gather_labels(
                self.source.labels(self.layout, self.rows),
                self.source.indices(self.layout, self.rows),
                self.bytes(out),
            ),
            Op::Product(ref product) => self.product(product),
            Op::AddBias { bias, x } => by_row::add_bias(self.real(bias), self.real(x)),
            Op::Activate { activation, x, out } => {
                elementwise::activate(activation, self.parameter(activation), self.real(x), self.real(out))
            }
            Op::ActivateBackward {
                activation,
                saved,
                gradient,
                out,
            } => elementwise::activate_backward(
                activation,
                self.parameter(activation),
                self.real(saved),
                self.real(gradient),
                self.real(out),
            ),
            Op::ActivateLearned {
                activation,
                parameter,
                x,
                out,
            } => elementwise::activate(activation, self.real(parameter), self.real(x), self.real(out)),
            Op::ActivateLearnedBackward { .. } => return self.learned_backward(op),
            Op::BatchNorm(ref norm) => return self.batch_norm(norm),
            Op::BatchNormBackward(ref back) => return self.batch_norm_backward(back),
            Op::Dropout {
                probability,
                layer,
                x,
                out,
            } => by_row::dropout(
                probability,
                self.cell(Cell::Key(layer as u64), 2),
                self.real(x),
                self.real(out),
                self.shape(x),
            ),
            Op::Targets { labels, out } => by_row::targets(self.bytes(labels), self.real(out), self.shape(out).1),
            Op::TargetLoss {
                loss,
                outputs,
                targets,
                losses,
                gradient,
            } => {
                let loss = match loss {
                    TargetLoss::SquaredError => by_row::TargetLoss::SquaredError,
                    TargetLoss::BinaryCrossEntropy => by_row::TargetLoss::BinaryCrossEntropy,
                };
                let gradient = gradient.map(|(scale, into)| (self.scalar(scale), self.real(into)));
                by_row::target_loss(
                    loss,
                    self.real(outputs),
                    self.real(targets),
                    self.real(losses),
                    gradient,
                )
            }
            Op::SoftmaxCrossEntropy {
                smoothing,
                logits,
                labels,
                scale,
                losses,
                gradient,
            } => softmax::softmax_cross_entropy(
                self.real(logits),
                self.bytes(labels),
                smoothing as f32,
                self.real(losses),
                Some((self.scalar(scale), self.real(gradient))),
            ),
            Op::CrossEntropy { logits, labels, losses } => {
                softmax::softmax_cross_entropy(self.real(logits), self.bytes(labels), 0.0, self.real(losses), None)
            }
            Op::ColumnSum { x, accumulate, sums } => {
                let into = columns::Into {
                    total: self.real(sums),
                    accumulate: self.scalar(accumulate),
                    fresh: Slice::none(),
                };
                return self.column_sum(Summed::Values(self.real(x)), self.shape(x), 1.0, into);
            }
            Op::Sgd {
                decay,
                lr,
                gradient,
                weights,
            } => elementwise::sgd(
                self.scalar(decay),
                self.scalar(lr),
                self.real(gradient),
                self.real(weights),
            ),
            Op::Momentum {
                rule,
                gradient,
                weights,
                velocity,
            } => elementwise::momentum(
                self.cell(Cell::Momentum(rule), 3),
                rule.nesterov,
                self.real(gradient),
                self.real(weights),
                self.real(velocity),
            ),
            Op::Adam {
                rule,
                gradient,
                weights,
                moments: (first, second),
            } => elementwise::adam(
                self.cell(Cell::Adam(rule), 9),
                self.real(gradient),
                self.real(weights),
                (self.real(first), self.real(second)),
            ),
            Op::Above { x, threshold, out } => elementwise::above(self.real(x), threshold as f32, self.indices(out)),
            Op::RowArgmax { x, out } => by_row::row_argmax(self.real(x), self.indices(out)),
            Op::AddSum { x, metric } => by_row::add_sum(self.real(x), self.metric(metric)),
            Op::AddSquares { x, metric } => by_row::add_squares(self.real(x), self.metric(metric)),
            Op::Scale { by, x } => elementwise::scale(self.scalar(by), self.real(x)),
            Op::AddMatches {
                indices,
                labels,
                metric,
            } => by_row::add_matches(self.indices(indices), self.bytes(labels), self.metric(metric)),
            Op::Second(_) | Op::Stacked(_) => unreachable!("`supported` refused them"),
        };
        self.calls.push(call?);
        Ok(())
    }

    fn product(&self, product: &Product) -> Result<Call, tilelab_kernels::cuda::CallError> {
        let matrix = |id| {
            let (rows, cols) = self.shape(id);
            Matrix::new(self.real(id), rows, cols)
        };
        let factor = |Operand { buffer, transposed }| Factor {
            matrix: matrix(buffer),
            transposed,
        };
        let epilogue = &product.epilogue;
        let finish = Finish {
            bias: epilogue.bias.map(|bias| self.real(bias)),
            input: None,
            activation: epilogue.activation,
            derivative: epilogue
                .derivative
                .map(|(activation, saved)| (activation, self.real(saved))),
        };
        let (rows, cols) = self.shape(product.c);
        let count = |size| u32::try_from(size).unwrap_or(u32::MAX);
        gemm::gemm(
            self.card.kernel_for(count(rows), count(cols), product.b.transposed),
            self.scalar(product.alpha),
            factor(product.a),
            factor(product.b),
            self.scalar(product.beta),
            matrix(product.c),
            finish,
        )
    }

    fn learned_backward(&mut self, op: &Op) -> Result<(), DeviceError> {
        let Op::ActivateLearnedBackward {
            activation,
            parameter,
            x,
            gradient,
            accumulate,
            out,
            slope,
        } = *op
        else {
            return Ok(());
        };
        let (p, x, dy) = (self.real(parameter), self.real(x), self.real(gradient));
        let input = elementwise::activate_backward(activation, p, x, dy, self.real(out))?;
        let accumulate = self.scalar(accumulate);
        let slope = elementwise::parameter_gradient(activation, p, x, dy, accumulate, self.real(slope))?;
        self.calls.extend([input, slope]);
        Ok(())
    }

    fn column_sum(
        &mut self,
        summed: Summed,
        shape: (usize, usize),
        factor: f32,
        into: columns::Into,
    ) -> Result<(), DeviceError> {
        let room = self.store.room().first(columns::room(shape.0, shape.1));
        self.calls.extend(columns::sum(summed, shape, factor, room, into)?);
        Ok(())
    }

    fn batch_norm(&mut self, norm: &BatchNorm) -> Result<(), DeviceError> {
        let (x, shape) = (self.real(norm.x), self.shape(norm.x));
        let (mean, scale) = (self.real(norm.mean), self.real(norm.scale));
        if norm.training {
            let share = 1.0 / shape.0 as f32;
            self.column_sum(Summed::Values(x), shape, share, columns::Into::fresh(mean))?;
            self.column_sum(Summed::Squares(x, mean), shape, share, columns::Into::fresh(scale))?;
        }
        let (running_mean, running_variance, batches) = norm.running;
        let statistics = Statistics {
            mean,
            scale,
            running_mean: self.real(running_mean),
            running_variance: self.real(running_variance),
            batches: self.real(batches),
        };
        let numbers = (BatchNorm::MOMENTUM as f32, BatchNorm::EPSILON as f32);
        let statistics = columns::batch_norm_statistics(shape.0, norm.training, numbers, statistics)?;
        let by = [mean, scale, self.real(norm.gamma), self.real(norm.beta)];
        let apply = columns::batch_norm(shape.0, x, by, self.real(norm.normal), self.real(norm.out))?;
        self.calls.extend([statistics, apply]);
        Ok(())
    }

    fn batch_norm_backward(&mut self, back: &BatchNormBackward) -> Result<(), DeviceError> {
        let (dy, normal, shape) = (
            self.real(back.gradient),
            self.real(back.normal),
            self.shape(back.gradient),
        );
        let sums = self.store.room().from(columns::room(shape.0, shape.1));
        let (sum_dy, sum_product) = (sums.first(shape.1), sums.from(shape.1).first(shape.1));
        let accumulate = self.scalar(back.accumulate);
        for (summed, total, fresh) in [
            (Summed::Values(dy), back.d_beta, sum_dy),
            (Summed::Products(dy, normal), back.d_gamma, sum_product),
        ] {
            let total = self.real(total);
            let into = columns::Into {
                total,
                accumulate,
                fresh,
            };
            self.column_sum(summed, shape, 1.0, into)?;
        }
        let by = [self.real(back.scale), self.real(back.gamma), sum_dy, sum_product];
        let out = self.real(back.out);
        self.calls.push(columns::batch_norm_backward(
            shape.0,
            back.training,
            (dy, normal),
            by,
            out,
        )?);
        Ok(())
    }
}
