//! The graph in the language of Graphviz: `tilelab graph --dot | dot -Tpdf`.

use std::fmt::Write as _;

use super::{Graph, Kind};

pub(super) fn render(graph: &Graph) -> String {
    let mut out = format!(
        "digraph step {{\n  label={};\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", \
         fontsize=9];\n",
        quoted(&graph.title)
    );
    for (p, part) in graph.parts.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  subgraph cluster_{p} {{\n    label={};", quoted(&part.name));
        for (i, node) in part.nodes.iter().enumerate() {
            let shape = if node.kind == Kind::Variable { "box" } else { "ellipse" };
            let style = if node.computed { "" } else { ", style=dashed" };
            let _ = writeln!(
                out,
                "    p{p}n{i} [label={}, shape={shape}{style}];",
                quoted(&node.label)
            );
        }
        for edge in &part.edges {
            let label = quoted(&edge.lines().join("\n"));
            let _ = writeln!(out, "    p{p}n{} -> p{p}n{} [label={label}];", edge.from, edge.to);
        }
        out += "  }\n";
    }
    out + "}\n"
}

/// A string of DOT: only quotes, backslashes and line ends need care.
fn quoted(text: &str) -> String {
    let safe = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{safe}\"")
}
