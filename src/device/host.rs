//! A session in this process's memory: walks over a program's operations and hands each to its [`Arithmetic`].

use tilelab_kernels::{Adam, Dropout, Float, Labels, Momentum};

mod norm;
mod sum;
mod tangent;

use self::sum::sum_of;
use super::arithmetic::{Arithmetic, Factor, Finish, View, ViewMut};
use super::batch::{Checked, SetValues, Source};
use super::slots::{Place, Slots, vector_bytes};
use super::{Batch, Device, DeviceError, Held, Metrics, ProgramId, Session, Set, memory};
use crate::program::{BufferId, Element, Op, Operand, Product, Program, Scalar, StepArgs};

/// Buffers of T, and who computes.
pub(super) struct Host<'a, T, A> {
    device: Device,
    float: Element,
    arithmetic: A,
    sets: Vec<Set<'a>>,
    slots: Slots<T>,
    programs: Vec<Prepared>,
    /// Room for one row, for sums that are added to what is there; for [`norm::ROWS`] where there is batch norm.
    row: Vec<T>,
    /// Rows of the batch that ran last.
    rows: usize,
}

/// A program with the places of its buffers.
struct Prepared {
    operations: Vec<Op>,
    places: Vec<Place>,
    checked: Checked,
}

impl<'a, T: Float, A: Arithmetic<T>> Host<'a, T, A> {
    /// A session without programs. `float` is the type that programs must have; T is what it is computed in.
    pub(super) fn new(device: Device, float: Element, arithmetic: A, sets: &[Set<'a>]) -> Self {
        let (sets, slots) = (sets.to_vec(), Slots::default());
        Self {
            device,
            float,
            arithmetic,
            sets,
            slots,
            programs: Vec::new(),
            row: Vec::new(),
            rows: 0,
        }
    }
}

impl<T: Float, A: Arithmetic<T>> Session for Host<'_, T, A> {
    fn device(&self) -> Device {
        self.device
    }

    fn kernel(&self) -> String {
        self.arithmetic.kernel()
    }

    fn threads(&self) -> usize {
        self.arithmetic.threads()
    }

    fn add(&mut self, program: &Program) -> Result<ProgramId, DeviceError> {
        if program.float() != self.float {
            let (program, got) = (program.name().to_owned(), program.float());
            return Err(DeviceError::Float {
                program,
                got,
                session: self.float,
            });
        }
        let needed = self.slots.needs(program);
        let available = memory::available_bytes().unwrap_or(u64::MAX);
        if needed > u128::from(available) {
            let needed = u64::try_from(needed).unwrap_or(u64::MAX);
            return Err(DeviceError::Memory { needed, available });
        }
        let places = self.slots.add(program)?;
        let widest = program
            .buffers()
            .iter()
            .map(|buffer| buffer.shape.cols)
            .max()
            .unwrap_or(0);
        let norms = |op: &Op| matches!(op, Op::BatchNormBackward(_));
        let rows = if program.operations().iter().any(norms) {
            norm::ROWS
        } else {
            1
        };
        self.row.resize((rows * widest).max(self.row.len()), T::ZERO);
        let (operations, checked) = (program.operations().to_vec(), Checked::of(program));
        self.programs.push(Prepared {
            operations,
            places,
            checked,
        });
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn run(&mut self, id: ProgramId, batch: &Batch<'_>, args: &StepArgs) {
        let program = &self.programs[id.0];
        assert_eq!(
            program.checked, batch.checked,
            "the batch was checked against another program"
        );
        self.rows = batch.rows;
        let mut run = Run {
            arithmetic: &mut self.arithmetic,
            bound: Bound {
                slots: &mut self.slots,
                places: &program.places,
                rows: batch.rows,
            },
            sets: &self.sets,
            row: &mut self.row,
            batch,
            args,
        };
        let mut rest = program.operations.as_slice();
        while let [first, others @ ..] = rest {
            let stacked = tangent::together(rest);
            if stacked == 0 {
                run.operation(first);
                rest = others;
            } else {
                run.stacked(&rest[..stacked]);
                rest = &rest[stacked..];
            }
        }
    }

    fn read(&mut self, name: &str) -> Result<Vec<f64>, DeviceError> {
        self.slots.read(name, self.rows)
    }

    fn write(&mut self, name: &str, values: &[f64]) -> Result<(), DeviceError> {
        self.slots.write(name, values)
    }

    fn held(&self) -> Vec<Held> {
        let mut held = self.slots.held();
        let lists = |program: &Prepared| vector_bytes(&program.operations) + vector_bytes(&program.places);
        let programs: usize = self.programs.iter().map(lists).sum();
        let programs = programs + vector_bytes(&self.programs);
        held.push(Held::overhead("operations and their places", programs));
        held.push(Held::overhead("room for one row of sums", vector_bytes(&self.row)));
        held
    }

    fn metrics(&mut self) -> Result<Metrics, DeviceError> {
        Ok(Metrics(self.slots.take_metrics()))
    }
}

/// The slots as one program names them, in a batch of `rows` rows.
struct Bound<'r, T> {
    slots: &'r mut Slots<T>,
    places: &'r [Place],
    rows: usize,
}

