//! One step of a run: one program, or several where gradients are accumulated over micro-batches or clipped.

use super::super::{Model, Optimizer, Schedule, Span, TrainError, TrainOptions};
use super::newton::{self, Newton};
use super::{TRAIN, Trainer};
use crate::device::{Batch, ProgramId};
use crate::hessian::{Directions, Which};
use crate::program::lower::Lowering;
use crate::program::{Buffer, GRADIENT_SQUARES, Program, StepArgs};

/// A program and its name in the session.
pub(super) struct Loaded {
    pub(super) id: ProgramId,
    pub(super) program: Program,
}

/// The programs of a step.
pub(super) enum Steps {
    /// Forward, backward, update.
    Whole(Loaded),
    /// Forward and backward for each micro-batch, then the norm of all gradients and their clipping, then the update.
    Parts {
        gradients: Loaded,
        clipping: Option<Box<Clipping>>,
        update: Loaded,
    },
    /// Gradient and linearisation, products, trials of a step.
    Newton(Box<Newton>),
}

/// Brings the Euclidean norm of all gradients down to `most`, as PyTorch's `clip_grad_norm_`.
pub(super) struct Clipping {
    most: f64,
    norm: Loaded,
    clip: Loaded,
}

/// Numbers programs in the order in which a session takes them.
pub(super) fn loaded(programs: Vec<Program>) -> Vec<Loaded> {
    let numbered = programs.into_iter().enumerate();
    numbered
        .map(|(id, program)| Loaded {
            id: ProgramId(id),
            program,
        })
        .collect()
}

/// The plain programs of a step whose batch has `lowering.rows` rows, in the order that [`Steps::new`] takes them.
pub(super) fn programs(options: &TrainOptions, lowering: Lowering<'_>) -> Result<Vec<Program>, TrainError> {
    if let Optimizer::NewtonCg { hessian } = options.optimizer {
        let which = if hessian { Which::Hessian } else { Which::GaussNewton };
        return newton::programs(options, lowering, which);
    }
    if options.accumulate == 1 && options.clip.is_none() {
        return Ok(vec![lowering.step(options.optimizer)?]);
    }
    let rows = lowering.rows.div_ceil(options.accumulate);
    let lowering = Lowering { rows, ..lowering };
    let mut programs = vec![lowering.gradients()?, lowering.update(options.optimizer)?];
    if options.clip.is_some() {
        programs.extend([lowering.norm()?, lowering.clip()?]);
    }
    Ok(programs)
}

impl Steps {
    /// From what [`programs`] gave. None if that is not what they are.
    pub(super) fn new(options: &TrainOptions, model: &Model, programs: Vec<Loaded>) -> Option<Self> {
        if let Optimizer::NewtonCg { .. } = options.optimizer {
            let directions = Directions::of(model, "all").ok()?;
            return Some(Self::Newton(Box::new(Newton::new(options, directions, programs)?)));
        }
        let mut programs = programs.into_iter();
        let (first, second) = (programs.next()?, programs.next());
        let Some(update) = second else {
            return Some(Self::Whole(first));
        };
        let clipping = match options.clip {
            None => None,
            Some(most) => Some(Box::new(Clipping {
                most,
                norm: programs.next()?,
                clip: programs.next()?,
            })),
        };
        Some(Self::Parts {
            gradients: first,
            clipping,
            update,
        })
    }

    /// The buffers of the program that updates.
    pub(super) fn updated(&self) -> &[Buffer] {
        match self {
            Self::Whole(step) => step.program.buffers(),
            Self::Parts { update, .. } => update.program.buffers(),
            Self::Newton(newton) => newton.updated(),
        }
    }

    /// All of the programs.
    pub(super) fn all(&self) -> Vec<&Program> {
        match self {
            Self::Whole(step) => vec![&step.program],
            Self::Newton(newton) => newton.all().to_vec(),
            Self::Parts {
                gradients,
                clipping,
                update,
            } => {
                let clipping = clipping.iter().flat_map(|clipping| [&clipping.norm, &clipping.clip]);
                [gradients, update]
                    .into_iter()
                    .chain(clipping)
                    .map(|loaded| &loaded.program)
                    .collect()
            }
        }
    }
}

impl Trainer<'_> {
    /// Steps of an epoch, and of all epochs.
    pub(super) fn span(&self) -> Span {
        let epoch = self.order.len().div_ceil(self.batch) as u64;
        Span {
            warmup: self.options.warmup,
            epoch,
            run: epoch * self.options.epochs as u64,
        }
    }

    /// One step on the rows `from..to` of the epoch's order.
    pub(super) fn step(&mut self, from: usize, to: usize) -> Result<(), TrainError> {
        let t = self.progress.steps + 1;
        let schedule: Schedule = self.options.schedule;
        let lr = self.options.lr * schedule.factor(t, self.span());
        self.step_at(from, to, lr)
    }

    /// The same at this learning rate.
    pub(super) fn step_at(&mut self, from: usize, to: usize, lr: f64) -> Result<(), TrainError> {
        let t = self.progress.steps + 1;
        let rows = &self.order[from..to];
        let mut args = StepArgs {
            lr,
            decay: 1.0 - lr * self.options.l2,
            l2: self.options.l2,
            inverse_rows: 1.0 / rows.len() as f64,
            t,
            seed: self.options.seed,
            ..StepArgs::default()
        };
        match &self.steps {
            Steps::Newton(newton) => {
                self.products += newton.step(&mut *self.session, &self.sets, (TRAIN, rows), args)?;
            }
            Steps::Whole(step) => {
                let batch = Batch::of_set(&step.program, &self.sets, TRAIN, rows)?;
                self.session.run(step.id, &batch, &args);
            }
            Steps::Parts {
                gradients,
                clipping,
                update,
            } => {
                for micro in rows.chunks(gradients.program.rows()) {
                    let batch = Batch::of_set(&gradients.program, &self.sets, TRAIN, micro)?;
                    self.session.run(gradients.id, &batch, &args);
                    args.accumulate = 1.0;
                    args.row_offset += micro.len() as u64;
                }
                // The others load no rows; a batch has at least one.
                let none = &rows[..1];
                if let Some(Clipping { most, norm, clip }) = clipping.as_deref() {
                    let batch = Batch::of_set(&norm.program, &self.sets, TRAIN, none)?;
                    self.session.run(norm.id, &batch, &args);
                    let length = self.session.read(GRADIENT_SQUARES)?[0].sqrt();
                    self.session.write(GRADIENT_SQUARES, &[0.0])?;
                    // One that is no number goes through, and is found by whoever looks at the parameters.
                    if length > *most {
                        args.gradient_scale = most / length;
                        let batch = Batch::of_set(&clip.program, &self.sets, TRAIN, none)?;
                        self.session.run(clip.id, &batch, &args);
                    }
                }
                let batch = Batch::of_set(&update.program, &self.sets, TRAIN, none)?;
                self.session.run(update.id, &batch, &args);
            }
        }
        Ok(())
    }
}
