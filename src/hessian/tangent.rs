//! From the plain program of the gradients to its tangent, operation by operation: the R-operator.
//!
//! R{x} is the derivative of x along a direction of the parameters (`r_x` beside `x`), so R{dW} is the Hessian times the direction
//! (B. A. Pearlmutter, Neural Computation 6(1), 1994). With f = phi'(Z) and c = dH (.) phi''(Z), which do not depend on the direction:
//!
//! | plain | linearised once | for every direction |
//! |---|---|---|
//! | Z = H W + b | | R{Z} = R{H} W + H R{W} + R{b} |
//! | H = phi(Z) | f | R{H} = f (.) R{Z} |
//! | dO = (softmax(O) - t) s | p = softmax(O) | R{dO} = s (diag(p) - p p^T) R{O} |
//! | dO = s dl/dO | l'' s | R{dO} = l'' s (.) R{O} |
//! | dW = H^T dZ, db = sum of dZ | | R{dW} = R{H}^T dZ + H^T R{dZ}, R{db} = sum of R{dZ} |
//! | dH = dZ W^T | | R{dH} = R{dZ} W^T + dZ R{W}^T |
//! | dZ = dH (.) phi'(Z) | c | R{dZ} = f (.) R{dH} + c (.) R{Z} |
//!
//! A Gauss-Newton product J^T l'' J v leaves out what multiplies a derivative that came back through the plain step: R{H}^T dZ,
//! dZ R{W}^T and c. The Fishers put another matrix in the place of l''.

mod learned;
mod rules;

use std::collections::{HashMap, HashSet};

use super::HessianError;
use crate::program::tangent::{Map, Stacked};
use crate::program::{
    Access, Buffer, BufferId, Field, LOSS_SUM, Lifetime, Op, Parts, Program, Role, Scalar, drop_unused,
};

/// Which matrix the products are with. N is the number of rows, g_i a row's gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// The Hessian of the objective.
    #[default]
    Hessian,
    /// J^T l'' J, l'' being the Hessian of the loss by the model's outputs: positive semidefinite. For all losses here, whose outputs are
    /// natural parameters, it is the true Fisher.
    GaussNewton,
    /// 1 / N times the sum of g_i g_i^T with the labels of the data.
    EmpiricalFisher,
    /// The same with labels drawn from the model's own distribution; its expectation is the true Fisher.
    MonteCarloFisher,
}

impl Which {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::Hessian,
        Self::GaussNewton,
        Self::EmpiricalFisher,
        Self::MonteCarloFisher,
    ];

    /// As the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hessian => "hessian",
            Self::GaussNewton => "gauss-newton",
            Self::EmpiricalFisher => "empirical-fisher",
            Self::MonteCarloFisher => "monte-carlo-fisher",
        }
    }
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            // The losses are negative log-likelihoods in natural parameters: one matrix by two names.
            "fisher" | "true-fisher" => Ok(Self::GaussNewton),
            _ => Self::ALL.into_iter().find(|which| which.name() == name).ok_or_else(|| {
                format!(
                    "no matrix is called `{name}`; there is hessian, gauss-newton (also called fisher), empirical-fisher, monte-carlo-fisher"
                )
            }),
        }
    }
}

/// What to take the tangent of.
#[derive(Debug, Clone, Copy)]
pub struct Tangent<'a> {
    /// Directions at once.
    pub directions: usize,
    /// Names of the parameters that have a direction, such as `W1`.
    pub parameters: &'a [String],
    /// Which matrix.
    pub which: Which,
    /// The linearisation leaves the gradients and the sum of the losses too.
    pub with_gradient: bool,
}

/// Name of R{x}.
pub(super) fn r_name(name: &str) -> String {
    format!("r_{name}")
}

/// `linearise` and `tangent` of a plain program of gradients: run the first at a point, then the second for any directions. Those lie in
/// `r_W1`, ... as blocks one above the other, one a direction, and the products come to lie in `r_dW1`, ... They are added to what is there
/// where [`crate::program::StepArgs::accumulate`] is 1. The share lambda of the regularisation is [`crate::program::StepArgs::l2`].
///
/// # Errors
/// An operation that has no tangent: dropout, or an update. No parameter of that name. Buffers larger than an address space.
pub fn tangent(plain: &Program, what: Tangent<'_>) -> Result<(Program, Program), HessianError> {
    let mut rules = Rules::new(plain, what)?;
    for op in plain.operations() {
        rules.operation(op)?;
    }
    rules.regularise();
    rules.finish()
}

/// The two programs while they are made. They have one table of buffers.
struct Rules<'a> {
    plain: &'a Program,
    what: Tangent<'a>,
    buffers: Vec<Buffer>,
    linearise: Vec<Op>,
    tangent: Vec<Op>,
    /// x -> R{x}, where it is not 0.
    r: HashMap<BufferId, BufferId>,
    /// What phi' is computed from -> phi', and phi's input.
    slopes: HashMap<BufferId, (BufferId, BufferId)>,
    /// Input of a learned activation -> phi' and d phi / dp.
    learned: HashMap<BufferId, (BufferId, BufferId)>,
    /// Normalised -> what its tangent wrote: R{N} and c.
    norms: HashMap<BufferId, (BufferId, BufferId)>,
}

