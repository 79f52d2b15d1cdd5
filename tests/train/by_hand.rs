//! Two epochs of a run against the same by hand: loops over Vec<Vec<f64>> that know nothing of programs and devices.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use tilelab::data::{Dataset, Split};
use tilelab::device::Device;
use tilelab::measure::Epoch;
use tilelab::mlp::{Init, Purpose, Schedule, Span, TrainOptions, Trainer, stream};
use tilelab::program::Element;

use super::dataset;

const HIDDEN: usize = 9;

/// One hidden layer of relu. w1[i][u], w2[u][c].
struct Hand {
    w1: Vec<Vec<f64>>,
    b1: Vec<f64>,
    w2: Vec<Vec<f64>>,
    b2: Vec<f64>,
    /// Of the gradients of each step, before they are clipped.
    norms: Vec<f64>,
}

fn rows_of(values: &[f64], cols: usize) -> Vec<Vec<f64>> {
    values.chunks(cols).map(<[f64]>::to_vec).collect()
}

fn pixels(split: &Split, row: usize) -> Vec<f64> {
    split.image(row).iter().map(|&p| f64::from(p) / 255.0).collect()
}

impl Hand {
    /// h, softmax(o), and the loss of one row.
    fn forward(&self, x: &[f64], label: usize) -> (Vec<f64>, Vec<f64>, f64) {
        let affine = |x: &[f64], w: &[Vec<f64>], b: &[f64]| -> Vec<f64> {
            (0..b.len())
                .map(|j| b[j] + x.iter().zip(w).map(|(x, w)| x * w[j]).sum::<f64>())
                .collect()
        };
        let h: Vec<f64> = affine(x, &self.w1, &self.b1).iter().map(|z| z.max(0.0)).collect();
        let o = affine(&h, &self.w2, &self.b2);
        let sum: f64 = o.iter().map(|o| o.exp()).sum();
        let p: Vec<f64> = o.iter().map(|o| o.exp() / sum).collect();
        let loss = -p[label].ln();
        (h, p, loss)
    }

    /// A step on these rows; the sum of their losses before it.
    fn step(&mut self, split: &Split, rows: &[u32], lr: f64, options: &TrainOptions) -> f64 {
        let (mut dw1, mut db1) = (vec![vec![0.0; HIDDEN]; self.w1.len()], vec![0.0; HIDDEN]);
        let (mut dw2, mut db2) = (vec![vec![0.0; self.b2.len()]; HIDDEN], vec![0.0; self.b2.len()]);
        let mut losses = 0.0;
        for &row in rows {
            let (x, label) = (pixels(split, row as usize), usize::from(split.labels[row as usize]));
            let (h, p, loss) = self.forward(&x, label);
            losses += loss;
            let d_o: Vec<f64> = (0..p.len())
                .map(|c| (p[c] - f64::from(c == label)) / rows.len() as f64)
                .collect();
            for u in 0..HIDDEN {
                let back: f64 = d_o.iter().zip(&self.w2[u]).map(|(d, w)| d * w).sum();
                let dz = if h[u] > 0.0 { back } else { 0.0 };
                db1[u] += dz;
                x.iter().enumerate().for_each(|(i, x)| dw1[i][u] += x * dz);
                d_o.iter().enumerate().for_each(|(c, d)| dw2[u][c] += h[u] * d);
            }
            d_o.iter().enumerate().for_each(|(c, d)| db2[c] += d);
        }
        if let Some(most) = options.clip {
            let all = [&dw1.concat()[..], &db1, &dw2.concat(), &db2].concat();
            let length = all.iter().map(|d| d * d).sum::<f64>().sqrt();
            let scale = (most / length).min(1.0);
            dw1.iter_mut().chain(&mut dw2).flatten().for_each(|d| *d *= scale);
            db1.iter_mut().chain(&mut db2).for_each(|d| *d *= scale);
            self.norms.push(length);
        }
        let l2 = options.l2;
        let weights = |w: &mut Vec<Vec<f64>>, d: &[Vec<f64>]| {
            for (w, d) in w.iter_mut().flatten().zip(d.iter().flatten()) {
                *w -= lr * (d + l2 * *w);
            }
        };
        weights(&mut self.w1, &dw1);
        weights(&mut self.w2, &dw2);
        self.b1.iter_mut().zip(db1).for_each(|(b, d)| *b -= lr * d);
        self.b2.iter_mut().zip(db2).for_each(|(b, d)| *b -= lr * d);
        losses
    }

