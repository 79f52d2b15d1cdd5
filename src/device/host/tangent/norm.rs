//! Batch normalisation's tangents, by the formulas of [`NormMap`] and [`NormBackwardMap`], column by column in f64.

use std::ops::Range;

use tilelab_kernels::Float;

use super::{add, before};
use crate::device::host::Bound;
use crate::program::BufferId;
use crate::program::tangent::{NormBackwardMap, NormMap};

/// Column j of block k, as f64; `None` is 0.
fn column<T: Float>(bound: &Bound<'_, T>, id: Option<BufferId>, (k, j): (usize, usize), rows: usize) -> Vec<f64> {
    let Some(id) = id else { return vec![0.0; rows] };
    let view = bound.real(id);
    (0..rows)
        .map(|i| view.data[(k * rows + i) * view.cols + j].to_f64())
        .collect()
}

/// Element j of row k; `None` is 0.
fn value<T: Float>(bound: &Bound<'_, T>, id: Option<BufferId>, (k, j): (usize, usize)) -> f64 {
    id.map_or(0.0, |id| {
        let view = bound.real(id);
        view.data[k * view.cols + j].to_f64()
    })
}

fn put<T: Float>(bound: &mut Bound<'_, T>, id: BufferId, (k, j): (usize, usize), values: impl Iterator<Item = f64>) {
    let rows = bound.rows;
    bound.with(id, |_, to| {
        for (i, x) in values.enumerate() {
            to.data[(k * rows + i) * to.cols + j] = T::from_f64(x);
        }
    });
}

fn mean(values: impl Iterator<Item = f64>, rows: usize) -> f64 {
    values.sum::<f64>() / rows as f64
}

fn dot<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    a.iter().zip(b).map(|(a, b)| a * b)
}

pub(super) fn forward<T: Float>(bound: &mut Bound<'_, T>, blocks: Range<usize>, map: &NormMap) {
    let (rows, cols) = (bound.rows, bound.real(map.normal).cols);
    for at in blocks.flat_map(|k| (0..cols).map(move |j| (k, j))) {
        let row = (0, at.1);
        let (x, n) = (
            column(bound, map.x, at, rows),
            column(bound, Some(map.normal), row, rows),
        );
        let (r, gamma) = (value(bound, Some(map.scale), row), value(bound, Some(map.gamma), row));
        let (r_gamma, r_beta) = (value(bound, map.r_gamma, at), value(bound, map.r_beta, at));
        let (centre, c) = if map.training {
            (mean(x.iter().copied(), rows), mean(dot(&x, &n), rows))
        } else {
            (0.0, 0.0)
        };
        let r_n: Vec<f64> = x.iter().zip(&n).map(|(x, n)| r * (x - centre - n * c)).collect();
        put(
            bound,
            map.out,
            at,
            r_n.iter().zip(&n).map(|(r_n, n)| gamma * r_n + r_gamma * n + r_beta),
        );
        put(bound, map.r_normal, at, r_n.into_iter());
        bound.with(map.mean_product, |_, to| {
            to.data[at.0 * to.cols + at.1] = T::from_f64(c)
        });
    }
}

pub(super) fn backward<T: Float>(
    bound: &mut Bound<'_, T>,
    blocks: Range<usize>,
    map: &NormBackwardMap,
    accumulate: f64,
) {
    let (rows, cols) = (bound.rows, bound.real(map.normal).cols);
    for at in blocks.flat_map(|k| (0..cols).map(move |j| (k, j))) {
        let row = (0, at.1);
        let du = column(bound, map.gradient, row, rows);
        let r_du = column(bound, Some(map.r_gradient), at, rows);
        let n = column(bound, Some(map.normal), row, rows);
        let r_n = column(bound, map.forward.map(|(r_normal, _)| r_normal), at, rows);
        let c = value(bound, map.forward.map(|(_, c)| c), at);
        let (r, gamma) = (value(bound, Some(map.scale), row), value(bound, Some(map.gamma), row));
        let r_gamma = value(bound, map.r_gamma, at);
        let by_gamma: f64 = dot(&r_du, &n).chain(dot(&du, &r_n)).sum();
        let by_beta: f64 = r_du.iter().sum();
        for (id, sum) in [(map.d_gamma, by_gamma), (map.d_beta, by_beta)] {
            bound.with(id, |_, to| {
                let to = &mut to.data[at.0 * cols + at.1];
                let there = before(accumulate, *to);
                *to = T::ZERO;
                add(to, sum + there);
            });
        }
        // With the running statistics, means and R{r} are those of constants: 0.
        let share = if map.training { 1.0 } else { 0.0 };
        let a = share * mean(dot(&du, &n), rows);
        let (mean_du, mean_r_du) = (share * mean(du.iter().copied(), rows), share * by_beta / rows as f64);
        let r_a = share * by_gamma / rows as f64;
        let by_g = r_gamma * r - share * gamma * r * r * c;
        let out: Vec<f64> = (0..rows)
            .map(|i| {
                let g = du[i] - mean_du - n[i] * a;
                let r_g = r_du[i] - mean_r_du - r_n[i] * a - n[i] * r_a;
                gamma * r * r_g + by_g * g
            })
            .collect();
        put(bound, map.out, at, out.into_iter());
    }
}
