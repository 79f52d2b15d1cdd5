//! Synthetic curves with known knees: share found, share of false ones, and how often intervals hold the truth.

use super::*;

/// One way to make a curve hard.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Knees(usize),
    SoftL2,
    NoL3,
    Spikes,
    Mode,
    Flat,
}

struct Made {
    visits: Vec<Visit>,
    truth: Vec<f64>,
}

/// Normal noise by the central limit: the sum of 12 uniforms has variance 1.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Three sweeps up, down and up again, as the probe makes them: 4 sizes an octave from 1 KiB to 256 MiB, 7 slices each.
fn make(kind: Kind, seed: u64) -> Made {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    // log2 of the capacity, the latency above it over that below, and how softly it rises.
    let l1 = (between(14.0, 16.0), between(2.5, 4.0), between(2.0, 12.0));
    let l2 = (between(18.0, 20.5), between(1.8, 3.5), between(1.5, 8.0));
    let l3 = (between(22.5, 25.0), between(2.0, 4.0), between(0.9, 4.0));
    let extra = (between(20.8, 21.2) + 0.5, between(1.5, 2.0), between(1.5, 6.0));
    let knees = match kind {
        Kind::Knees(2) | Kind::NoL3 => vec![l1, l2],
        Kind::Knees(4) => vec![l1, (l2.0.min(19.0), l2.1, l2.2), extra, (l3.0.max(23.5), l3.1, l3.2)],
        Kind::SoftL2 => vec![l1, (l2.0, l2.1, between(0.8, 1.3)), l3],
        Kind::Flat => vec![],
        _ => vec![l1, l2, l3],
    };
    let latency = |x: f64| {
        let mut level = 1.6;
        let mut sum = level;
        for &(place, factor, softness) in &knees {
            if x > place {
                sum += level * (factor - 1.0) * (1.0 - (softness * (place - x)).exp2());
            }
            level *= factor;
        }
        sum
    };
    let noise = between(0.01, 0.04);
    let change = (between(0.9, 2.1), between(1.15, 1.6));
    let mut visits = Vec::new();
    let sizes: Vec<f64> = (0..=72).map(|i| 10.0 + f64::from(i) / 4.0).collect();
    for sweep in 0..3u32 {
        let mut order = sizes.clone();
        if sweep % 2 == 1 {
            order.reverse();
        }
        for (place, x) in order.into_iter().enumerate() {
            // A visit has an error of its own, and each slice another.
            let shift = 0.5 * noise * normal(&mut rng);
            let now = f64::from(sweep) + place as f64 / sizes.len() as f64;
            let mode = if kind == Kind::Mode && now > change.0 {
                change.1
            } else {
                1.0
            };
            let ns = (0..7).map(|_| {
                let spike = if kind == Kind::Spikes && rng.random::<f64>() < 0.3 {
                    1.1 + 2.0 * rng.random::<f64>()
                } else {
                    1.0
                };
                latency(x) * mode * spike * (shift + noise * normal(&mut rng)).exp()
            });
            visits.push(Visit {
                size: x.exp2() as u64,
                sweep,
                at_s: now,
                ns: ns.collect(),
                dropped: 0,
            });
        }
    }
    Made {
        visits,
        truth: knees.iter().map(|knee| knee.0).collect(),
    }
}

/// Knees found, missed, false, and held by their interval, over many curves.
fn score(kind: Kind, curves: u64) -> (usize, usize, usize, usize) {
    let (mut found, mut truths, mut wrong, mut held) = (0, 0, 0, 0);
    for seed in 0..curves {
        let made = make(kind, 1000 + seed);
        let findings = find(&made.visits, seed);
        truths += made.truth.len();
        let near = |truth: f64, knee: &Knee| (knee.size.log2() - truth).abs() < 1.0;
        for &truth in &made.truth {
            if let Some(knee) = findings.knees.iter().find(|knee| near(truth, knee)) {
                found += 1;
                held += usize::from((knee.interval.0.log2()..=knee.interval.1.log2()).contains(&truth));
            }
        }
        wrong += findings
            .knees
            .iter()
            .filter(|knee| !made.truth.iter().any(|&truth| near(truth, knee)))
            .count();
    }
    println!("{kind:?}: {found} of {truths} found, {wrong} false, {held} held");
    (found, truths, wrong, held)
}

fn passes(kind: Kind, curves: u64) {
    let (found, truths, wrong, _) = score(kind, curves);
    assert!(found * 100 >= truths * 95, "{kind:?}: {found} of {truths} found");
    assert!(
        wrong * 100 <= 5 * truths.max(curves as usize),
        "{kind:?}: {wrong} false"
    );
}

#[test]
fn two_to_four_knees() {
    for count in 2..=4 {
        passes(Kind::Knees(count), 25);
    }
}

#[test]
fn a_soft_l2() {
    passes(Kind::SoftL2, 40);
}

#[test]
fn a_missing_l3_and_no_knee_at_all() {
    passes(Kind::NoL3, 30);
    passes(Kind::Flat, 60);
}

#[test]
fn spikes() {
    passes(Kind::Spikes, 40);
}

#[test]
fn a_change_of_mode_in_mid_sweep() {
    passes(Kind::Mode, 40);
    // It is told, and its size is right.
    let made = make(Kind::Mode, 5000);
    let modes = find(&made.visits, 1).modes;
    assert!(modes.len() == 1 && modes[0].1 > 1.1, "{modes:?}");
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let kinds = [Kind::Knees(2), Kind::Knees(3), Kind::SoftL2, Kind::Spikes, Kind::Mode];
    let scores = kinds.map(|kind| score(kind, 24));
    let (found, held) = scores
        .iter()
        .fold((0, 0), |sum, score| (sum.0 + score.0, sum.1 + score.3));
    let share = held as f64 / found as f64;
    assert!(
        (0.85..=0.95).contains(&share),
        "90 percent intervals hold {share:.3} of {found} knees"
    );
}

#[test]
fn too_little_to_say_is_no_knee() {
    assert!(find(&[], 0).knees.is_empty());
    let visit = |size, ns: Vec<f64>| Visit {
        size,
        sweep: 0,
        at_s: 0.0,
        ns,
        dropped: 0,
    };
    let odd = [
        visit(1024, vec![f64::NAN]),
        visit(0, vec![1.0]),
        visit(2048, vec![]),
        visit(4096, vec![1.0, -1.0]),
    ];
    let findings = find(&odd, 0);
    assert!(findings.knees.is_empty() && findings.points.len() == 1, "{findings:?}");
}