impl<'a> Rules<'a> {
    fn new(plain: &'a Program, what: Tangent<'a>) -> Result<Self, HessianError> {
        let mut rules = Self {
            plain,
            what,
            buffers: plain.buffers().to_vec(),
            linearise: Vec::new(),
            tangent: Vec::new(),
            r: HashMap::new(),
            slopes: HashMap::new(),
            learned: HashMap::new(),
            norms: HashMap::new(),
        };
        for name in what.parameters {
            let place = plain
                .buffers()
                .iter()
                .position(|buffer| buffer.name == *name && buffer.role == Role::Parameter);
            let id = BufferId(place.ok_or_else(|| HessianError::Parameter(name.clone()))?);
            rules.r_of(id);
        }
        Ok(rules)
    }

    /// R{x}, a new buffer the first time.
    fn r_of(&mut self, x: BufferId) -> BufferId {
        if let Some(&there) = self.r.get(&x) {
            return there;
        }
        let of = self.buffers[x.0].clone();
        let kept = matches!(of.role, Role::Parameter | Role::Gradient);
        self.buffers.push(Buffer {
            name: r_name(&of.name),
            shape: of.shape.stacked(self.what.directions),
            lifetime: if kept { Lifetime::Kept } else { Lifetime::Run },
            ..of
        });
        let id = BufferId(self.buffers.len() - 1);
        self.r.insert(x, id);
        id
    }

    /// A buffer like `like` under another name.
    fn beside(&mut self, like: BufferId, name: String) -> BufferId {
        let like = self.buffers[like.0].clone();
        self.add(Buffer {
            name,
            lifetime: Lifetime::Run,
            ..like
        })
    }

    fn add(&mut self, buffer: Buffer) -> BufferId {
        let place = self.buffers.iter().position(|there| there.name == buffer.name);
        BufferId(place.unwrap_or_else(|| {
            self.buffers.push(buffer);
            self.buffers.len() - 1
        }))
    }

    fn name(&self, id: BufferId) -> &str {
        &self.buffers[id.0].name
    }

    fn map(&mut self, map: Map) {
        let directions = self.what.directions;
        self.tangent.push(Op::Stacked(Stacked { directions, map }));
    }

    /// R{dW} += lambda R{W}: the objective's lambda / 2 |W|^2, which has no share in biases.
    fn regularise(&mut self) {
        for name in self.what.parameters.iter().filter(|name| name.starts_with('W')) {
            let find = |name: &str| self.buffers.iter().position(|buffer| buffer.name == name).map(BufferId);
            let pair = find(&r_name(name)).zip(find(&r_name(&format!("d{name}"))));
            if let Some((x, y)) = pair {
                self.map(Map::AddScaled {
                    by: Scalar::field(Field::L2),
                    x,
                    y,
                });
            }
        }
    }

    /// Leaves out what nobody needs, and keeps what the tangent reads of the linearisation.
    fn finish(mut self) -> Result<(Program, Program), HessianError> {
        let wanted: HashSet<BufferId> = self
            .what
            .parameters
            .iter()
            .filter_map(|name| {
                let name = r_name(&format!("d{name}"));
                self.buffers.iter().position(|buffer| buffer.name == name).map(BufferId)
            })
            .collect();
        let tangent = needed(std::mem::take(&mut self.tangent), wanted);
        let accesses = || tangent.iter().flat_map(Op::accesses);
        let written: HashSet<BufferId> = accesses()
            .filter(|(_, access)| *access != Access::Read)
            .map(|(id, _)| id)
            .collect();
        let directions: HashSet<BufferId> = self.r.values().copied().collect();
        let mut kept: HashSet<BufferId> = accesses()
            .map(|(id, _)| id)
            .filter(|id| !written.contains(id) && !directions.contains(id))
            .collect();
        for &id in &kept {
            self.buffers[id.0].lifetime = Lifetime::Kept;
        }
        if self.what.with_gradient {
            let more = (0..self.buffers.len())
                .map(BufferId)
                .filter(|id| !directions.contains(id));
            kept.extend(more.filter(|id| matches!(self.buffers[id.0].role, Role::Gradient | Role::Metric)));
        }
        let linearise = needed(std::mem::take(&mut self.linearise), kept);
        let program = |name: &str, operations| {
            let mut parts = Parts {
                name: name.to_owned(),
                float: self.plain.float(),
                rows: self.plain.rows(),
                buffers: self.buffers.clone(),
                operations,
            };
            drop_unused(&mut parts);
            Program::new(parts)
        };
        Ok((program("linearise", linearise)?, program("tangent", tangent)?))
    }
}

/// `objective`: what of the plain program of the gradients adds the rows' losses to [`crate::program::LOSS_SUM`].
///
/// # Errors
/// None that [`Program::new`] did not find before: it checks the result again.
pub fn objective(plain: &Program) -> Result<Program, HessianError> {
    let sum = plain
        .buffers()
        .iter()
        .position(|buffer| buffer.name == LOSS_SUM)
        .map(BufferId);
    let mut parts = plain.clone().into_parts();
    parts.name = "objective".into();
    parts.operations = needed(parts.operations, sum.into_iter().collect());
    drop_unused(&mut parts);
    Ok(Program::new(parts)?)
}

/// The operations that the wanted buffers depend on.
fn needed(operations: Vec<Op>, mut wanted: HashSet<BufferId>) -> Vec<Op> {
    let mut kept: Vec<Op> = Vec::new();
    for op in operations.into_iter().rev() {
        let accesses = op.accesses();
        let writes = accesses
            .iter()
            .any(|(id, access)| *access != Access::Read && wanted.contains(id));
        if writes {
            wanted.extend(
                accesses
                    .iter()
                    .filter(|(_, access)| *access != Access::Write)
                    .map(|(id, _)| *id),
            );
            kept.push(op);
        }
    }
    kept.reverse();
    kept
}
