//! The answers, as text or JSON, and into files.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::Common;
use super::question::{Question, failed};
use crate::cli::print;
use crate::hessian::lanczos::{Pair, Wanted, eigenpairs};
use crate::hessian::trace::{self as traces, Method};
use crate::hessian::{
    HessianError, SymmetricEigen, dense as matrices, density as densities, write_npy_matrix, write_npy_vector,
};
use crate::measure::{Table, binary_bytes};
use crate::program::Element;

/// Rows and columns of a matrix that are shown.
const SHOWN: usize = 8;

/// Up to so many parameters the eigenvalues of a dense matrix are counted by sign.
const COUNTED: usize = 700;

fn wrote(path: Option<&Path>) -> String {
    path.map_or(String::new(), |path| format!("written to {}\n", path.display()))
}

fn write(result: Result<(), HessianError>) -> anyhow::Result<()> {
    result.map_err(failed)
}

pub(super) fn dense(common: &Common) -> anyhow::Result<()> {
    let question = Question::new(common)?;
    // Said before anything is computed.
    matrices::fits(question.directions.size(), common.dtype, common.max_mem).map_err(failed)?;
    if common.dtype == Element::F64 {
        dense_of::<f64>(&question)
    } else {
        dense_of::<f32>(&question)
    }
}

