//! Functions of elements and updates, at lengths off and on four.

use tilelab_kernels::cuda::elementwise::{self, adam_rule, momentum_rule};
use tilelab_kernels::{Activation, Adam, Momentum, reference};

use crate::sim::{Sim, hold, random};

const LENGTHS: [usize; 5] = [1, 3, 4, 257, 1030];

const FUNCTIONS: [Activation; 11] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::PRelu { alpha: -0.25 },
    Activation::Elu { alpha: 1.5 },
    Activation::Elu { alpha: -0.5 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Swish { beta: 1.5 },
    Activation::Gelu,
    Activation::GeluTanh,
];

fn parameter(f: Activation) -> f32 {
    match f {
        Activation::LeakyRelu { slope } => slope as f32,
        Activation::PRelu { alpha } | Activation::Elu { alpha } => alpha as f32,
        Activation::Swish { beta } => beta as f32,
        _ => 0.0,
    }
}

const EPS: f64 = f32::EPSILON as f64;

#[test]
fn activations_and_their_derivatives() {
    for f in FUNCTIONS {
        for n in LENGTHS {
            let mut sim = Sim::new(n as u64);
            let (mut x, dy) = (random(1, n, 6.0), random(2, n, 3.0));
            x[0] = 0.0;
            let p = sim.put(&[parameter(f)]);
            let (xs, ys) = (sim.put(&x), sim.room(n));
            sim.run(&elementwise::activate(f, p, xs, ys).unwrap());
            // PTX's approximations of ex2, rcp and lg2 are good to 2 ulp, what is made of them to 16.
            let expected = reference::activate(f, &x);
            let what = format!("{f:?} of {n}");
            hold(&what, &sim.get(ys), &expected, |i| {
                16.0 * EPS * (f64::from(x[i].abs()).min(1.0) + expected[i].abs())
            });
            let saved: Vec<f32> = match f.saves() {
                tilelab_kernels::Saves::Input => x.clone(),
                tilelab_kernels::Saves::Output => expected.iter().map(|&y| y as f32).collect(),
            };
            let (saved_card, dys, dxs) = (sim.put(&saved), sim.put(&dy), sim.room(n));
            sim.run(&elementwise::activate_backward(f, p, saved_card, dys, dxs).unwrap());
            let expected = reference::activate_backward(f, &saved, &dy);
            hold(&format!("derivative of {what}"), &sim.get(dxs), &expected, |i| {
                32.0 * EPS * f64::from(dy[i].abs()) * 2.0
            });
        }
    }
}

#[test]
fn nan_comes_through_activations() {
    for f in FUNCTIONS {
        let mut sim = Sim::new(1);
        let (p, x, y) = (sim.put(&[parameter(f)]), sim.put(&[f32::NAN; 5]), sim.room(5));
        sim.run(&elementwise::activate(f, p, x, y).unwrap());
        assert!(sim.get(y).iter().all(|y| y.is_nan()), "{f:?}");
    }
}

#[test]
fn the_gradient_of_a_learned_parameter() {
    for f in [Activation::PRelu { alpha: 0.25 }, Activation::Swish { beta: 1.5 }] {
        for (keep, there) in [(0.0f32, f32::NAN), (1.0, 3.0)] {
            let n = 2500;
            let mut sim = Sim::new(3);
            let (x, dy) = (random(1, n, 4.0), random(2, n, 1.0));
            let (p, xs, dys) = (sim.put(&[parameter(f)]), sim.put(&x), sim.put(&dy));
            let (accumulate, slope) = (sim.put(&[keep]), sim.put(&[there]));
            sim.run(&elementwise::parameter_gradient(f, p, xs, dys, accumulate, slope).unwrap());
            let pairs = x.iter().zip(&dy);
            let sum: f64 = pairs
                .map(|(&x, &dy)| f64::from(dy) * reference::derivative_by_parameter(f, f64::from(x)))
                .sum();
            let expected = sum + if keep == 0.0 { 0.0 } else { f64::from(there) };
            hold("slope", &sim.get(slope), &[expected], |_| 4.0 * n as f64 * EPS);
        }
    }
}

#[test]
fn scaling_and_thresholds() {
    for n in LENGTHS {
        let mut sim = Sim::new(5);
        let x = random(1, n, 2.0);
        let (by, xs, out) = (sim.put(&[0.5f32]), sim.put(&x), sim.room(n));
        sim.run(&elementwise::above(xs, 0.25, out).unwrap());
        let expected: Vec<u32> = x.iter().map(|&x| u32::from(x > 0.25)).collect();
        assert_eq!(sim.get(out), expected);
        sim.run(&elementwise::scale(by, xs).unwrap());
        let expected: Vec<f32> = x.iter().map(|x| 0.5 * x).collect();
        assert_eq!(sim.get(xs), expected);
    }
}

#[test]
fn updates() {
    for n in LENGTHS {
        let mut sim = Sim::new(6);
        let (g, w, v) = (random(1, n, 1.0), random(2, n, 1.0), random(3, n, 1.0));
        let (gs, ws) = (sim.put(&g), sim.put(&w));
        let (decay, lr) = (sim.put(&[0.99f32]), sim.put(&[0.1f32]));
        sim.run(&elementwise::sgd(decay, lr, gs, ws).unwrap());
        hold("sgd", &sim.get(ws), &reference::sgd(0.99f32, 0.1f32, &g, &w), |_| {
            3.0 * EPS
        });
        for nesterov in [false, true] {
            let rule = Momentum {
                lr: 0.1,
                momentum: 0.9,
                l2: 0.01,
                nesterov,
            };
            let (rules, ws, vs) = (sim.put(&momentum_rule(rule)), sim.put(&w), sim.put(&v));
            sim.run(&elementwise::momentum(rules, nesterov, gs, ws, vs).unwrap());
            let expected: Vec<(f64, f64)> = (0..n)
                .map(|i| reference::momentum(rule, f64::from(g[i]), f64::from(w[i]), f64::from(v[i])))
                .collect();
            let (new_w, new_v): (Vec<f64>, Vec<f64>) = expected.into_iter().unzip();
            hold("momentum's weights", &sim.get(ws), &new_w, |_| 8.0 * EPS);
            hold("momentum's velocity", &sim.get(vs), &new_v, |_| 8.0 * EPS);
        }
        let rule = Adam {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            l2: 0.01,
            weight_decay: 0.1,
            step: 3,
        };
        let second: Vec<f32> = v.iter().map(|x| x * x + 0.1).collect();
        let (rules, ws, a, b) = (sim.put(&adam_rule(rule)), sim.put(&w), sim.put(&v), sim.put(&second));
        sim.run(&elementwise::adam(rules, gs, ws, (a, b)).unwrap());
        let expected: Vec<(f64, f64, f64)> = (0..n)
            .map(|i| {
                let moments = (f64::from(v[i]), f64::from(second[i]));
                reference::adam(rule, f64::from(g[i]), f64::from(w[i]), moments)
            })
            .collect();
        hold(
            "adam's weights",
            &sim.get(ws),
            &expected.iter().map(|x| x.0).collect::<Vec<_>>(),
            |_| 16.0 * EPS,
        );
        hold(
            "adam's first moment",
            &sim.get(a),
            &expected.iter().map(|x| x.1).collect::<Vec<_>>(),
            |_| 8.0 * EPS,
        );
        hold(
            "adam's second moment",
            &sim.get(b),
            &expected.iter().map(|x| x.2).collect::<Vec<_>>(),
            |_| 8.0 * EPS,
        );
    }
}
