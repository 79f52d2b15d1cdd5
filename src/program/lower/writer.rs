//! The buffers of a lowered model by name, and the operations that are being appended.

use std::ops::RangeInclusive;

use tilelab_kernels::Activation;

use super::Lowering;
use crate::mlp::{Extra, Model};
use crate::program::{Buffer, BufferId, Element, Lifetime, Op, Parts, Program, ProgramError, Role, Shape};

/// Name of the buffer with the last layer's sums.
pub const LOGITS: &str = "o";

/// Appends operations and finds buffers by name.
pub(super) struct Writer<'a> {
    pub(super) with: Lowering<'a>,
    buffers: Vec<Buffer>,
    pub(super) operations: Vec<Op>,
    /// The model trains: dropout is at work.
    pub(super) training: bool,
    /// The layers that are lowered: all, but in a stage of a pipeline.
    pub(super) layers: RangeInclusive<usize>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(with: Lowering<'a>) -> Self {
        Self {
            with,
            buffers: Vec::new(),
            operations: Vec::new(),
            training: false,
            layers: 1..=with.model.depth(),
        }
    }

    pub(super) fn finish(self, name: &str) -> Result<Program, ProgramError> {
        let Self {
            with,
            buffers,
            operations,
            ..
        } = self;
        Program::new(Parts {
            name: name.to_owned(),
            float: with.float,
            rows: with.rows,
            buffers,
            operations,
        })
    }

    /// The buffer of this name; a new one the first time.
    fn buffer(&mut self, buffer: Buffer) -> BufferId {
        let place = self.buffers.iter().position(|there| there.name == buffer.name);
        BufferId(place.unwrap_or_else(|| {
            self.buffers.push(buffer);
            self.buffers.len() - 1
        }))
    }

    fn real(&mut self, name: impl Into<String>, shape: Shape, role: Role, lifetime: Lifetime) -> BufferId {
        self.buffer(Buffer {
            name: name.into(),
            shape,
            element: self.with.float,
            role,
            lifetime,
        })
    }

    pub(super) fn x(&mut self) -> BufferId {
        self.real("x", Shape::batch(self.with.model.inputs()), Role::Input, Lifetime::Run)
    }

    pub(super) fn labels(&mut self) -> BufferId {
        let (name, shape) = ("y".to_owned(), Shape::batch(1));
        self.buffer(Buffer {
            name,
            shape,
            element: Element::U8,
            role: Role::Label,
            lifetime: Lifetime::Run,
        })
    }

    pub(super) fn losses(&mut self) -> BufferId {
        self.real("losses", Shape::batch(1), Role::Activation, Lifetime::Run)
    }

    /// Index of each row's largest logit.
    pub(super) fn predicted(&mut self) -> BufferId {
        let (name, shape) = ("predicted".to_owned(), Shape::batch(1));
        let (role, lifetime) = (Role::Activation, Lifetime::Run);
        self.buffer(Buffer {
            name,
            shape,
            element: Element::U32,
            role,
            lifetime,
        })
    }

    pub(super) fn metric(&mut self, name: &str) -> BufferId {
        let (name, shape) = (name.to_owned(), Shape::fixed(1, 1));
        self.buffer(Buffer {
            name,
            shape,
            element: Element::F64,
            role: Role::Metric,
            lifetime: Lifetime::Kept,
        })
    }

    /// W(l), [in, out]; layers count from 1.
    pub(super) fn weights(&mut self, l: usize) -> BufferId {
        let layer = self.with.model.layer(l);
        self.real(
            weights_name(l),
            Shape::fixed(layer.inputs, layer.outputs),
            Role::Parameter,
            Lifetime::Kept,
        )
    }

    pub(super) fn bias(&mut self, l: usize) -> BufferId {
        let outputs = self.with.model.layer(l).outputs;
        self.real(bias_name(l), Shape::fixed(1, outputs), Role::Parameter, Lifetime::Kept)
    }

    /// dW(l) and db(l).
    pub(super) fn gradients(&mut self, l: usize, lifetime: Lifetime) -> (BufferId, BufferId) {
        let layer = self.with.model.layer(l);
        let weights = Shape::fixed(layer.inputs, layer.outputs);
        (
            self.real(format!("d{}", weights_name(l)), weights, Role::Gradient, lifetime),
            self.real(
                format!("d{}", bias_name(l)),
                Shape::fixed(1, layer.outputs),
                Role::Gradient,
                lifetime,
            ),
        )
    }

    /// What layer l has beside W and b.
    pub(super) fn extra(&mut self, l: usize, extra: Extra) -> BufferId {
        let role = if extra.trained() {
            Role::Parameter
        } else {
            Role::Statistic
        };
        self.real(extra.name(l), self.extra_shape(l, extra), role, Lifetime::Kept)
    }

    /// Its gradient.
    pub(super) fn extra_gradient(&mut self, l: usize, extra: Extra, lifetime: Lifetime) -> BufferId {
        let (name, shape) = (format!("d{}", extra.name(l)), self.extra_shape(l, extra));
        self.real(name, shape, Role::Gradient, lifetime)
    }

    pub(super) fn extra_shape(&self, l: usize, extra: Extra) -> Shape {
        Shape::fixed(1, extra.count(self.with.model.layer(l).outputs))
    }

    /// One value a unit of layer l that batch norm keeps for the way back.
    pub(super) fn by_unit(&mut self, letters: &str, l: usize) -> BufferId {
        let shape = Shape::fixed(1, self.with.model.layer(l).outputs);
        self.real(format!("{letters}{l}"), shape, Role::Activation, Lifetime::Run)
    }

    /// Whether batch norm stands behind Z(l).
    pub(super) fn normed(&self, l: usize) -> bool {
        self.with.model.batch_norm() && (1..self.with.model.depth()).contains(&l)
    }

    /// Whether layer l's activation has a learned parameter.
    pub(super) fn learns(&self, l: usize) -> bool {
        self.with.model.learns() && l < self.with.model.depth()
    }

    /// dJ/dU(l) behind batch norm, dJ/dZ(l) without.
    pub(super) fn given_gradient(&mut self, l: usize) -> BufferId {
        self.units(if self.normed(l) { "du" } else { "dz" }, l)
    }

    /// dJ/dH(l), which is that of what the activation is given where nothing is applied to it.
    pub(super) fn output_gradient(&mut self, l: usize) -> BufferId {
        match self.with.model.layer(l).activation {
            Activation::Identity => self.given_gradient(l),
            _ => self.units("dh", l),
        }
    }

    /// The derivative by what layer l hands on: dJ/dR(l) with dropout, dJ/dH(l) without.
    pub(super) fn handed_gradient(&mut self, l: usize) -> BufferId {
        if self.drops(l) {
            self.units("dr", l)
        } else {
            self.output_gradient(l)
        }
    }

    /// It is written and read from outside, so that its contents outlive a run.
    pub(super) fn keep(&mut self, id: BufferId) {
        self.buffers[id.0].lifetime = Lifetime::Kept;
    }

    /// What layer l's activation is given: U(l) behind batch norm, Z(l) without.
    pub(super) fn given(&mut self, l: usize) -> BufferId {
        self.units(if self.normed(l) { "u" } else { "z" }, l)
    }

    /// `z3`, `dh1`: one row of this layer's outputs for each row of the batch. The last layer's z is the output `o`.
    pub(super) fn units(&mut self, letters: &str, l: usize) -> BufferId {
        let last = l == self.with.model.depth();
        let name = match letters {
            "z" if last => LOGITS.to_owned(),
            "dz" if last => "do".to_owned(),
            _ => format!("{letters}{l}"),
        };
        let role = if letters.starts_with('d') {
            Role::Backward
        } else {
            Role::Activation
        };
        self.real(
            name,
            Shape::batch(self.with.model.layer(l).outputs),
            role,
            Lifetime::Run,
        )
    }

    /// R(l): H(l) behind dropout, which is what layer l + 1 is given; H(l) itself where there is none.
    pub(super) fn handed(&mut self, l: usize) -> BufferId {
        if self.drops(l) {
            self.units("r", l)
        } else {
            self.output(l)
        }
    }

    /// Whether dropout is at work behind layer l.
    pub(super) fn drops(&self, l: usize) -> bool {
        self.training && self.with.model.dropout() > 0.0 && (1..self.with.model.depth()).contains(&l)
    }

    /// One row of targets for each row of the batch.
    pub(super) fn targets(&mut self) -> BufferId {
        let shape = Shape::batch(self.with.model.classes());
        self.real("t", shape, Role::Label, Lifetime::Run)
    }

    /// What the optimizer keeps of a parameter, by a letter and the parameter's name.
    pub(super) fn state(&mut self, letter: &str, name: &str, shape: Shape) -> BufferId {
        self.real(format!("{letter}{name}"), shape, Role::OptimizerState, Lifetime::Kept)
    }

    /// H(l): what layer l hands on; X for l = 0, and what the activation is given where nothing is applied to it.
    pub(super) fn output(&mut self, l: usize) -> BufferId {
        match l {
            0 => self.x(),
            _ if self.with.model.layer(l).activation == Activation::Identity => self.given(l),
            _ => self.units("h", l),
        }
    }
}

/// Name of what layer l hands on, dropout aside.
pub fn output_name(model: &Model, l: usize) -> String {
    let letter = match (model.layer(l).activation, model.batch_norm()) {
        (Activation::Identity, true) => "u",
        (Activation::Identity, false) => "z",
        _ => "h",
    };
    format!("{letter}{l}")
}

/// Name of W(l); layers count from 1.
pub fn weights_name(l: usize) -> String {
    format!("W{l}")
}

/// Name of b(l).
pub fn bias_name(l: usize) -> String {
    format!("b{l}")
}