fn dense_of<T: tilelab_kernels::Float + ndarray_npy::WritableElement>(question: &Question<'_>) -> anyhow::Result<()> {
    let (common, n) = (question.common, question.directions.size());
    let setup = question.setup(64)?;
    let begun = Instant::now();
    let answer = matrices::dense::<T>(&setup, &question.point, question.data()?, common.max_mem);
    let (values, method) = answer.map_err(failed)?;
    let seconds = begun.elapsed().as_secs_f64();
    if values.iter().any(|x| !x.to_f64().is_finite()) {
        return Err(failed(HessianError::NotFinite(if T::NAME == "f32" {
            "f32; try --dtype f64"
        } else {
            "f64"
        })));
    }
    if let Some(path) = &common.out {
        write(write_npy_matrix(path, &values, (n, n)))?;
    }
    let at = |i: usize, j: usize| values[i * n + j].to_f64();
    let trace: f64 = (0..n).map(|i| at(i, i)).sum();
    let square: f64 = values.iter().map(|x| x.to_f64().powi(2)).sum();
    let signs = (n <= COUNTED).then(|| {
        let wide: Vec<f64> = values.iter().map(|x| x.to_f64()).collect();
        let eigen = SymmetricEigen::of(&wide, n).values;
        let top = eigen.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
        let near = n as f64 * T::EPSILON * top;
        let (above, below) = (
            eigen.iter().filter(|x| **x > near).count(),
            eigen.iter().filter(|x| **x < -near).count(),
        );
        (above, n - above - below, below, eigen[0], eigen[n - 1])
    });
    if common.json {
        let line = json!({
            "event": "dense", "question": question.title()?, "parameters": n, "bytes": values.len() * size_of::<T>(),
            "method": method.name(), "seconds": seconds, "trace": trace, "frobenius": square.sqrt(),
            "largest": signs.map(|signs| signs.3), "smallest": signs.map(|signs| signs.4),
            "above_0": signs.map(|signs| signs.0), "about_0": signs.map(|signs| signs.1), "below_0": signs.map(|signs| signs.2),
            "out": common.out,
        });
        return print(&format!("{line}\n"));
    }
    let shown = SHOWN.min(n);
    let names: Vec<String> = (0..shown).map(|i| question.directions.label(i)).collect();
    let mut table = Table::new(&[&[""][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    for (i, name) in names.iter().enumerate() {
        let cells = (0..shown).map(|j| format!("{:.3e}", at(i, j)));
        table.row([name.clone()].into_iter().chain(cells).collect());
    }
    let rest = if shown < n {
        format!("the first {shown} of {n} rows and columns\n")
    } else {
        String::new()
    };
    let signs = signs.map_or(String::new(), |(above, zero, below, largest, smallest)| {
        format!("eigenvalues {smallest:.4e} to {largest:.4e}: {above} above 0, {zero} about 0, {below} below\n")
    });
    print(&format!(
        "{}\n{}{rest}by {}, {:.3} ms, {}; trace {trace:.6e}, Frobenius norm {:.6e}\n{signs}{}",
        question.title()?,
        table.render(),
        method.name(),
        seconds * 1e3,
        binary_bytes((values.len() * size_of::<T>()) as u64),
        square.sqrt(),
        wrote(common.out.as_deref()),
    ))
}

pub(super) fn diagonal(common: &Common) -> anyhow::Result<()> {
    let question = Question::new(common)?;
    let mut products = question.products(64)?;
    let begun = Instant::now();
    let diagonal = matrices::diagonal(&mut products).map_err(failed)?;
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(path) = &common.out {
        write(write_npy_vector(path, &diagonal))?;
    }
    let least = diagonal.iter().copied().fold(f64::INFINITY, f64::min);
    let most = diagonal.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let trace: f64 = diagonal.iter().sum();
    if common.json {
        let line = json!({"event": "diagonal", "question": question.title()?, "parameters": diagonal.len(), "products": products.count(),
            "seconds": seconds, "least": least, "most": most, "trace": trace, "out": common.out});
        return print(&format!("{line}\n"));
    }
    print(&format!(
        "{}\ndiagonal from {least:.4e} to {most:.4e}, sum (the trace) {trace:.6e}\n{} products, {seconds:.2} s\n{}",
        question.title()?,
        products.count(),
        wrote(common.out.as_deref())
    ))
}

pub(super) fn eig(common: &Common, wanted: Wanted) -> anyhow::Result<()> {
    let question = Question::new(common)?;
    let mut products = question.products(1)?;
    let begun = Instant::now();
    let ends = eigenpairs(&mut products, wanted).map_err(failed)?;
    let seconds = begun.elapsed().as_secs_f64();
    let both: Vec<(&str, usize, &Pair)> = [("largest", &ends.largest), ("smallest", &ends.smallest)]
        .into_iter()
        .flat_map(|(end, pairs)| pairs.iter().enumerate().map(move |(i, pair)| (end, i + 1, pair)))
        .collect();
    if let Some(path) = &common.out {
        let vectors: Vec<f64> = both
            .iter()
            .flat_map(|(_, _, pair)| pair.vector.iter().copied())
            .collect();
        write(write_npy_matrix(
            path,
            &vectors,
            (both.len(), question.directions.size()),
        ))?;
    }
    if common.json {
        let pairs = both.iter().map(|(end, place, pair)| {
            json!({"event": "pair", "end": end, "place": place, "value": pair.value, "residual": pair.residual})
        });
        let done = json!({"event": "eig", "question": question.title()?, "steps": ends.steps, "converged": ends.converged,
            "products": products.count(), "seconds": seconds, "out": common.out});
        let lines: Vec<String> = pairs.chain([done]).map(|line| format!("{line}\n")).collect();
        return print(&lines.concat());
    }
    let mut table = Table::new(&["end", "", "eigenvalue", "residual", "of it"]);
    for (end, place, pair) in &both {
        let share = format!("{:.1e}", pair.residual / pair.value.abs());
        let cells = [
            (*end).to_owned(),
            place.to_string(),
            format!("{:.8}", pair.value),
            format!("{:.2e}", pair.residual),
            share,
        ];
        table.row(cells.into());
    }
    let open = if ends.converged {
        ""
    } else {
        "; the steps ran out before every residual was small: more --steps go on"
    };
    print(&format!(
        "{}\n{}{} Lanczos steps, {} products, {seconds:.2} s{open}\n{}",
        question.title()?,
        table.render(),
        ends.steps,
        products.count(),
        wrote(common.out.as_deref())
    ))
}

pub(super) fn density(common: &Common, (probes, steps): (usize, usize), width: f64) -> anyhow::Result<()> {
    let question = Question::new(common)?;
    let mut products = question.products(1)?;
    let begun = Instant::now();
    let seen = densities::density(&mut products, probes, steps, common.seed).map_err(failed)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (low, high) = seen.range();
    let spread = if high > low { high - low } else { low.abs().max(1.0) };
    let curve = seen.curve(512, width * spread);
    if let Some(path) = &common.out {
        let flat: Vec<f64> = curve.iter().flat_map(|&(x, y)| [x, y]).collect();
        write(write_npy_matrix(path, &flat, (curve.len(), 2)))?;
    }
    let (mean, error) = seen.moment(1);
    if common.json {
        let nodes = seen.probes.iter().enumerate().flat_map(|(probe, seen)| {
            let nodes = seen.nodes.iter().zip(&seen.weights);
            nodes.map(move |(node, weight)| json!({"event": "node", "probe": probe, "value": node, "weight": weight}))
        });
        let done = json!({"event": "density", "question": question.title()?, "low": low, "high": high, "mean": mean,
            "mean_error": error, "products": products.count(), "seconds": seconds, "out": common.out});
        let lines: Vec<String> = nodes.chain([done]).map(|line| format!("{line}\n")).collect();
        return print(&lines.concat());
    }
    print(&format!(
        "{}\n{}eigenvalues from {low:.4e} to {high:.4e}, their mean {mean:.4e} +- {error:.1e} (the trace over the parameters)\n{} products, {seconds:.2} s\n{}",
        question.title()?,
        histogram(&seen),
        products.count(),
        wrote(common.out.as_deref())
    ))
}

/// Shares of the eigenvalues in 16 ranges from end to end. A spectrum has nearly all of its weight at 0, so bars go by the logarithm.
fn histogram(seen: &densities::Density) -> String {
    const RANGES: usize = 16;
    let (low, high) = seen.range();
    let step = ((high - low) / RANGES as f64).max(f64::MIN_POSITIVE);
    let mut shares = [0.0; RANGES];
    for probe in &seen.probes {
        for (node, weight) in probe.nodes.iter().zip(&probe.weights) {
            shares[(((node - low) / step) as usize).min(RANGES - 1)] += weight / seen.probes.len() as f64;
        }
    }
    let mut table = Table::new(&["from", "share", ""]);
    for (i, share) in shares.iter().enumerate() {
        let bar = (8.0 + share.max(1e-8).log10()).max(0.0) * 3.0;
        table.row(vec![
            format!("{:.3e}", low + step * i as f64),
            format!("{share:.2e}"),
            "#".repeat(bar as usize),
        ]);
    }
    table.render()
}

pub(super) fn trace(common: &Common, method: Method, count: usize, diagonal: bool) -> anyhow::Result<()> {
    let question = Question::new(common)?;
    let mut products = question.products(16)?;
    let begun = Instant::now();
    if let (true, Some(path)) = (diagonal, &common.out) {
        let (values, errors) = traces::diagonal(&mut products, count, common.seed).map_err(failed)?;
        let both = [values, errors].concat();
        write(write_npy_matrix(path, &both, (2, question.directions.size())))?;
    }
    let estimate = traces::trace(&mut products, method, count, common.seed).map_err(failed)?;
    let seconds = begun.elapsed().as_secs_f64();
    if common.json {
        let line = json!({"event": "trace", "question": question.title()?, "method": method.name(), "value": estimate.value,
            "standard_error": estimate.standard_error, "products": estimate.products, "seconds": seconds,
            "out": common.out.as_ref().filter(|_| diagonal)});
        return print(&format!("{line}\n"));
    }
    print(&format!(
        "{}\ntrace {:.6e} +- {:.1e} (standard error), by {}, {} products, {seconds:.2} s\n{}",
        question.title()?,
        estimate.value,
        estimate.standard_error,
        method.name(),
        estimate.products,
        wrote(common.out.as_deref().filter(|_| diagonal))
    ))
}
