//! The computational graph of a program, as the notebook draws it: variables are square, operators round, and data flow to
//! the right and up. The way back is a graph of its own beside it, in which data flow to the left and down.
//!
//! It is read off the plain program. A variable that an operator changes in place (Z = H W, then Z += b) is drawn once, as it
//! ends; in between, data flow from operator to operator. What the way back takes from the way forward is drawn again where
//! it is taken.
//!
//! The regularisation s = lambda/2 sum |W|^2 and the objective J = L + s are drawn, and computed by no operation: the share
//! lambda W that s has in the gradient is taken in the update.

mod build;
mod dot;
mod layout;
mod svg;

use serde::Serialize;

pub use build::Options;

use super::Program;

/// A graph in one or two parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    /// What it shows.
    pub title: String,
    /// `forward`, and `backward` if asked for.
    pub parts: Vec<Part>,
}

/// One direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `forward` or `backward`.
    pub name: String,
    /// Nodes; an edge names them by their place here.
    pub nodes: Vec<Node>,
    /// Edges.
    pub edges: Vec<Edge>,
}

/// What a program is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Operations.
    pub operations: usize,
    /// Buffers.
    pub buffers: usize,
    /// Bytes of the buffers.
    pub bytes: u64,
    /// Floating-point operations of one run.
    pub flops: u64,
}

impl Count {
    /// Of a program with batches of `rows` rows.
    pub fn of(program: &Program, rows: usize) -> Self {
        Self {
            operations: program.operations().len(),
            buffers: program.buffers().len(),
            bytes: super::footprint::Footprint::of(program, rows).bytes(),
            flops: super::flops::of_program(program, rows),
        }
    }
}

/// A variable or an operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Which of the two.
    pub kind: Kind,
    /// `W1`, `relu`.
    pub label: String,
    /// Whether an operation of the program computes it; the regularisation is drawn only.
    pub computed: bool,
    /// Where it stands.
    #[serde(skip)]
    place: Place,
}

/// Columns go to the right, levels up, and the lanes of a level down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    column: usize,
    level: usize,
    lane: usize,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Square.
    Variable,
    /// Round.
    Operator,
}

/// What flows from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Index of a node.
    pub from: usize,
    /// Index of a node.
    pub to: usize,
    /// Rows and columns.
    pub size: (usize, usize),
    /// Whether the operator takes its transpose.
    pub transposed: bool,
    /// Bytes.
    pub bytes: u64,
    /// Floating-point operations of the operator that it comes from; `None` if it comes from a variable.
    pub flops: Option<u64>,
}

impl Edge {
    /// Shape, bytes, flops: a line each.
    fn lines(&self) -> Vec<String> {
        let transposed = if self.transposed { " transposed" } else { "" };
        let mut lines = vec![
            format!("{} x {}{transposed}", self.size.0, self.size.1),
            format!("{} B", grouped(self.bytes)),
        ];
        lines.extend(self.flops.map(|flops| format!("{} flop", grouped(flops))));
        lines
    }
}

fn grouped(count: u64) -> String {
    crate::data::grouped(usize::try_from(count).unwrap_or(usize::MAX))
}

impl Graph {
    /// The graph of a plain program.
    pub fn of(program: &Program, options: Options) -> Self {
        build::graph(program, options)
    }

    /// The same with every operation of these programs, each as a part under its name: a linearisation and its tangent.
    #[must_use]
    pub fn with(mut self, programs: &[&Program], rows: usize) -> Self {
        self.parts
            .extend(programs.iter().map(|program| build::whole(program, rows)));
        self
    }

    /// In the language of Graphviz.
    pub fn to_dot(&self) -> String {
        dot::render(self)
    }

    /// A picture.
    pub fn to_svg(&self) -> String {
        svg::render(self, true)
    }

    /// The same for a page that styles it: its class is `graph`, and it has no style of its own.
    pub fn to_inline_svg(&self) -> String {
        svg::render(self, false)
    }
}

#[cfg(test)]
mod tests;
