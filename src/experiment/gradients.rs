//! `gradients`: forward and backward of the one-hidden-layer network with bias and L2, as the notebook's section 5.3 derives them.
//!
//! J = l(o, y) + lambda/2 (|W1|^2 + |W2|^2). Every gradient that the program computes is held against central differences of J, number
//! by number; the regularisation's share lambda W, which the update takes, is added here. The gradient of a matrix has the
//! matrix's own shape: printed transposed, as the notebook does, its entries would belong to other numbers.

use tilelab_kernels::Activation;

use super::passes::{Passes, distance};
use super::{Entry, Failure, Outcome, Run};
use crate::measure::{Cell, Erratum, Finding, GraphOf};
use crate::mlp::{Init, Model};
use crate::program::Role;

pub const ENTRY: Entry = Entry {
    name: "gradients",
    title: "Forward and backward, by the equations",
    question: "Do the equations of forward and backward propagation, with bias and L2, give the gradients, and of which shape is each?",
    expects: "Each of the program's gradients equals the central difference of J = L + s at that number, and has the shape of what it is the gradient of.",
    run,
};

const WIDTHS: [usize; 3] = [5, 4, 3];
const LAMBDA: f64 = 0.1;
const PARAMETERS: [&str; 4] = ["W1", "b1", "W2", "b2"];

/// One parameter.
#[derive(Debug, Clone)]
struct Parameter {
    name: &'static str,
    shape: (usize, usize),
    gradient_shape: (usize, usize),
    /// By the program, and by central differences of J.
    gradient: Vec<f64>,
    differences: Vec<f64>,
}

/// What was computed.
struct Data {
    parameters: Vec<Parameter>,
    /// Name, role, shape of every buffer, for `rows` rows.
    buffers: Vec<(String, &'static str, (usize, usize))>,
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Parameter => "parameter",
        Role::Gradient => "gradient",
        Role::Activation => "on the way forward",
        Role::Backward => "on the way back",
        Role::Input | Role::Label => "batch",
        Role::Statistic | Role::OptimizerState => "state",
        Role::Metric => "metric",
    }
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let (seed, rows) = (run.options().seed, 2);
    // tanh is smooth everywhere: at a kink a central difference is no derivative.
    let model = Model::new(&WIDTHS, Activation::Tanh)?;
    let mut passes = Passes::open(run.options().device, run.options().threads, model, rows)?;
    passes.init(Init::Normal { sigma: 0.7 }, seed)?;
    passes.write("b1", &[0.3, -0.2, 0.1, 0.4])?;
    passes.write("b2", &[-0.1, 0.2, 0.05])?;
    let (x, y) = ([0.5f32, -1.0, 0.25, 2.0, -0.75, 1.5, 0.125, -0.5, 1.0, 0.375], [2u8, 0]);
    let buffers: Vec<_> = passes
        .program()
        .buffers()
        .iter()
        .map(|buffer| {
            (
                buffer.name.clone(),
                role(buffer.role),
                (buffer.shape.rows_in(rows), buffer.shape.cols),
            )
        })
        .collect();
    let shape = |name: &str| {
        let found = buffers.iter().find(|(there, ..)| there == name);
        found.map_or((0, 0), |(.., shape)| *shape)
    };
    let mut parameters = Vec::new();
    for name in PARAMETERS {
        passes.run(&x, &y)?;
        let values = passes.read(name)?;
        // d s / d W = lambda W; biases are not regularised. The same share in both: it is exact in a central difference.
        let lambda = if name.starts_with('W') { LAMBDA } else { 0.0 };
        let with = |slopes: Vec<f64>| slopes.iter().zip(&values).map(|(d, w)| d + lambda * w).collect();
        let gradient = with(passes.read(&format!("d{name}"))?);
        let differences = with(passes.differences(name, &x, &y)?);
        parameters.push(Parameter {
            name,
            shape: shape(name),
            gradient_shape: shape(&format!("d{name}")),
            gradient,
            differences,
        });
    }
    Ok(assess(&Data { parameters, buffers }))
}

