//! `tilelab graph`: the computational graph of a training step, and of second derivatives beside it.

use serde_json::json;
use tilelab_kernels::Activation;

use super::values::{Layers, count, layers, zero_or_above};
use super::{Usage, print};
use crate::hessian::{Directions, Setup};
use crate::mlp::{Model, Optimizer, activation_by_name};
use crate::program::Element;
use crate::program::graph::{Count, Graph, Options};
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
    /// Draw what becomes of the graph for second derivatives too: the linearisation, and the tangent that takes one direction to a
    /// Hessian-vector product, with counts of nodes, bytes and flops
    #[arg(long)]
    hessian: bool,
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
    if let Optimizer::NewtonCg { .. } = args.optimizer {
        return Err(
            Usage("--optimizer newton-cg takes many runs for a step; --hessian draws what it runs".to_owned()).into(),
        );
    }
    let step = lowering
        .step(args.optimizer)
        .map_err(|error| Usage(error.to_string()))?;
    let options = Options {
        rows: args.batch,
        l2: args.l2,
        backward: args.backward,
    };
    let mut graph = Graph::of(&step, options);
    let mut counts = vec![Count::of(&step, args.batch)];
    if args.hessian {
        let all = Directions::of(&model, "all").map_err(|error| Usage(error.to_string()))?;
        let setup = Setup {
            together: 1,
            l2: args.l2,
            ..Setup::new(&model, &all)
        };
        let programs = setup
            .plain_programs(args.batch, 1.0)
            .map_err(|error| Usage(error.to_string()))?;
        let (linearise, tangent) = programs;
        counts.extend([&linearise, &tangent].map(|program| Count::of(program, args.batch)));
        graph = graph.with(&[&linearise, &tangent], args.batch);
        graph.title += &growth(&counts, model.parameters());
    }
    // Graphviz is what --dot asks for, and what there is without either.
    let text = match (args.svg, args.json) {
        (true, _) => graph.to_svg(),
        (_, true) => json_lines(&graph, &counts, model.parameters()),
        _ => graph.to_dot(),
    };
    print(&text)
}

/// What a whole Hessian takes: as many products as parameters, each of which costs about as much as a few gradients. Both grow with the
/// parameters, so their product grows with the square; the graph itself does not grow.
fn growth(counts: &[Count], parameters: usize) -> String {
    let [step, linearise, tangent] = counts else {
        return String::new();
    };
    let of = |name: &str, count: &Count| {
        format!(
            "{name}: {} operations, {} bytes, {} flop",
            count.operations, count.bytes, count.flops
        )
    };
    format!(
        "; {}; {}; {}. All of a Hessian: {parameters} products, {} flop, {:.2} for each square of the parameters",
        of("step", step),
        of("linearise", linearise),
        of("tangent", tangent),
        whole(counts, parameters),
        whole(counts, parameters) as f64 / (parameters as f64).powi(2)
    )
}

/// Flops of all of a Hessian by products.
fn whole(counts: &[Count], parameters: usize) -> u64 {
    match counts {
        [_, linearise, tangent] => linearise
            .flops
            .saturating_add(tangent.flops.saturating_mul(parameters as u64)),
        _ => 0,
    }
}

fn json_lines(graph: &Graph, counts: &[Count], parameters: usize) -> String {
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
    let names = ["step", "linearise", "tangent"];
    for (name, count) in names.into_iter().zip(counts) {
        lines.push(
            json!({"event": "count", "program": name, "operations": count.operations, "buffers": count.buffers,
            "bytes": count.bytes, "flops": count.flops}),
        );
    }
    let hessian_flops = (counts.len() > 1).then(|| whole(counts, parameters));
    lines
        .push(json!({"event": "done", "title": graph.title, "parameters": parameters, "hessian_flops": hessian_flops}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}
