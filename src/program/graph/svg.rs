//! The graph as a picture that needs nothing else: its colours follow the reader's light or dark theme.

use maud::{Markup, PreEscaped, html};

use super::layout::{at, extent};
use super::{Edge, Graph, Kind, Node, Part};

/// Pixels from column to column, and from lane to lane.
const PITCH: (f64, f64) = (200.0, 92.0);
/// Width and height of a node.
const NODE: (f64, f64) = (96.0, 34.0);
/// Round the parts, and above each for its name.
const MARGIN: f64 = 24.0;
const HEAD: f64 = 44.0;
/// From line to line of a label.
const LINE: f64 = 12.0;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1d2125;text-anchor:middle}\
.name{font-weight:600;font-size:15px;text-anchor:start}\
.flow{font-size:10px;fill:#5b6670}.side{text-anchor:start}\
.variable,.operator{fill:#fff;stroke:#1d2125}.operator{fill:#e8f0fe}\
.drawn{stroke-dasharray:4 3}\
.edge{fill:none;stroke:#5b6670}.head{fill:#5b6670}\
@media(prefers-color-scheme:dark){svg{background:#15181b}text{fill:#e6e9ec}.flow{fill:#9aa5ae}\
.variable{fill:#15181b;stroke:#e6e9ec}.operator{fill:#22304a;stroke:#e6e9ec}.edge{stroke:#9aa5ae}.head{fill:#9aa5ae}}";

pub(super) fn render(graph: &Graph, styled: bool) -> String {
    let sizes: Vec<(f64, f64)> = graph.parts.iter().map(size).collect();
    let width = sizes.iter().map(|size| size.0).fold(0.0, f64::max) + 2.0 * MARGIN;
    let height = sizes.iter().map(|size| size.1 + HEAD).sum::<f64>() + 2.0 * MARGIN;
    let mut top = MARGIN;
    let parts = graph.parts.iter().zip(&sizes).map(|(part, size)| {
        let here = Frame {
            part,
            size: *size,
            top: top + HEAD,
        };
        top += size.1 + HEAD;
        here
    });
    let drawn = html! {
        svg class="graph" xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img" {
            title { (graph.title) }
            @if styled { style { (PreEscaped(STYLE)) } }
            defs {
                marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto" {
                    path class="head" d="M0 0 8 4 0 8z" {}
                }
            }
            @for part in parts { (part.draw()) }
        }
    };
    drawn.into_string() + "\n"
}

fn size(part: &Part) -> (f64, f64) {
    let (columns, rows) = extent(part);
    (columns as f64 * PITCH.0, rows as f64 * PITCH.1)
}

/// Where a part is drawn.
struct Frame<'g> {
    part: &'g Part,
    size: (f64, f64),
    top: f64,
}

impl Frame<'_> {
    /// The way back is a mirror image: to the left and down.
    fn mirrored(&self) -> bool {
        self.part.name == "backward"
    }

    fn middle(&self, node: &Node) -> (f64, f64) {
        let (column, row) = at(self.part, node.place);
        let (x, y) = ((column as f64 + 0.5) * PITCH.0, (row as f64 + 0.5) * PITCH.1);
        if self.mirrored() {
            (MARGIN + self.size.0 - x, self.top + self.size.1 - y)
        } else {
            (MARGIN + x, self.top + y)
        }
    }

    fn draw(&self) -> Markup {
        let mut told = vec![false; self.part.nodes.len()];
        html! {
            text class="name" x=(MARGIN) y=(self.top - HEAD / 2.0) { (self.part.name) }
            @for edge in &self.part.edges { (self.edge(edge, &mut told)) }
            @for node in &self.part.nodes { (self.node(node)) }
        }
    }

    fn node(&self, node: &Node) -> Markup {
        let (x, y) = self.middle(node);
        let class = |kind: &str| {
            if node.computed {
                kind.to_owned()
            } else {
                format!("{kind} drawn")
            }
        };
        html! {
            @if node.kind == Kind::Variable {
                rect class=(class("variable")) x=(x - NODE.0 / 2.0) y=(y - NODE.1 / 2.0) width=(NODE.0) height=(NODE.1) {}
            } @else {
                ellipse class=(class("operator")) cx=(x) cy=(y) rx=(NODE.0 / 2.0) ry=(NODE.1 / 2.0) {}
            }
            text x=(x) y=(y + 4.0) { (node.label) }
        }
    }

    /// Along the source's lane, then up or down just before the target; straight where they share a column or lane. What
    /// flows out of one node is told once.
    fn edge(&self, edge: &Edge, told: &mut [bool]) -> Markup {
        let (from, to) = (
            self.middle(&self.part.nodes[edge.from]),
            self.middle(&self.part.nodes[edge.to]),
        );
        let along = (to.0 - from.0).signum();
        let (path, label, side) = if from.0 == to.0 {
            let up = (to.1 - from.1).signum();
            let (begin, end) = (from.1 + up * NODE.1 / 2.0, to.1 - up * NODE.1 / 2.0);
            (
                format!("M{} {begin}V{end}", from.0),
                (from.0 + 6.0, (begin + end) / 2.0 + 12.0),
                true,
            )
        } else {
            let (begin, end) = (from.0 + along * NODE.0 / 2.0, to.0 - along * NODE.0 / 2.0);
            let turn = end - along * 12.0;
            let path = format!("M{begin} {}H{turn}V{}H{end}", from.1, to.1);
            let gap = PITCH.0 - NODE.0 - 12.0;
            (path, (begin + along * gap / 2.0, from.1 - 5.0), false)
        };
        let lines = if std::mem::replace(&mut told[edge.from], true) {
            Vec::new()
        } else {
            edge.lines()
        };
        let first = label.1 - LINE * lines.len().saturating_sub(1) as f64;
        html! {
            path class="edge" d=(path) marker-end="url(#head)" {}
            @for (i, line) in lines.iter().enumerate() {
                text class=(if side { "flow side" } else { "flow" }) x=(label.0) y=(first + LINE * i as f64) { (line) }
            }
        }
    }
}