    /// Mean loss and accuracy.
    fn judge(&self, split: &Split) -> (f64, f64) {
        let (mut losses, mut right) = (0.0, 0);
        for row in 0..split.rows {
            let label = usize::from(split.labels[row]);
            let (_, p, loss) = self.forward(&pixels(split, row), label);
            losses += loss;
            right += usize::from(p.iter().all(|other| *other <= p[label]));
        }
        (losses / split.rows as f64, right as f64 / split.rows as f64)
    }

    /// An epoch; its figures.
    fn epoch(&mut self, data: &Dataset, epoch: usize, options: &TrainOptions) -> [f64; 4] {
        let mut order: Vec<u32> = (0..data.train.rows as u32).collect();
        order.shuffle(&mut stream(options.seed, Purpose::Order { epoch }));
        let each = order.len().div_ceil(options.batch) as u64;
        let span = Span {
            warmup: options.warmup,
            epoch: each,
            run: each * options.epochs as u64,
        };
        let numbered = ((epoch as u64 - 1) * each + 1..).zip(order.chunks(options.batch));
        let steps = numbered.map(|(t, rows)| {
            let lr = options.lr * options.schedule.factor(t, span);
            self.step(&data.train, rows, lr, options)
        });
        let train_loss = steps.sum::<f64>() / data.train.rows as f64;
        let (test_loss, test_acc) = self.judge(&data.test);
        [train_loss, test_loss, self.judge(&data.train).1, test_acc]
    }
}

fn figures(epoch: &Epoch) -> [f64; 4] {
    [epoch.train_loss, epoch.test_loss, epoch.train_acc, epoch.test_acc]
}

/// Plain; then each way to make a step, and all of them at once.
fn ways() -> [TrainOptions; 5] {
    let plain = TrainOptions::default();
    let schedule = Schedule::Cosine { floor: 0.1 };
    [
        plain.clone(),
        TrainOptions {
            accumulate: 3,
            ..plain.clone()
        },
        TrainOptions {
            clip: Some(1.1),
            ..plain.clone()
        },
        TrainOptions {
            schedule: Schedule::Step { epochs: 1, factor: 0.5 },
            warmup: 2,
            ..plain.clone()
        },
        TrainOptions {
            schedule,
            warmup: 3,
            accumulate: 4,
            clip: Some(1.1),
            ..plain
        },
    ]
}

#[test]
fn two_epochs_are_those_by_hand() {
    for way in ways() {
        for device in [Device::Reference, Device::Cpu, Device::Baseline] {
            compare(&way, device);
        }
    }
}

fn compare(way: &TrainOptions, device: Device) {
    // 50 rows in batches of 16: the last has 2.
    let data = dataset((50, 21), 30, 4);
    let init = Init::Normal { sigma: 0.3 };
    let options = TrainOptions {
        layers: vec![30, HIDDEN, 4],
        init,
        batch: 16,
        epochs: 2,
        lr: 0.2,
        l2: 0.01,
        seed: 11,
        device,
        float: Element::F64,
        ..way.clone()
    };
    let mut hand = Hand {
        w1: rows_of(&init.weights(11, 1, (30, HIDDEN)), HIDDEN),
        b1: vec![0.0; HIDDEN],
        w2: rows_of(&init.weights(11, 2, (HIDDEN, 4)), 4),
        b2: vec![0.0; 4],
        norms: Vec::new(),
    };
    let mut trainer = Trainer::new(&options, &data).unwrap();
    for epoch in 1..=2 {
        let got = figures(&trainer.epoch(&mut |_| ControlFlow::Continue(())).unwrap());
        let want = hand.epoch(&data, epoch, &options);
        // Sums of at most 50 terms near 1, in another order.
        for (got, want) in got.iter().zip(&want) {
            assert!(
                (got - want).abs() <= 1e-13,
                "{device}, epoch {epoch}: {got} is not {want}"
            );
        }
        let parameters = [hand.w1.concat(), hand.b1.clone(), hand.w2.concat(), hand.b2.clone()];
        for (name, want) in ["W1", "b1", "W2", "b2"].into_iter().zip(parameters) {
            let got = trainer.session().read(name).unwrap();
            for (got, want) in got.iter().zip(&want) {
                assert!(
                    (got - want).abs() <= 1e-13,
                    "{device}, epoch {epoch}, {name}: {got} is not {want}"
                );
            }
        }
    }
    // At least one step was clipped, and not all of them: both ways were gone.
    if let Some(most) = way.clip {
        let clipped = hand.norms.iter().filter(|&&norm| norm > most).count();
        assert!((1..8).contains(&clipped), "norms {:?}", hand.norms);
    }
}