/// The n x m entries in the order in which the transposed layout, m x n, would have them.
fn as_printed(entries: &[f64], (n, m): (usize, usize)) -> Vec<f64> {
    (0..m).flat_map(|j| (0..n).map(move |i| entries[i * m + j])).collect()
}

fn assess(data: &Data) -> Outcome {
    let error = |parameter: &Parameter| distance(&parameter.gradient, &parameter.differences);
    let worst = data
        .parameters
        .iter()
        .map(error)
        .fold(0.0, |most: f64, e| if e > most || e.is_nan() { e } else { most });
    let numbers = data.parameters.iter().map(|parameter| parameter.gradient.len()).sum();
    let mut outcome = Outcome::new(Finding::GradientsAgree {
        parameters: numbers,
        error: worst,
    });
    let mut rows = Vec::new();
    for parameter in &data.parameters {
        let name = parameter.name;
        outcome.at_most(
            format!("dJ/d{name}: largest difference from central differences"),
            error(parameter),
            1e-8,
        );
        let text = |(rows, cols): (usize, usize)| Cell::Text(format!("{rows} x {cols}"));
        rows.push(vec![
            name.into(),
            text(parameter.shape),
            text(parameter.gradient_shape),
            error(parameter).into(),
        ]);
    }
    let odd = data
        .parameters
        .iter()
        .filter(|parameter| parameter.shape != parameter.gradient_shape)
        .count();
    outcome.equals("gradients of another shape than their parameter", odd as f64, 0.0);
    if let Some(w1) = data.parameters.iter().find(|parameter| parameter.name == "W1") {
        let printed = distance(&as_printed(&w1.gradient, w1.shape), &w1.differences);
        outcome.at_least(
            "dJ/dW1 read as the notebook prints it: largest difference",
            printed,
            1e-3,
        );
        outcome.erratum(Erratum::GradientTransposed {
            shape: w1.shape,
            gradient: w1.gradient_shape,
            error: error(w1),
            error_as_printed: printed,
        });
    }
    outcome.sheet(
        "Every gradient",
        &["parameter", "shape", "shape of its gradient", "largest difference"],
        rows,
    );
    let intermediates = data.buffers.iter().map(|(name, role, (rows, cols))| {
        vec![
            name.clone().into(),
            (*role).into(),
            Cell::Text(format!("{rows} x {cols}")),
        ]
    });
    outcome.sheet(
        "Every intermediate, for two rows",
        &["name", "role", "shape"],
        intermediates.collect(),
    );
    outcome.graph(GraphOf {
        layers: WIDTHS.into(),
        rows: 1,
        l2: LAMBDA,
        backward: true,
    });
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn it_holds_and_each_break_is_found() {
        assert_holds(&Bed::new().run(run).unwrap());
        let good = || Data {
            parameters: vec![Parameter {
                name: "W1",
                shape: (2, 3),
                gradient_shape: (2, 3),
                gradient: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                differences: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            }],
            buffers: Vec::new(),
        };
        assert_holds(&assess(&good()));
        let breaks: [(&dyn Fn(&mut Parameter), usize); 4] = [
            (&|w1| w1.gradient[3] = 4.001, 0),
            (&|w1| w1.gradient[3] = f64::NAN, 0),
            (&|w1| w1.gradient_shape = (3, 2), 1),
            // A symmetric gradient would not show the error that the notebook makes.
            (&|w1| (w1.gradient, w1.differences) = (vec![1.0; 6], vec![1.0; 6]), 2),
        ];
        for (harm, check) in breaks {
            let mut data = good();
            harm(&mut data.parameters[0]);
            let outcome = assess(&data);
            assert!(failed(&outcome).contains(&outcome.checks()[check].name), "{check}");
        }
        assert_eq!(
            as_printed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (2, 3)),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}