impl<T: Float> Bound<'_, T> {
    fn place(&self, id: BufferId) -> (usize, usize, usize) {
        let Place { index, shape } = self.places[id.0];
        (index, shape.rows_in(self.rows), shape.cols)
    }

    fn real(&self, id: BufferId) -> View<'_, T> {
        let (index, rows, cols) = self.place(id);
        View {
            data: &self.slots.reals[index][..rows * cols],
            rows,
            cols,
        }
    }

    fn labels(&self, id: BufferId) -> &[u8] {
        &self.slots.bytes[self.place(id).0][..self.rows]
    }

    /// Takes an output out of its slot, calls `work` with it and the rest, and puts it back.
    fn with<R>(&mut self, id: BufferId, work: impl FnOnce(&mut Self, ViewMut<'_, T>) -> R) -> R {
        let (index, rows, cols) = self.place(id);
        let mut slot = std::mem::take(&mut self.slots.reals[index]);
        let done = work(
            self,
            ViewMut {
                data: &mut slot[..rows * cols],
                rows,
                cols,
            },
        );
        self.slots.reals[index] = slot;
        done
    }

    fn add_to(&mut self, metric: BufferId, value: f64) {
        let (index, ..) = self.place(metric);
        self.slots.metrics[index] += value;
    }

    fn factor(&self, operand: Operand) -> Factor<'_, T> {
        Factor {
            view: self.real(operand.buffer),
            transposed: operand.transposed,
        }
    }
}

/// One run of a program.
struct Run<'r, 'a, T, A> {
    arithmetic: &'r mut A,
    bound: Bound<'r, T>,
    sets: &'r [Set<'a>],
    row: &'r mut [T],
    batch: &'r Batch<'r>,
    args: &'r StepArgs,
}

impl<T: Float, A: Arithmetic<T>> Run<'_, '_, T, A> {
    fn scalar(&self, scalar: Scalar) -> T {
        T::from_f64(scalar.value(self.args))
    }

