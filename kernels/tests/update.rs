//! Updates: one step against the oracle at every length, many steps beside it, and the same bits on any number of threads.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Guarded, Random, assert_close, contexts, lengths, same_for_any_threads};
use tilelab_kernels::{Adam, Context, Float, Momentum, reference};

const MOMENTUM: Momentum = Momentum {
    lr: 0.1,
    momentum: 0.9,
    l2: 0.01,
    nesterov: false,
};

const ADAM: Adam = Adam {
    lr: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    l2: 0.0,
    weight_decay: 0.0,
    step: 1,
};

fn one_step<T: Float>(ctx: &Context, n: usize) {
    let mut random = Random(n as u64);
    let (g, w) = (random.fill::<T>(n, -1.0, 1.0), random.fill::<T>(n, -1.0, 1.0));
    let (a, b) = (random.fill::<T>(n, -1.0, 1.0), random.fill::<T>(n, 0.01, 1.0));
    let what = format!("{n} {} {}", T::NAME, ctx.isa());
    // Numbers up to 2 in size with a few roundings each; Adam's quotient is up to 10 times lr.
    let bound = |_| 8.0 * T::EPSILON;
    for nesterov in [false, true] {
        let rule = Momentum { nesterov, ..MOMENTUM };
        let (mut new_w, mut new_v) = (Guarded::of(&w, 3), Guarded::of(&a, 5));
        ctx.momentum(rule, &g, new_w.slice(), new_v.slice()).unwrap();
        let want = (0..n).map(|i| reference::momentum(rule, g[i].to_f64(), w[i].to_f64(), a[i].to_f64()));
        let (want_w, want_v): (Vec<_>, Vec<_>) = want.unzip();
        assert_close(&what, &new_w.checked(), &want_w, bound);
        assert_close(&what, &new_v.checked(), &want_v, bound);
    }
    for (l2, weight_decay, step) in [(0.0, 0.0, 1), (0.01, 0.0, 3), (0.0, 0.05, 1000)] {
        let rule = Adam {
            l2,
            weight_decay,
            step,
            ..ADAM
        };
        let (mut new_w, mut new_a, mut new_b) = (Guarded::of(&w, 1), Guarded::of(&a, 2), Guarded::of(&b, 3));
        ctx.adam(rule, &g, new_w.slice(), new_a.slice(), new_b.slice()).unwrap();
        let want: Vec<_> = (0..n)
            .map(|i| reference::adam(rule, g[i].to_f64(), w[i].to_f64(), (a[i].to_f64(), b[i].to_f64())))
            .collect();
        let column = |f: fn(&(f64, f64, f64)) -> f64| want.iter().map(f).collect::<Vec<_>>();
        assert_close(&what, &new_w.checked(), &column(|w| w.0), bound);
        assert_close(&what, &new_a.checked(), &column(|w| w.1), bound);
        assert_close(&what, &new_b.checked(), &column(|w| w.2), bound);
    }
}

#[test]
fn every_length_agrees_with_the_oracle() {
    for ctx in contexts() {
        for n in lengths() {
            one_step::<f32>(&ctx, n);
            one_step::<f64>(&ctx, n);
        }
    }
}

/// Fifty steps of Adam on (w - 3)^2 go the way of the oracle: a wrong bias correction shows at once.
#[test]
fn many_steps_go_the_oracles_way() {
    for ctx in contexts() {
        let (mut w, mut a, mut b) = ([0.0f64], [0.0], [0.0]);
        let mut oracle = (0.0, 0.0, 0.0);
        for step in 1..=50 {
            let rule = Adam { lr: 0.1, step, ..ADAM };
            let g = [2.0 * (w[0] - 3.0)];
            ctx.adam(rule, &g, &mut w, &mut a, &mut b).unwrap();
            oracle = reference::adam(rule, 2.0 * (oracle.0 - 3.0), oracle.0, (oracle.1, oracle.2));
            assert!(
                (w[0] - oracle.0).abs() <= 1e-12,
                "{} step {step}: {} and {}",
                ctx.isa(),
                w[0],
                oracle.0
            );
        }
        assert!((w[0] - 3.0).abs() < 0.5, "{} never got near: {}", ctx.isa(), w[0]);
    }
}

/// Without a gradient moments and velocities shrink, but never to denormal numbers, on which they would stay.
#[test]
fn a_dead_units_moments_never_become_denormal() {
    for ctx in contexts() {
        let n = 37;
        let (g, mut w) = (vec![0.0f32; n], vec![1.0; n]);
        let start = |i: usize| (1.0 + i as f32) * 1e-33;
        let (mut a, mut b, mut v): (Vec<_>, Vec<_>, Vec<_>) = (
            (0..n).map(start).collect(),
            (0..n).map(start).collect(),
            (0..n).map(start).collect(),
        );
        let before = a.clone();
        for _ in 0..20_000 {
            ctx.adam(ADAM, &g, &mut w, &mut a, &mut b).unwrap();
            ctx.momentum(Momentum { l2: 0.0, ..MOMENTUM }, &g, &mut w, &mut v)
                .unwrap();
        }
        for (name, all) in [("a", &a), ("b", &b), ("v", &v)] {
            assert!(all.iter().all(|x| !x.is_subnormal()), "{} {name}: {all:?}", ctx.isa());
            assert!(
                all.iter().zip(&before).all(|(x, before)| x < before),
                "{} {name}",
                ctx.isa()
            );
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let n = 200_003;
    let mut random = Random(4);
    let (g, w) = (random.fill::<f32>(n, -1.0, 1.0), random.fill::<f32>(n, -1.0, 1.0));
    same_for_any_threads(|ctx| {
        let (mut w, mut a, mut b) = (w.clone(), vec![0.5; n], vec![0.25; n]);
        ctx.adam(ADAM, &g, &mut w, &mut a, &mut b).unwrap();
        ctx.momentum(MOMENTUM, &g, &mut w, &mut a).unwrap();
        (w, a, b)
    });
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let ctx = &contexts()[0];
    let (g, mut w, mut a, mut short) = ([0.0f32; 12], [0.0f32; 12], [0.0f32; 12], [0.0f32; 11]);
    assert!(ctx.momentum(MOMENTUM, &g, &mut w, &mut short).is_err());
    assert!(ctx.adam(ADAM, &g, &mut w, &mut a, &mut short).is_err());
    assert!(ctx.adam(ADAM, &g, &mut short, &mut w, &mut a).is_err());
}
