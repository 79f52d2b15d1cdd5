//! From a program's operations to nodes and edges.

use std::collections::HashMap;

use super::layout::Grid;
use super::{Edge, Graph, Kind, Node, Part, Place};
use crate::mlp::activation_name;
use crate::program::tangent::{Map, Stacked};
use crate::program::{Access, BufferId, Element, Field, Op, Program, Role, Scalar, flops};

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Rows of the batch.
    pub rows: usize,
    /// lambda of the regularisation; 0 draws none.
    pub l2: f64,
    /// Whether the way back is drawn too.
    pub backward: bool,
}

pub(super) fn graph(program: &Program, options: Options) -> Graph {
    let mut forward = Drawing::new(program, options.rows, "forward");
    program.operations().iter().for_each(|op| forward.forward(op));
    if options.l2 > 0.0 {
        forward.regularise();
    }
    let mut parts = vec![forward.part];
    if options.backward {
        let mut backward = Drawing::new(program, options.rows, "backward");
        program.operations().iter().for_each(|op| backward.backward(op));
        parts.push(backward.part);
    }
    let l2 = if options.l2 > 0.0 {
        format!(", L2 {}", options.l2)
    } else {
        String::new()
    };
    Graph {
        title: format!("{}, batch {}{l2}", program.name(), options.rows),
        parts,
    }
}

/// Every operation of a program as one part.
pub(super) fn whole(program: &Program, rows: usize) -> Part {
    let mut drawing = Drawing::new(program, rows, program.name());
    for op in program.operations() {
        match *op {
            Op::LoadRows { out, .. } | Op::LoadLabels { out } => drawing.source(out),
            _ => {
                let (inputs, output) = drawing.operands(op);
                let flops = flops::of_operation(program, op, rows);
                drawing.operator(Drawn {
                    label: &label(op),
                    inputs,
                    output,
                    flops,
                });
            }
        }
    }
    drawing.part
}

/// One part while it is drawn.
struct Drawing<'p> {
    program: &'p Program,
    rows: usize,
    part: Part,
    grid: Grid,
    /// Which node holds a buffer's value now.
    holders: HashMap<BufferId, Holder>,
}

#[derive(Clone, Copy)]
struct Holder {
    node: usize,
    /// Of the operator, if the node is one.
    flops: Option<u64>,
}

/// What an operation reads and writes as it is drawn.
struct Drawn<'s> {
    label: &'s str,
    inputs: Vec<(BufferId, bool)>,
    output: BufferId,
    flops: u64,
}

/// Whether a buffer belongs to the way back.
fn is_backward(role: Role) -> bool {
    matches!(
        role,
        Role::Backward | Role::Gradient | Role::Parameter | Role::OptimizerState
    )
}

impl<'p> Drawing<'p> {
    fn new(program: &'p Program, rows: usize, name: &str) -> Self {
        Self {
            program,
            rows,
            part: Part {
                name: name.to_owned(),
                nodes: Vec::new(),
                edges: Vec::new(),
            },
            grid: Grid::default(),
            holders: HashMap::new(),
        }
    }

    fn role(&self, id: BufferId) -> Role {
        self.program.buffer(id).role
    }

    /// Draws an operation if it belongs to the way forward.
    fn forward(&mut self, op: &Op) {
        let flops = flops::of_operation(self.program, op, self.rows);
        match *op {
            // The batch's rows and labels are variables without an operator before them.
            Op::LoadRows { out, .. } | Op::LoadLabels { out } => self.source(out),
            Op::SoftmaxCrossEntropy {
                logits, labels, losses, ..
            } => self.operator(Drawn {
                label: "cross-entropy",
                inputs: vec![(logits, false), (labels, false)],
                output: losses,
                flops,
            }),
            _ => {
                let (inputs, output) = self.operands(op);
                if !is_backward(self.role(output)) {
                    self.operator(Drawn {
                        label: &label(op),
                        inputs,
                        output,
                        flops,
                    });
                }
            }
        }
    }

    /// Draws an operation if it belongs to the way back.
    fn backward(&mut self, op: &Op) {
        let flops = flops::of_operation(self.program, op, self.rows);
        match *op {
            Op::LoadRows { .. } | Op::LoadLabels { .. } => {}
            Op::SoftmaxCrossEntropy {
                logits,
                labels,
                gradient,
                ..
            } => {
                // Where the way back begins, at the border, as x does on the way forward.
                let place = self.grid.take(Place::default());
                let holder = self.variable(logits, place);
                self.holders.insert(logits, holder);
                self.operator(Drawn {
                    label: "softmax - y",
                    inputs: vec![(logits, false), (labels, false)],
                    output: gradient,
                    flops,
                })
            }
            _ => {
                let (inputs, output) = self.operands(op);
                if is_backward(self.role(output)) {
                    self.operator(Drawn {
                        label: &label(op),
                        inputs,
                        output,
                        flops,
                    });
                }
            }
        }
    }