    fn operation(&mut self, op: &Op) {
        let arithmetic = &mut *self.arithmetic;
        match *op {
            Op::LoadRows { byte_scale, out } => self.load_rows(byte_scale, out),
            Op::LoadLabels { out } => self.load_labels(out),
            Op::Product(ref product) => self.product(product),
            Op::AddBias { bias, x } => self
                .bound
                .with(x, |bound, x| arithmetic.add_bias(bound.real(bias).data, x)),
            Op::Activate { activation, x, out } => {
                self.bound
                    .with(out, |bound, out| arithmetic.activate(activation, bound.real(x), out));
            }
            Op::ActivateBackward {
                activation,
                saved,
                gradient,
                out,
            } => self.bound.with(out, |bound, out| {
                arithmetic.activate_backward(activation, bound.real(saved), bound.real(gradient), out);
            }),
            Op::ActivateLearned { .. } | Op::ActivateLearnedBackward { .. } => self.learned(op),
            Op::BatchNorm(norm) => self.batch_norm(&norm),
            Op::BatchNormBackward(back) => self.batch_norm_backward(&back),
            Op::SoftmaxCrossEntropy {
                smoothing,
                logits,
                labels,
                scale,
                losses,
                gradient,
            } => {
                let scale = T::from_f64(scale.value(self.args));
                self.bound.with(losses, |bound, losses| {
                    bound.with(gradient, |bound, gradient| {
                        let (logits, classes) = (bound.real(logits), bound.labels(labels));
                        let smoothing = T::from_f64(smoothing);
                        let labels = Labels { classes, smoothing };
                        arithmetic.softmax_cross_entropy(logits, labels, scale, losses.data, gradient);
                    });
                });
            }
            Op::CrossEntropy { logits, labels, losses } => self.bound.with(losses, |bound, losses| {
                arithmetic.cross_entropy(bound.real(logits), bound.labels(labels), losses.data);
            }),
            Op::ColumnSum { x, accumulate, sums } => self.column_sum(x, accumulate, sums),
            Op::Sgd {
                decay,
                lr,
                gradient,
                weights,
            } => {
                let (decay, lr) = (self.scalar(decay), self.scalar(lr));
                let arithmetic = &mut *self.arithmetic;
                self.bound.with(weights, |bound, weights| {
                    arithmetic.sgd(decay, lr, bound.real(gradient), weights)
                });
            }
            Op::Dropout {
                probability,
                layer,
                x,
                out,
            } => {
                let dropout = Dropout {
                    probability,
                    seed: self.args.seed,
                    step: self.args.t,
                    layer: layer as u64,
                    first_row: self.args.row_offset,
                };
                self.bound
                    .with(out, |bound, out| arithmetic.dropout(dropout, bound.real(x), out));
            }
            Op::Targets { labels, out } => self.bound.with(out, |bound, out| {
                let labels = bound.labels(labels);
                if out.cols == 1 {
                    for (one, &label) in out.data.iter_mut().zip(labels) {
                        *one = T::from_f64(f64::from(label));
                    }
                    return;
                }
                out.data.fill(T::ZERO);
                for (row, &label) in out.data.chunks_exact_mut(out.cols).zip(labels) {
                    row[usize::from(label)] = T::ONE;
                }
            }),
            Op::TargetLoss {
                loss,
                outputs,
                targets,
                losses,
                gradient,
            } => {
                let gradient = gradient.map(|(scale, id)| (T::from_f64(scale.value(self.args)), id));
                self.bound.with(losses, |bound, losses| match gradient {
                    None => {
                        let operands = (bound.real(outputs), bound.real(targets));
                        arithmetic.target_loss(loss, operands, losses.data, None);
                    }
                    Some((scale, id)) => bound.with(id, |bound, into| {
                        let operands = (bound.real(outputs), bound.real(targets));
                        arithmetic.target_loss(loss, operands, losses.data, Some((scale, into)));
                    }),
                });
            }
            Op::Momentum {
                rule,
                gradient,
                weights,
                velocity,
            } => {
                let rule = Momentum {
                    lr: rule.lr.value(self.args),
                    momentum: rule.momentum,
                    l2: rule.l2.value(self.args),
                    nesterov: rule.nesterov,
                };
                self.bound.with(weights, |bound, weights| {
                    bound.with(velocity, |bound, velocity| {
                        arithmetic.momentum(rule, bound.real(gradient), weights, velocity);
                    });
                });
            }
            Op::Adam {
                rule,
                gradient,
                weights,
                moments: (first, second),
            } => {
                let rule = Adam {
                    lr: rule.lr.value(self.args),
                    beta1: rule.betas.0,
                    beta2: rule.betas.1,
                    epsilon: rule.epsilon,
                    l2: rule.l2.value(self.args),
                    weight_decay: rule.weight_decay.value(self.args),
                    step: self.args.t,
                };
                self.bound.with(weights, |bound, weights| {
                    bound.with(first, |bound, first| {
                        bound.with(second, |bound, second| {
                            arithmetic.adam(rule, bound.real(gradient), weights, [first, second]);
                        });
                    });
                });
            }
            Op::Above { x, threshold, out } => {
                let (index, rows, _) = self.bound.place(out);
                let mut slot = std::mem::take(&mut self.bound.slots.indices[index]);
                for (out, x) in slot[..rows].iter_mut().zip(self.bound.real(x).data) {
                    *out = u32::from(x.to_f64() > threshold);
                }
                self.bound.slots.indices[index] = slot;
            }
            Op::RowArgmax { x, out } => self.row_argmax(x, out),
            Op::AddSum { x, metric } => {
                let sum = sum_of(self.bound.real(x).data, |x| x);
                self.bound.add_to(metric, sum);
            }
            Op::AddSquares { x, metric } => {
                let squares = sum_of(self.bound.real(x).data, |x| x * x);
                self.bound.add_to(metric, squares);
            }
            Op::Scale { by, x } => {
                let by = by.value(self.args);
                let scale = |x: &mut T| *x = T::from_f64(by * x.to_f64());
                self.bound.with(x, |_, x| x.data.iter_mut().for_each(scale));
            }
            Op::AddMatches {
                indices,
                labels,
                metric,
            } => {
                let indices = &self.bound.slots.indices[self.bound.place(indices).0];
                let pairs = indices.iter().zip(self.bound.labels(labels));
                let matches = pairs.filter(|&(&index, &label)| index == u32::from(label)).count();
                self.bound.add_to(metric, matches as f64);
            }
            Op::Second(ref op) => self.second(op),
            Op::Stacked(_) => self.stacked(std::slice::from_ref(op)),
        }
    }

