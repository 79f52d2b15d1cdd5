//! `tilelab hessian cost`: what second derivatives cost as they grow.

use serde_json::json;

use super::question::failed;
use crate::bench::hessian::cost::{Cost, Size, WAYS, Way, exponent, largest_that_fits, measure, sizes};
use crate::cli::print;
use crate::measure::{Progress, Table, binary_bytes};

pub(super) fn run(quick: bool, json: bool) -> anyhow::Result<()> {
    let all = sizes(quick);
    let mut progress = Progress::new(all.len() as u64, "sizes");
    let mut seen = Vec::with_capacity(all.len());
    for (done, (hidden, rows)) in (1..).zip(all) {
        seen.push(measure(hidden, rows).map_err(failed)?);
        progress.set(done);
    }
    drop(progress);
    let of = |way: fn(&Size) -> Option<Cost>, x: fn(&Size) -> f64, y: fn(Cost) -> f64, fixed: fn(&&Size) -> bool| {
        let points: Vec<(f64, f64)> = seen
            .iter()
            .filter(fixed)
            .filter_map(|size| Some((x(size), y(way(size)?))))
            .collect();
        exponent(&points)
    };
    let exponents: Vec<(&str, [f64; 3])> = WAYS
        .into_iter()
        .map(|(name, way)| {
            let by_parameters: fn(&&Size) -> bool = |size| size.rows == 100;
            let by_rows: fn(&&Size) -> bool = |size| size.hidden == 20;
            let (parameters, rows): (fn(&Size) -> f64, fn(&Size) -> f64) = (|s| s.parameters as f64, |s| s.rows as f64);
            let (seconds, bytes): (fn(Cost) -> f64, fn(Cost) -> f64) = (|cost| cost.seconds, |cost| cost.bytes as f64);
            let all = [
                of(way, parameters, seconds, by_parameters),
                of(way, parameters, bytes, by_parameters),
                of(way, rows, seconds, by_rows),
            ];
            (name, all)
        })
        .collect();
    let fits = largest_that_fits();
    if json {
        let mut lines = Vec::new();
        for size in &seen {
            for (name, way) in WAYS {
                let Some(cost) = way(size) else { continue };
                lines.push(
                    json!({"event": "cost", "way": name, "hidden": size.hidden, "rows": size.rows,
                    "parameters": size.parameters, "seconds": cost.seconds, "bytes": cost.bytes}),
                );
            }
        }
        for (name, [seconds, bytes, rows]) in exponents {
            lines.push(
                json!({"event": "exponents", "way": name, "seconds_by_parameters": seconds,
                "bytes_by_parameters": bytes, "seconds_by_rows": rows}),
            );
        }
        lines.push(json!({"event": "done", "dense_parameters_that_fit": fits}));
        return print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }
    let mut table = Table::new(&[
        "10-h-5",
        "rows",
        "parameters",
        "gradient",
        "double loop",
        "products",
        "closed form",
        "bytes",
    ]);
    for size in &seen {
        let shown = |(_, way): Way| way(size).map_or("-".to_owned(), |cost| format!("{:.4} ms", cost.seconds * 1e3));
        let [gradient, double_loop, products, closed] = WAYS.map(shown);
        let bytes = binary_bytes(size.closed_form.bytes);
        let cells = [
            size.hidden.to_string(),
            size.rows.to_string(),
            size.parameters.to_string(),
        ];
        table.row([&cells[..], &[gradient, double_loop, products, closed, bytes]].concat());
    }
    let mut slopes = Table::new(&[
        "exponent of",
        "seconds by parameters",
        "bytes by parameters",
        "seconds by rows",
    ]);
    for (name, values) in exponents {
        let shown = values.map(|x| {
            if x.is_finite() {
                format!("{x:.2}")
            } else {
                "-".to_owned()
            }
        });
        slopes.row([&[name.to_owned()][..], &shown].concat());
    }
    print(&format!(
        "ReLU, squared error, f32, one thread; medians\n{}\n{}a dense Hessian in f32 takes all of the free memory at {:.0} parameters\n",
        table.render(),
        slopes.render(),
        fits
    ))
}
