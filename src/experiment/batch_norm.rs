//! `batch-norm`: what normalising over a batch does to a batch of one, and to one sample in two batches.
//!
//! The trainer's own operations compute it: a network whose first layer is the identity hands the rows to batch norm, and
//! `u1` is what comes out. The way back is held against central differences, the running statistics against their formula:
//! running <- 0.9 running + 0.1 (mean, or variance with n - 1 below).

use tilelab_kernels::Activation;

use super::notebook::figure;
use super::passes::{Passes, distance};
use super::{Entry, Failure, Outcome, Run};
use crate::measure::{Beside, Finding, Held};
use crate::mlp::{Init, Model};

pub const ENTRY: Entry = Entry {
    name: "batch-norm",
    title: "Batch normalisation looks at the batch",
    question: "What does batch normalisation make of a batch of one, and of the same sample in two batches?",
    expects: "A batch of one becomes zeros, the sample [1, 2, 3] becomes about -1 beside [10, 20, 30] and about 1 beside [0, -1, -2], to the notebook's 8 digits; gradients equal central differences.",
    run,
};

/// What was computed.
struct Data {
    single: Vec<f64>,
    /// Both rows of the notebook's two batches.
    batches: [Vec<f64>; 2],
    /// Largest differences of d gamma, d beta and dW from central differences.
    gradients: Vec<(&'static str, f64)>,
    /// Largest difference of the running mean and variance from their formula.
    running: f64,
}

fn open(run: &Run<'_>) -> Result<Passes, Failure> {
    let model = Model::new(&[3, 3, 2], Activation::Identity)?.with_batch_norm(true);
    let options = run.options();
    let mut passes = Passes::open(options.device, options.threads, model, 4)?;
    passes.init(Init::Normal { sigma: 0.5 }, options.seed)?;
    passes.write("W1", &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])?;
    Ok(passes)
}

fn run(run: &mut Run<'_>) -> Result<Outcome, Failure> {
    let mut passes = open(run)?;
    let mut normal = |rows: &[f32]| {
        passes.run(rows, &vec![0; rows.len() / 3])?;
        passes.read("u1")
    };
    let single = normal(&[10.0, -5.0, 3.0])?;
    let batches = [
        normal(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0])?,
        normal(&[1.0, 2.0, 3.0, 0.0, -1.0, -2.0])?,
    ];
    let mut passes = open(run)?;
    let (rows, labels) = ([0.5, -1.0, 2.0, 1.5, 0.25, -0.5, -0.75, 1.0, 0.125], [0u8, 1, 1]);
    passes.run(&rows, &labels)?;
    let running = running_error(&mut passes, &rows)?;
    let mut gradients = Vec::new();
    for name in ["gamma1", "beta1", "W1", "W2"] {
        passes.run(&rows, &labels)?;
        let got = passes.read(&format!("d{name}"))?;
        gradients.push((name, distance(&got, &passes.differences(name, &rows, &labels)?)));
    }
    Ok(assess(&Data {
        single,
        batches,
        gradients,
        running,
    }))
}

/// The running statistics behind one batch of three rows, against their formula from 0 and 1.
fn running_error(passes: &mut Passes, rows: &[f32]) -> Result<f64, Failure> {
    let column = |j: usize| rows.iter().skip(j).step_by(3).map(|&x| f64::from(x));
    let mean: Vec<f64> = (0..3).map(|j| column(j).sum::<f64>() / 3.0).collect();
    let spread = (0..3).map(|j| column(j).map(|x| (x - mean[j]).powi(2)).sum::<f64>() / 2.0);
    let wanted_variance: Vec<f64> = spread.map(|v| 0.9 + 0.1 * v).collect();
    let wanted_mean: Vec<f64> = mean.iter().map(|m| 0.1 * m).collect();
    let got = |name| passes.read(name);
    let [got_mean, got_variance] = ["running_mean1", "running_var1"].map(got);
    // A sum, since max would drop a NaN.
    Ok(distance(&got_mean?, &wanted_mean) + distance(&got_variance?, &wanted_variance))
}

fn assess(data: &Data) -> Outcome {
    let largest = data.single.iter().fold(
        0.0f64,
        |most, x| if x.abs() > most || x.is_nan() { x.abs() } else { most },
    );
    let first = |batch: usize| data.batches[batch].first().copied().unwrap_or(f64::NAN);
    let mut outcome = Outcome::new(Finding::BatchNormDepends {
        single: largest,
        first: first(0),
        second: first(1),
    });
    outcome.equals("a batch of one: largest output", largest, 0.0);
    let mut rows = Vec::new();
    for (number, batch) in data.batches.iter().enumerate() {
        let wanted = |at: usize| figure(&format!("/batch_norm/batch_{}/y/{}/{}", number + 1, at / 3, at % 3));
        let wanted: Vec<f64> = (0..6).map(wanted).collect();
        // Half of the eighth digit that the notebook printed.
        outcome.at_most(
            format!("batch {}: largest difference from the notebook", number + 1),
            distance(batch, &wanted),
            5.1e-9,
        );
        for (at, &notebook) in wanted.iter().take(3).enumerate() {
            let ours = batch.get(at).copied().unwrap_or(f64::NAN);
            rows.push(vec![
                format!("batch {}", number + 1).into(),
                format!("column {}", at + 1).into(),
                notebook.into(),
                ours.into(),
            ]);
        }
        outcome.beside(Beside {
            of: format!("[1, 2, 3] in batch {}", number + 1),
            figure: "first normalised number".to_owned(),
            notebook: wanted[0],
            ours: first(number),
            deviation: None,
            seeds: 1,
            held: Held::within(wanted[0], first(number), 0.0, 5.1e-9),
        });
    }
    let gap = (first(0) - first(1)).abs();
    outcome.at_least("the same sample, first number in the two batches: distance", gap, 1.9);
    for (name, error) in &data.gradients {
        outcome.at_most(
            format!("d{name}: largest difference from central differences"),
            *error,
            1e-8,
        );
    }
    outcome.at_most(
        "running mean and variance: largest difference from their formula",
        data.running,
        1e-12,
    );
    outcome.sheet(
        "The sample [1, 2, 3] in two batches",
        &["batch", "", "notebook", "here"],
        rows,
    );
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::testing::{Bed, assert_holds, failed};

    #[test]
    fn it_holds_and_each_break_is_found() {
        let bed = Bed::new();
        assert_holds(&bed.run(run).unwrap());
        let y = |batch: usize, at: usize| figure(&format!("/batch_norm/batch_{batch}/y/{}/{}", at / 3, at % 3));
        let good = || Data {
            single: vec![0.0; 3],
            batches: [1, 2].map(|batch| (0..6).map(|at| y(batch, at)).collect()),
            gradients: vec![("W1", 1e-10)],
            running: 0.0,
        };
        assert_holds(&assess(&good()));
        let breaks: [(&dyn Fn(&mut Data), usize); 5] = [
            (&|data| data.single[1] = f64::NAN, 0),
            // The unbiased variance, which the notebook does not take: 1 / sqrt 2.
            (&|data| data.batches[0].iter_mut().for_each(|x| *x *= 0.5f64.sqrt()), 1),
            (&|data| data.batches[1][4] += 1e-7, 2),
            (&|data| data.gradients[0].1 = 1e-3, 4),
            (&|data| data.running = 0.1, 5),
        ];
        for (harm, check) in breaks {
            let mut data = good();
            harm(&mut data);
            let outcome = assess(&data);
            assert!(failed(&outcome).contains(&outcome.checks()[check].name), "{check}");
        }
    }
}
