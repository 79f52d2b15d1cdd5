//! `tilelab graph`: the computational graph of a training step.

use serde_json::json;
use tilelab_kernels::Activation;

use super::values::{Layers, count, layers, zero_or_above};
use super::{Usage, print};
use crate::mlp::{Model, Optimizer, activation_by_name};
use crate::program::Element;
use crate::program::graph::{Graph, Options};
use crate::program::lower::Lowering;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// Widths of the layers, input first
    #[arg(long, value_name = "N,N,..", default_value = "784,256,10", value_parser = layers)]
    layers: Layers,
    /// Rows of a batch
    #[arg(long, default_value = "1", value_parser = count, allow_hyphen_values = true)]
    batch: usize,
    /// What follows each hidden layer, as `tilelab train` takes it
    #[arg(long, default_value = "relu", value_parser = activation_by_name)]
    activation: Activation,
    /// Rule of an update: sgd
    #[arg(long, default_value = "sgd")]
    optimizer: Optimizer,
    /// Weight of the L2 regularisation; 0 draws none
    #[arg(long, default_value = "0", value_parser = zero_or_above, allow_hyphen_values = true)]
    l2: f64,
    /// Draw the way back and the update too
    #[arg(long)]
    backward: bool,
    /// In the language of Graphviz: what there is without --svg and --json too
    #[arg(long, conflicts_with_all = ["svg", "json"])]
    dot: bool,
    /// As a picture
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// Print one JSON object a line: nodes, edges, then a summary
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = Model::new(&args.layers.0, args.activation).map_err(|error| Usage(format!("--layers {error}")))?;
    let lowering = Lowering {
        model: &model,
        float: Element::F32,
        rows: args.batch,
        byte_scale: 1.0,
    };
    let step = lowering
        .step(args.optimizer)
        .map_err(|error| Usage(error.to_string()))?;
    let options = Options {
        rows: args.batch,
        l2: args.l2,
        backward: args.backward,
    };
    let graph = Graph::of(&step, options);
    // Graphviz is what --dot asks for, and what there is without either.
    let text = match (args.svg, args.json) {
        (true, _) => graph.to_svg(),
        (_, true) => json_lines(&graph),
        _ => graph.to_dot(),
    };
    print(&text)
}

fn json_lines(graph: &Graph) -> String {
    let mut lines = Vec::new();
    for part in &graph.parts {
        let name = &part.name;
        for (i, node) in part.nodes.iter().enumerate() {
            lines.push(
                json!({"event": "node", "part": name, "node": i, "kind": node.kind, "label": node.label,
                "computed": node.computed}),
            );
        }
        for edge in &part.edges {
            lines.push(
                json!({"event": "edge", "part": name, "from": edge.from, "to": edge.to, "size": edge.size,
                "transposed": edge.transposed, "bytes": edge.bytes, "flops": edge.flops}),
            );
        }
    }
    lines.push(json!({"event": "done", "title": graph.title}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}