    /// What it reads, and whether as a transpose; and the last of what it writes.
    fn operands(&self, op: &Op) -> (Vec<(BufferId, bool)>, BufferId) {
        let accesses = op.accesses();
        let transposed = |id: BufferId| match op {
            Op::Product(product) => [product.a, product.b].iter().any(|x| x.buffer == id && x.transposed),
            Op::Stacked(Stacked {
                map: Map::Product { a, b, .. },
                ..
            }) => [a, b].iter().any(|x| x.operand.buffer == id && x.operand.transposed),
            _ => false,
        };
        // What is added to is read, unless it is a sum over runs.
        let reads = |&&(id, access): &&(BufferId, Access)| {
            access == Access::Read || (access == Access::Update && self.role(id) != Role::Metric)
        };
        let inputs = accesses.iter().filter(reads).map(|&(id, _)| (id, transposed(id)));
        let written = accesses.iter().rev().find(|(_, access)| *access != Access::Read);
        let output = written.map_or(accesses[0].0, |&(id, _)| id);
        (inputs.collect(), output)
    }

    /// A variable at the left border, if it is not there: labels wait for the operator that takes them.
    fn source(&mut self, id: BufferId) {
        if self.role(id) == Role::Input {
            let place = self.grid.take(Place::default());
            self.variable(id, place);
        }
    }

    fn operator(&mut self, drawn: Drawn<'_>) {
        let known: Vec<Place> = drawn
            .inputs
            .iter()
            .filter_map(|(id, _)| self.holders.get(id))
            .map(|holder| self.part.nodes[holder.node].place)
            .collect();
        let column = known.iter().map(|place| place.column + 1).max().unwrap_or(1);
        let level = known.iter().map(|place| place.level).max().unwrap_or(0);
        // A product that goes on to the next layer climbs.
        let output = self.role(drawn.output);
        let climbs = drawn.label == PRODUCT && matches!(output, Role::Activation | Role::Backward);
        let begins = self.part.edges.is_empty();
        let level = level + usize::from(climbs && !begins);
        let ends = self.is_last_version(drawn.output, drawn.label);
        let place = self
            .grid
            .take_wide(Place { column, level, lane: 0 }, 1 + usize::from(ends));
        let node = self.node(Kind::Operator, drawn.label.to_owned(), place);
        for (id, transposed) in drawn.inputs {
            let from = match self.holders.get(&id) {
                Some(&holder) => holder,
                None => {
                    let below = self.grid.take(Place {
                        lane: place.lane + 1,
                        ..place
                    });
                    self.variable(id, below)
                }
            };
            self.edge(from, node, id, transposed);
        }
        let holder = Holder {
            node,
            flops: Some(drawn.flops),
        };
        self.holders.insert(drawn.output, holder);
        if ends {
            let to = self.variable(
                drawn.output,
                Place {
                    column: column + 1,
                    ..place
                },
            );
            self.edge(holder, to.node, drawn.output, false);
        }
    }

    /// A product's result is drawn as a variable unless a bias is added to it in place.
    fn is_last_version(&self, id: BufferId, label: &str) -> bool {
        let adds = |op: &Op| matches!(*op, Op::AddBias { x, .. } if x == id);
        label != PRODUCT || !self.program.operations().iter().any(adds)
    }

    /// What the way forward takes from a variable, it takes from one node; the way back draws it again at each operator.
    fn variable(&mut self, id: BufferId, place: Place) -> Holder {
        let name = self.program.buffer(id).name.clone();
        let node = self.node(Kind::Variable, name, place);
        let holder = Holder { node, flops: None };
        let produced = self.holders.contains_key(&id);
        if self.part.name == "forward" || produced {
            self.holders.insert(id, holder);
        }
        holder
    }

    fn node(&mut self, kind: Kind, label: String, place: Place) -> usize {
        let node = Node {
            kind,
            label,
            computed: true,
            place,
        };
        self.part.nodes.push(node);
        self.part.nodes.len() - 1
    }

