//! Sums over rows, and batch normalisation.

use tilelab_kernels::cuda::Slice;
use tilelab_kernels::cuda::columns::{self, Into, Statistics, Summed, room, sum};
use tilelab_kernels::{MatRef, reference};

use crate::sim::{Sim, hold, random};

const EPS: f64 = f32::EPSILON as f64;
const SHAPES: [(usize, usize); 5] = [(1, 1), (7, 33), (300, 10), (65, 64), (1000, 3)];

#[test]
fn sums_products_and_squares_over_rows() {
    for (m, n) in SHAPES {
        let mut sim = Sim::new(7);
        let (a, b, mean) = (random(1, m * n, 1.0), random(2, m * n, 1.0), random(3, n, 1.0));
        let (xs, ys, means) = (sim.put(&a), sim.put(&b), sim.put(&mean));
        let partials = sim.room(room(m, n));
        let (view, other) = (
            MatRef::row_major(&a, m, n).unwrap(),
            MatRef::row_major(&b, m, n).unwrap(),
        );
        let squares: Vec<f64> = (0..n)
            .map(|j| {
                (0..m)
                    .map(|i| (f64::from(a[i * n + j]) - f64::from(mean[j])).powi(2))
                    .sum()
            })
            .collect();
        for (summed, expected) in [
            (Summed::Values(xs), reference::column_sum(view)),
            (Summed::Products(xs, ys), reference::column_dot(view, other)),
            (Summed::Squares(xs, means), squares),
        ] {
            for (keep, there) in [(0.0f32, f32::NAN), (1.0, 2.0)] {
                let (accumulate, total, fresh) = (sim.put(&[keep]), sim.put(&vec![there; n]), sim.room(n));
                let into = Into {
                    total,
                    accumulate,
                    fresh,
                };
                for call in sum(summed, (m, n), 1.0, partials, into).unwrap() {
                    sim.run(&call);
                }
                let bound = |_| 4.0 * (m as f64 + 4.0) * EPS;
                hold("fresh sums", &sim.get(fresh), &expected, bound);
                let kept = if keep == 0.0 { 0.0 } else { f64::from(there) };
                let totals: Vec<f64> = expected.iter().map(|x| x + kept).collect();
                hold("total sums", &sim.get(total), &totals, bound);
            }
        }
    }
}

#[test]
fn batch_normalisation_forward_and_back() {
    for (m, n) in SHAPES {
        for training in [true, false] {
            let mut sim = Sim::new(8);
            let (x, dy) = (random(1, m * n, 2.0), random(2, m * n, 1.0));
            let (gamma, beta) = (random(3, n, 1.0), random(4, n, 1.0));
            let (running_mean, running_variance) = (random(5, n, 1.0), vec![1.5f32; n]);
            let view = MatRef::row_major(&x, m, n).unwrap();
            let (mut mean64, mut variance64) = reference::column_mean_variance(view);
            let (xs, means, scales) = (sim.put(&x), sim.room(n), sim.put(&vec![0.0f32; n]));
            let (rm, rv, batches) = (sim.put(&running_mean), sim.put(&running_variance), sim.put(&[4.0f32]));
            let partials = sim.room(room(m, n));
            let share = 1.0 / m as f32;
            if training {
                for (summed, into) in [(Summed::Values(xs), means), (Summed::Squares(xs, means), scales)] {
                    for call in sum(summed, (m, n), share, partials, Into::fresh(into)).unwrap() {
                        sim.run(&call);
                    }
                }
            }
            let statistics = Statistics {
                mean: means,
                scale: scales,
                running_mean: rm,
                running_variance: rv,
                batches,
            };
            sim.run(&columns::batch_norm_statistics(m, training, (0.1, 1e-5), statistics).unwrap());
            let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (mut rm64, mut rv64) = (wide(&running_mean), wide(&running_variance));
            if training {
                for j in 0..n {
                    rm64[j] += 0.1 * (mean64[j] - rm64[j]);
                    if m > 1 {
                        rv64[j] += 0.1 * (variance64[j] * m as f64 / (m as f64 - 1.0) - rv64[j]);
                    }
                }
            } else {
                (mean64, variance64) = (rm64.clone(), rv64.clone());
            }
            let bound = 16.0 * (m as f64 + 8.0) * EPS;
            hold("running mean", &sim.get(rm), &rm64, |_| bound);
            hold("running variance", &sim.get(rv), &rv64, |_| bound);
            assert_eq!(sim.get(batches), [if training { 5.0 } else { 4.0 }]);
            if m == 1 && training {
                // 1 / sqrt(eps): no bound holds there.
                continue;
            }
            let scale64: Vec<f64> = variance64.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
            hold("scale", &sim.get(scales), &scale64, |j| {
                bound * scale64[j].powi(3).max(1.0)
            });

            let (normal, out) = (sim.room(m * n), sim.room(m * n));
            let (gammas, betas) = (sim.put(&gamma), sim.put(&beta));
            sim.run(&columns::batch_norm(m, xs, [means, scales, gammas, betas], normal, out).unwrap());
            let normal64: Vec<f64> = (0..m * n)
                .map(|e| (f64::from(x[e]) - mean64[e % n]) * scale64[e % n])
                .collect();
            let y64: Vec<f64> = (0..m * n)
                .map(|e| f64::from(gamma[e % n]) * normal64[e] + f64::from(beta[e % n]))
                .collect();
            let bound = |e: usize| 4.0 * bound * scale64[e % n].powi(3).max(1.0);
            hold("normal", &sim.get(normal), &normal64, bound);
            hold("out", &sim.get(out), &y64, bound);

            let dys = sim.put(&dy);
            let fresh: [Slice<f32>; 2] = [sim.room(n), sim.room(n)];
            for (summed, into) in [
                (Summed::Values(dys), fresh[0]),
                (Summed::Products(dys, normal), fresh[1]),
            ] {
                for call in sum(summed, (m, n), 1.0, partials, Into::fresh(into)).unwrap() {
                    sim.run(&call);
                }
            }
            let dx = sim.room(m * n);
            let by = [scales, gammas, fresh[0], fresh[1]];
            sim.run(&columns::batch_norm_backward(m, training, (dys, normal), by, dx).unwrap());
            let column = |j: usize, f: &dyn Fn(usize) -> f64| (0..m).map(|i| f(i * n + j)).sum::<f64>() / m as f64;
            let dx64: Vec<f64> = (0..m * n)
                .map(|e| {
                    let j = e % n;
                    let off = if training {
                        column(j, &|e| f64::from(dy[e])) + normal64[e] * column(j, &|e| f64::from(dy[e]) * normal64[e])
                    } else {
                        0.0
                    };
                    f64::from(gamma[j]) * scale64[j] * (f64::from(dy[e]) - off)
                })
                .collect();
            hold("dx", &sim.get(dx), &dx64, |e| 8.0 * bound(e) * scale64[e % n].max(1.0));
        }
    }
}