    fn load_rows(&mut self, byte_scale: f64, out: BufferId) {
        let (arithmetic, sets, source) = (&mut *self.arithmetic, self.sets, self.batch.source);
        self.bound.with(out, |_, out| match source {
            Source::Rows { set, rows } => match sets[set].values {
                SetValues::Bytes(bytes) => arithmetic.gather(bytes, rows, T::from_f64(byte_scale), out),
                SetValues::Reals(reals) => arithmetic.gather_reals(reals, rows, out),
            },
            Source::Slices { values, .. } => {
                out.data
                    .iter_mut()
                    .zip(values)
                    .for_each(|(to, &from)| *to = T::from_f64(f64::from(from)));
            }
        });
    }

    fn load_labels(&mut self, out: BufferId) {
        let rows = self.bound.rows;
        let index = self.bound.place(out).0;
        let out = &mut self.bound.slots.bytes[index][..rows];
        match self.batch.source {
            Source::Rows { set, rows } => {
                let labels = self.sets[set].labels;
                out.iter_mut()
                    .zip(rows)
                    .for_each(|(to, &row)| *to = labels[row as usize]);
            }
            Source::Slices { labels, .. } => out.copy_from_slice(labels),
        }
    }

    fn product(&mut self, product: &Product) {
        let Product {
            alpha,
            a,
            b,
            beta,
            c,
            epilogue,
        } = *product;
        let (alpha, beta) = (self.scalar(alpha), self.scalar(beta));
        let arithmetic = &mut *self.arithmetic;
        self.bound.with(c, |bound, c| {
            let finish = Finish {
                bias: epilogue.bias.map(|bias| bound.real(bias).data),
                activation: epilogue.activation,
                derivative: epilogue
                    .derivative
                    .map(|(activation, saved)| (activation, bound.real(saved))),
            };
            arithmetic.product(alpha, bound.factor(a), bound.factor(b), beta, c, finish);
        });
    }

    fn column_sum(&mut self, x: BufferId, accumulate: Scalar, sums: BufferId) {
        let accumulate = accumulate.value(self.args);
        let (arithmetic, row) = (&mut *self.arithmetic, &mut *self.row);
        self.bound.with(sums, |bound, sums| {
            let x = bound.real(x);
            if accumulate == 0.0 {
                return arithmetic.column_sum(x, sums.data);
            }
            let fresh = &mut row[..sums.cols];
            arithmetic.column_sum(x, fresh);
            for (sum, fresh) in sums.data.iter_mut().zip(fresh) {
                *sum = T::from_f64(fresh.to_f64() + accumulate * sum.to_f64());
            }
        });
    }

    fn row_argmax(&mut self, x: BufferId, out: BufferId) {
        let (index, rows, _) = self.bound.place(out);
        let mut slot = std::mem::take(&mut self.bound.slots.indices[index]);
        self.arithmetic.row_argmax(self.bound.real(x), &mut slot[..rows]);
        self.bound.slots.indices[index] = slot;
    }
}
