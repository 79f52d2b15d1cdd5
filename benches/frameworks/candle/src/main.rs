//! Training steps of candle for `tilelab bench train-step` and the benches, which start `tilelab-candle THREADS`.
//!
//! It speaks the protocol of `benches/frameworks/frameworks.py`, one JSON object a line both ways, and makes inputs and first parameters
//! by the same hash.

use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, SGD, loss};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// As `tilelab` describes a case.
#[derive(Debug, Clone, serde::Deserialize)]
struct Case {
    layers: Vec<usize>,
    batch: usize,
    rows: usize,
    epochs: usize,
    value: bool,
    loss: String,
    optimizer: String,
    lr: f64,
}

/// From [-0.5, 0.5): a hash of each place.
fn numbers(count: usize, seed: u32) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |i| {
        let mut h = i.wrapping_add(seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
        h ^= h >> 15;
        h = h.wrapping_mul(0xC2B2_AE35);
        h ^= h >> 13;
        f64::from(h) / 2f64.powi(32) - 0.5
    })
}

enum Rule {
    Sgd(SGD),
    Adam(AdamW),
}

struct Running {
    case: Case,
    x: Tensor,
    y: Tensor,
    /// Weights as [in, out] and biases, in turns.
    parameters: Vec<Var>,
    rule: Rule,
    order: Vec<u32>,
    random: ChaCha8Rng,
}

impl Running {
    fn new(case: &Case) -> Result<Self> {
        let device = &Device::Cpu;
        let (columns, classes) = (case.layers[0], case.layers[case.layers.len() - 1]);
        let x: Vec<f32> = numbers(case.rows * columns, 1).map(|x| (x + 0.5) as f32).collect();
        let labels = (0..case.rows).map(|i| (i * 7 % 11 % classes.max(2)) as u32);
        let y = Tensor::from_iter(labels, device)?;
        let y = if case.loss == "bce" {
            y.to_dtype(DType::F32)?.reshape((case.rows, 1))?
        } else {
            y
        };
        let mut parameters = Vec::new();
        for (l, pair) in (1..).zip(case.layers.windows(2)) {
            let (n, q) = (pair[0], pair[1]);
            let scale = (4.0 / n as f64).sqrt();
            let weights: Vec<f32> = numbers(n * q, 10 + l).map(|x| (scale * x) as f32).collect();
            parameters.push(Var::from_vec(weights, (n, q), device)?);
            parameters.push(Var::zeros(q, DType::F32, device)?);
        }
        let rule = if case.optimizer == "adam" {
            let adam = ParamsAdamW {
                lr: case.lr,
                weight_decay: 0.0,
                ..ParamsAdamW::default()
            };
            Rule::Adam(AdamW::new(parameters.clone(), adam)?)
        } else {
            Rule::Sgd(SGD::new(parameters.clone(), case.lr)?)
        };
        Ok(Self {
            x: Tensor::from_vec(x, (case.rows, columns), device)?,
            y,
            parameters,
            rule,
            order: (0..case.rows as u32).collect(),
            random: ChaCha8Rng::seed_from_u64(1),
            case: case.clone(),
        })
    }

    fn first(&self) -> Result<(Tensor, Tensor)> {
        Ok((self.x.narrow(0, 0, self.case.batch)?, self.y.narrow(0, 0, self.case.batch)?))
    }

    fn step(&mut self, x: &Tensor, y: &Tensor, value: bool) -> Result<Option<f64>> {
        let mut h = x.clone();
        let layers = self.parameters.len() / 2;
        for (l, pair) in self.parameters.chunks(2).enumerate() {
            h = h.matmul(&pair[0])?.broadcast_add(&pair[1])?;
            if l + 1 < layers {
                h = h.relu()?;
            }
        }
        let loss = if self.case.loss == "bce" {
            // max(z, 0) - z y + log(1 + exp(-|z|))
            let softplus = (h.abs()?.neg()?.exp()? + 1.0)?.log()?;
            ((h.relu()? - (&h * y)?)? + softplus)?.mean_all()?
        } else {
            loss::nll(&candle_nn::ops::log_softmax(&h, D::Minus1)?, y)?
        };
        match &mut self.rule {
            Rule::Sgd(sgd) => sgd.backward_step(&loss)?,
            Rule::Adam(adam) => adam.backward_step(&loss)?,
        }
        Ok(if value {
            Some(f64::from(loss.to_scalar::<f32>()?))
        } else {
            None
        })
    }

    fn losses(&mut self, steps: usize) -> Result<Vec<Option<f64>>> {
        let (x, y) = self.first()?;
        (0..steps).map(|_| self.step(&x, &y, true)).collect()
    }

    fn calls(&mut self, count: u64) -> Result<()> {
        let (x, y) = self.first()?;
        for _ in 0..count {
            if self.case.epochs == 0 {
                self.step(&x, &y, self.case.value)?;
            }
            for _ in 0..self.case.epochs {
                self.order.shuffle(&mut self.random);
                for rows in self.order.clone().chunks(self.case.batch) {
                    let rows = Tensor::new(rows, &Device::Cpu)?;
                    let (x, y) = (self.x.index_select(&rows, 0)?, self.y.index_select(&rows, 0)?);
                    self.step(&x, &y, self.case.value)?;
                }
            }
        }
        Ok(())
    }
}

fn answer(order: &Value, cases: &mut Vec<Running>) -> std::result::Result<Value, Box<dyn std::error::Error>> {
    let number = |name: &str| order[name].as_u64();
    if let Some(case) = order.get("open") {
        if case.get("tested").is_some_and(|rows| rows.as_u64() != Some(0)) {
            return Ok(json!({"missing": "whole epochs with evaluations"}));
        }
        cases.push(Running::new(&serde_json::from_value(case.clone())?)?);
        return Ok(json!({"opened": cases.len() - 1}));
    }
    if let (Some(case), Some(steps)) = (number("losses"), number("steps")) {
        let case = cases[case as usize].case.clone();
        return Ok(json!({"losses": Running::new(&case)?.losses(steps as usize)?}));
    }
    let (case, calls) = (number("run").ok_or("no order")?, number("calls").ok_or("no calls")?);
    let begun = Instant::now();
    cases[case as usize].calls(calls)?;
    Ok(json!({"ns": begun.elapsed().as_nanos() as u64}))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let mut say = |line: &Value| writeln!(out, "{line}").and_then(|()| out.flush());
    say(&json!({"ready": "candle 0.11.1"}))?;
    let mut cases = Vec::new();
    for line in std::io::stdin().lock().lines() {
        say(&answer(&serde_json::from_str(&line?)?, &mut cases)?)?;
    }
    Ok(())
}
