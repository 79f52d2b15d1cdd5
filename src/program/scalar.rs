//! Scalars: constants, or fields of the arguments that change from step to step.

/// What changes from run to run. A device reads it when a step runs; nothing in a program has to be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepArgs {
    /// Learning rate.
    pub lr: f64,
    /// 1 - lr * l2: what a step leaves of a weight before the gradient is taken off.
    pub decay: f64,
    /// lambda of the regularisation, for updates that add lambda W to the gradient or take it from the weight.
    pub l2: f64,
    /// 1 / rows of the whole batch, which may be larger than the micro-batch that runs.
    pub inverse_rows: f64,
    /// 1 to add to the gradients that are there, 0 to overwrite them.
    pub accumulate: f64,
    /// What gradients are multiplied by where they are too large.
    pub gradient_scale: f64,
    /// Number of this step, from 1.
    pub t: u64,
    /// Place of the first row within the whole batch.
    pub row_offset: u64,
    /// Seed of everything random in the step.
    pub seed: u64,
}

impl Default for StepArgs {
    /// Takes no step: lr 0, decay 1, one row.
    fn default() -> Self {
        Self {
            lr: 0.0,
            decay: 1.0,
            l2: 0.0,
            inverse_rows: 1.0,
            accumulate: 0.0,
            gradient_scale: 1.0,
            t: 1,
            row_offset: 0,
            seed: 0,
        }
    }
}

/// A field of [`StepArgs`] that an operation multiplies by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// [`StepArgs::lr`].
    Lr,
    /// [`StepArgs::decay`].
    Decay,
    /// [`StepArgs::l2`].
    L2,
    /// [`StepArgs::inverse_rows`].
    InverseRows,
    /// [`StepArgs::accumulate`].
    Accumulate,
    /// [`StepArgs::gradient_scale`].
    GradientScale,
}

/// `factor`, or `factor * field`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalar {
    factor: f64,
    field: Option<Field>,
}

impl Scalar {
    /// Always 0.
    pub const ZERO: Self = Self::constant(0.0);
    /// Always 1.
    pub const ONE: Self = Self::constant(1.0);

    /// Always `value`.
    pub const fn constant(value: f64) -> Self {
        Self {
            factor: value,
            field: None,
        }
    }

    /// What the field holds when the step runs.
    pub const fn field(field: Field) -> Self {
        Self {
            factor: 1.0,
            field: Some(field),
        }
    }

    /// `factor` times as much.
    #[must_use]
    pub const fn times(self, factor: f64) -> Self {
        Self {
            factor: self.factor * factor,
            field: self.field,
        }
    }

    /// Its value if no field is in it.
    pub const fn as_constant(self) -> Option<f64> {
        match self.field {
            None => Some(self.factor),
            Some(_) => None,
        }
    }

    /// Whether it is 0 whatever the step's arguments are.
    pub fn is_zero(self) -> bool {
        self.as_constant() == Some(0.0)
    }

    /// Its value in a step.
    pub fn value(self, args: &StepArgs) -> f64 {
        let field = match self.field {
            None => 1.0,
            Some(Field::Lr) => args.lr,
            Some(Field::Decay) => args.decay,
            Some(Field::L2) => args.l2,
            Some(Field::InverseRows) => args.inverse_rows,
            Some(Field::Accumulate) => args.accumulate,
            Some(Field::GradientScale) => args.gradient_scale,
        };
        self.factor * field
    }
}