    fn edge(&mut self, from: Holder, to: usize, id: BufferId, transposed: bool) {
        let buffer = self.program.buffer(id);
        self.part.edges.push(Edge {
            from: from.node,
            to,
            size: (buffer.shape.rows_in(self.rows), buffer.shape.cols),
            transposed,
            bytes: buffer.bytes(self.rows).unwrap_or(usize::MAX) as u64,
            flops: from.flops,
        });
    }

    /// s = lambda/2 sum |W|^2 over the weights that the update lets decay, and J = L + s.
    fn regularise(&mut self) {
        let decayed: Vec<BufferId> = self.program.operations().iter().filter_map(decayed).collect();
        let weights: Vec<(BufferId, Holder)> = decayed
            .iter()
            .filter_map(|id| self.holders.get(id).map(|&holder| (*id, holder)))
            .collect();
        let Some(loss) = self.part.nodes.iter().rposition(|node| node.kind == Kind::Variable) else {
            return;
        };
        let end = self.part.nodes[loss].place;
        let below = Place {
            column: end.column + 1,
            level: end.level,
            lane: 2,
        };
        let place = self.grid.take_wide(below, 2);
        let sum = self.drawn_only(Kind::Operator, "λ/2 sum".to_owned(), place);
        let mut elements = 0;
        for &(id, holder) in &weights {
            let at = self.part.nodes[holder.node].place;
            let place = self.grid.take(Place {
                lane: at.lane + 1,
                ..at
            });
            let norm = self.drawn_only(Kind::Operator, "squares".to_owned(), place);
            self.edge(holder, norm, id, false);
            let shape = self.program.buffer(id).shape;
            let count = shape.elements(self.rows).unwrap_or(usize::MAX) as u64;
            elements += 1;
            self.scalar(norm, sum, Some(2 * count));
        }
        let s = self.drawn_only(
            Kind::Variable,
            "s".to_owned(),
            Place {
                column: place.column + 1,
                ..place
            },
        );
        self.scalar(sum, s, Some(elements));
        let place = self.grid.take_wide(
            Place {
                column: end.column + 3,
                ..end
            },
            2,
        );
        let plus = self.drawn_only(Kind::Operator, "+".to_owned(), place);
        self.scalar(loss, plus, None);
        self.scalar(s, plus, None);
        let j = self.drawn_only(
            Kind::Variable,
            "J".to_owned(),
            Place {
                column: place.column + 1,
                ..place
            },
        );
        self.scalar(plus, j, Some(1));
    }

    fn drawn_only(&mut self, kind: Kind, label: String, place: Place) -> usize {
        let node = self.node(kind, label, place);
        self.part.nodes[node].computed = false;
        node
    }

    fn scalar(&mut self, from: usize, to: usize, flops: Option<u64>) {
        let bytes = self.program.float().bytes().max(Element::F32.bytes()) as u64;
        self.part.edges.push(Edge {
            from,
            to,
            size: (1, 1),
            transposed: false,
            bytes,
            flops,
        });
    }
}

/// The weights that an update lets decay.
fn decayed(op: &Op) -> Option<BufferId> {
    match *op {
        Op::Sgd { decay, weights, .. } if decay == Scalar::field(Field::Decay) => Some(weights),
        _ => None,
    }
}

const PRODUCT: &str = "×";

fn label(op: &Op) -> String {
    match op {
        Op::Product(_) => PRODUCT.to_owned(),
        Op::AddBias { .. } => "+".to_owned(),
        Op::Activate { activation, .. } => activation_name(*activation),
        Op::ActivateBackward { activation, .. } => format!("⊙ {}′", activation_name(*activation)),
        Op::ActivateLearned { activation, .. } => activation_name(*activation),
        Op::ActivateLearnedBackward { activation, .. } => format!("⊙ {}′", activation_name(*activation)),
        Op::ColumnSum { .. } => "sum of rows".to_owned(),
        Op::AddSum { .. } => "sum".to_owned(),
        Op::Stacked(Stacked { map, .. }) => match map {
            Map::Product { .. } => PRODUCT.to_owned(),
            Map::AddBias { .. } => "+".to_owned(),
            Map::Multiply { add: false, .. } => "⊙".to_owned(),
            Map::Multiply { add: true, .. } => "+ ⊙".to_owned(),
            Map::ColumnSum { .. } => "sum of rows".to_owned(),
            _ => other_name(op),
        },
        other => other_name(other),
    }
}

fn other_name(op: &Op) -> String {
    op.name().to_owned()
}
