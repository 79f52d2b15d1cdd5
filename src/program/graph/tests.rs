use std::collections::HashSet;

use tilelab_kernels::Activation;

use super::*;
use crate::mlp::{Model, Optimizer};
use crate::program::Element;
use crate::program::lower::Lowering;

fn graph(widths: &[usize], l2: f64, rows: usize) -> Graph {
    let model = Model::new(widths, Activation::Relu).unwrap();
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows,
        byte_scale: 1.0,
    };
    let step = lowering.step(Optimizer::Sgd).unwrap();
    Graph::of(
        &step,
        Options {
            rows,
            l2,
            backward: true,
        },
    )
}

/// Edges as text: `W1 > ×`.
fn edges(part: &Part) -> Vec<String> {
    let label = |i: usize| part.nodes[i].label.as_str();
    let edges = part.edges.iter();
    edges
        .map(|edge| format!("{} > {}", label(edge.from), label(edge.to)))
        .collect()
}

/// The notebook's two pictures (its exercise 2 adds the biases): every variable and operator of its equations, once.
#[test]
fn the_notebooks_graph() {
    let graph = graph(&[784, 256, 10], 0.01, 1);
    let forward = [
        "x > ×",
        "W1 > ×",
        "b1 > +",
        "× > +",
        "+ > z1",
        "z1 > relu",
        "relu > h1",
        "h1 > ×",
        "W2 > ×",
        "b2 > +",
        "× > +",
        "+ > o",
        "o > cross-entropy",
        "y > cross-entropy",
        "cross-entropy > losses",
        "losses > sum",
        "sum > loss_sum",
        "W1 > squares",
        "squares > λ/2 sum",
        "W2 > squares",
        "squares > λ/2 sum",
        "λ/2 sum > s",
        "loss_sum > +",
        "s > +",
        "+ > J",
    ];
    assert_eq!(edges(&graph.parts[0]), forward);
    let backward = edges(&graph.parts[1]);
    let expected = [
        "o > softmax - y",
        "y > softmax - y",
        "softmax - y > do",
        "h1 > ×",
        "do > ×",
        "× > dW2",
        "do > sum of rows",
        "sum of rows > db2",
        "do > ×",
        "W2 > ×",
        "× > dh1",
        "h1 > ⊙ relu′",
        "dh1 > ⊙ relu′",
        "⊙ relu′ > dz1",
        "x > ×",
        "dz1 > ×",
        "× > dW1",
        "dz1 > sum of rows",
        "sum of rows > db1",
    ];
    assert_eq!(backward[..expected.len()], expected);
    assert_eq!(backward.iter().filter(|edge| edge.starts_with("sgd > ")).count(), 4);
}

#[test]
fn edges_carry_shapes_bytes_and_flops() {
    let graph = graph(&[784, 256, 10], 0.0, 32);
    let part = &graph.parts[0];
    let edge = |from: &str, to: &str| {
        let is = |i: usize, label: &str| part.nodes[i].label == label;
        part.edges
            .iter()
            .find(|edge| is(edge.from, from) && is(edge.to, to))
            .unwrap()
    };
    assert_eq!(edge("x", "×").lines(), ["32 x 784", "100,352 B"]);
    assert_eq!(edge("W1", "×").lines(), ["784 x 256", "802,816 B"]);
    assert_eq!(
        edge("× ".trim(), "+").lines(),
        ["32 x 256", "32,768 B", "12,845,056 flop"]
    );
    assert!(
        edges(part).iter().all(|edge| !edge.ends_with("> J")),
        "no regularisation, no s"
    );
    let transposed = graph.parts[1].edges.iter().filter(|edge| edge.transposed).count();
    assert_eq!(transposed, 3, "x and h1 for the gradients, W2 for the way back");
}

/// Data flow to the right and never down in the forward part; no two nodes lie on one another; for deep and flat models.
#[test]
fn the_layout_flows_right_and_up() {
    for widths in [&[784, 256, 10][..], &[5, 3], &[9, 8, 7, 6, 5]] {
        for part in graph(widths, 0.1, 4).parts {
            let cells: HashSet<(usize, usize)> = part.nodes.iter().map(|node| layout::at(&part, node.place)).collect();
            assert_eq!(cells.len(), part.nodes.len(), "{}", part.name);
            for edge in &part.edges {
                let (from, to) = (&part.nodes[edge.from], &part.nodes[edge.to]);
                let (a, b) = (layout::at(&part, from.place), layout::at(&part, to.place));
                let (norm, sideways) = (to.label == "squares", part.name == "backward");
                assert!(a.0 <= b.0, "{} > {}", from.label, to.label);
                assert!(b.1 <= a.1 || norm || sideways, "{} > {}", from.label, to.label);
            }
        }
    }
}

#[test]
fn both_languages_hold_every_node_and_edge() {
    let graph = graph(&[20, 64, 2], 0.5, 1);
    let count = |f: fn(&Part) -> usize| graph.parts.iter().map(f).sum::<usize>();
    let (nodes, edges) = (count(|part| part.nodes.len()), count(|part| part.edges.len()));
    let (dot, svg) = (graph.to_dot(), graph.to_svg());
    assert_eq!(dot.matches(" -> ").count(), edges);
    assert_eq!(dot.matches("shape=").count(), nodes);
    assert!(dot.starts_with("digraph step {") && dot.ends_with("}\n"));
    assert_eq!(svg.matches("<rect").count() + svg.matches("<ellipse").count(), nodes);
    assert_eq!(svg.matches("class=\"edge\"").count(), edges);
}
