//! A whole epoch of 784-256-10 on a set of Fashion-MNIST's size: shuffle, gather, convert, 235 steps, both evaluations. Beside it
//! PyTorch over a tensor that stays in memory as f32 and is indexed by a permutation.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tilelab_kernels::Threads;

use super::rounds::median;
use super::{error_over_bound, numbers};
use crate::bench::Trouble;
use crate::bench::bars::{self, Bar, TIE};
use crate::bench::frameworks::{self, Framework};
use crate::data::{Dataset, Source, Split, Values};
use crate::device::{Batch, Device, ProgramId, Set};
use crate::measure::{Bench, Contestant, Lineup};
use crate::mlp::{Event, Model, TrainOptions, Trainer};
use crate::program::lower::{Lowering, bias_name, weights_name};
use crate::program::{Element, Op, Program, StepArgs, flops};

const LAYERS: [usize; 3] = [784, 256, 10];
const BATCH: usize = 256;
const LR: f64 = 0.1;
const TRAINED: usize = 60_000;
const TESTED: usize = 10_000;
/// Ours to PyTorch.
const LEAST: f64 = 1.3;
/// Epochs whose parts are looked at.
const LOOKS: usize = 5;

/// The data, which both have.
pub struct WholeEpoch {
    data: Dataset,
    threads: Threads,
}

/// Where an epoch's time goes, ns: medians of a few epochs, looked at apart from the contest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// The order of the rows.
    pub shuffle_ns: f64,
    /// Rows gathered and converted to f32, all batches. Taken alone: within a step they come warm to the product.
    pub gather_ns: f64,
    /// Everything up to the last step's end, the two above included.
    pub steps_ns: f64,
    /// Both evaluations, and the look at the parameters.
    pub evaluations_ns: f64,
}

impl WholeEpoch {
    /// Draws the data.
    pub fn new(threads: Threads) -> Self {
        let split = |rows: usize, seed| Split {
            values: Values::Bytes(
                numbers(rows * LAYERS[0], seed)
                    .map(|x| ((x + 0.5) * 256.0) as u8)
                    .collect(),
            ),
            rows,
            columns: LAYERS[0],
            labels: (0..rows).map(|i| (i * 7 % 11 % LAYERS[2]) as u8).collect(),
        };
        let data = Dataset {
            name: "hashed bytes".to_owned(),
            source: Source::Drawn,
            shape: (28, 28),
            classes: LAYERS[2],
            train: split(TRAINED, 1),
            test: split(TESTED, 2),
        };
        Self { data, threads }
    }

    /// Name of the case.
    pub fn name() -> String {
        format!("784-256-10 batch {BATCH}: an epoch of {TRAINED} with both evaluations")
    }

    fn trainer(&self, device: Device) -> Result<Trainer<'_>, String> {
        let options = TrainOptions {
            layers: LAYERS.to_vec(),
            batch: BATCH,
            lr: LR,
            device,
            threads: self.threads,
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::new(&options, &self.data).map_err(|error| error.to_string())?;
        for (l, pair) in (1..).zip(LAYERS.windows(2)) {
            let (n, q) = (pair[0], pair[1]);
            let scale = (4.0 / n as f64).sqrt();
            let weights: Vec<f64> = numbers(n * q, 10 + l as u32)
                .map(|x| f64::from((scale * x) as f32))
                .collect();
            let session = trainer.session();
            let written = session
                .write(&weights_name(l), &weights)
                .and_then(|()| session.write(&bias_name(l), &vec![0.0; q]));
            written.map_err(|error| error.to_string())?;
        }
        Ok(trainer)
    }

    /// The loss of the untrained model on the first batch.
    fn first_loss(&self, device: Device) -> Result<f64, String> {
        let described = self.trainer(device)?.describe("hashed bytes");
        described
            .map(|training| training.first_loss)
            .map_err(|error| error.to_string())
    }

    /// Ours and, if it is among the frameworks, PyTorch, their first losses held against the reference's.
    ///
    /// # Errors
    /// Whoever can't run it, in one line.
    pub fn lineup<'a>(
        &'a self,
        frameworks: &'a [RefCell<Framework>],
        trouble: &'a Trouble,
    ) -> Result<Lineup<'a>, String> {
        let wanted = [self.first_loss(Device::Reference)?];
        let error = error_over_bound(&[self.first_loss(Device::Cpu)?], &wanted);
        let mut trainer = self.trainer(Device::Cpu)?;
        let ours = move |calls| {
            for _ in 0..calls {
                if let Err(error) = trainer.epoch(&mut |_| ControlFlow::Continue(())) {
                    *trouble.borrow_mut() = Some(error.to_string());
                }
            }
        };
        let mut contestants = vec![Contestant::new(Device::Cpu.to_string(), error, ours)];
        let pytorch = frameworks.iter().find(|it| it.borrow().name() == "pytorch");
        if let Some(framework) = pytorch {
            let mut asked = framework.borrow_mut();
            let order = json!({"open": {
                "layers": LAYERS, "batch": BATCH, "rows": TRAINED, "tested": TESTED, "epochs": 1, "value": false,
                "loss": "cross-entropy", "optimizer": "sgd", "lr": LR,
            }});
            let id = asked.ask(&order)?["opened"].as_u64();
            let id = id.ok_or_else(|| format!("{}: the case was not opened", asked.name()))?;
            let losses = asked.ask(&json!({"losses": id, "steps": 1}))?;
            let losses: Vec<f64> = serde_json::from_value(losses["losses"].clone())
                .map_err(|error| format!("{}: {error}", asked.name()))?;
            let error = error_over_bound(&losses, &wanted);
            drop(asked);
            contestants.push(frameworks::contestant(framework, id, error, trouble));
        }
        Ok(Lineup {
            name: Self::name(),
            x: TRAINED as f64,
            work: self.flops()?,
            contestants,
        })
    }

    /// Floating-point operations of an epoch: the steps, and both evaluations.
    fn flops(&self) -> Result<f64, String> {
        let model = Model::new(&LAYERS, TrainOptions::default().activation).map_err(|error| error.to_string())?;
        let lowering = |rows| Lowering {
            model: &model,
            float: Element::F32,
            rows,
            byte_scale: 1.0 / 255.0,
        };
        let told = |error: crate::program::ProgramError| error.to_string();
        let step = lowering(BATCH).step(TrainOptions::default().optimizer).map_err(told)?;
        let evaluate = lowering(TRAINED).evaluate().map_err(told)?;
        let whole = TRAINED / BATCH;
        let steps = whole as u64 * flops::of_program(&step, BATCH) + flops::of_program(&step, TRAINED % BATCH);
        let evaluations = flops::of_program(&evaluate, TRAINED) + flops::of_program(&evaluate, TESTED);
        Ok((steps + evaluations) as f64)
    }

    /// Where the time goes.
    ///
    /// # Errors
    /// A device that fails, in one line.
    pub fn parts(&self) -> Result<Parts, String> {
        let mut trainer = self.trainer(Device::Cpu)?;
        let (mut steps, mut evaluations) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS {
            let begun = Instant::now();
            let mut stepped = begun;
            let done = trainer.epoch(&mut |event| {
                if matches!(event, Event::Batch { .. }) {
                    stepped = Instant::now();
                }
                ControlFlow::Continue(())
            });
            done.map_err(|error| error.to_string())?;
            steps.push((stepped - begun).as_nanos() as f64);
            evaluations.push(stepped.elapsed().as_nanos() as f64);
        }
        drop(trainer);
        let (shuffle, gather) = self.before_the_steps()?;
        let middle = |values| median(values).unwrap_or(f64::NAN);
        Ok(Parts {
            shuffle_ns: middle(shuffle),
            gather_ns: middle(gather),
            steps_ns: middle(steps),
            evaluations_ns: middle(evaluations),
        })
    }

    /// The shuffle, and the rows alone.
    fn before_the_steps(&self) -> Result<(Vec<f64>, Vec<f64>), String> {
        let model = Model::new(&LAYERS, TrainOptions::default().activation).map_err(|error| error.to_string())?;
        let lowering = Lowering {
            model: &model,
            float: Element::F32,
            rows: BATCH,
            byte_scale: 1.0 / 255.0,
        };
        let told = |error: crate::program::ProgramError| error.to_string();
        let mut parts = lowering.predict().map_err(told)?.into_parts();
        parts.operations.retain(|op| matches!(op, Op::LoadRows { .. }));
        let program = Program::new(parts).map_err(told)?;
        let device = |error: crate::device::DeviceError| error.to_string();
        let sets = [Set::of_split(&self.data.train).map_err(device)?];
        let mut session = Device::Cpu
            .open(std::slice::from_ref(&program), &sets, self.threads)
            .map_err(device)?;
        let mut order: Vec<u32> = (0..TRAINED as u32).collect();
        let (mut shuffle, mut gather) = (Vec::new(), Vec::new());
        for look in 0..LOOKS {
            let begun = Instant::now();
            order.shuffle(&mut ChaCha8Rng::seed_from_u64(look as u64));
            shuffle.push(begun.elapsed().as_nanos() as f64);
            let begun = Instant::now();
            for rows in order.chunks(BATCH) {
                let batch = Batch::of_set(&program, &sets, 0, rows).map_err(device)?;
                session.run(ProgramId(0), &batch, &StepArgs::default());
            }
            gather.push(begun.elapsed().as_nanos() as f64);
        }
        Ok((shuffle, gather))
    }

    /// The verdict; `None` if the case was not run.
    pub fn bar(bench: &Bench) -> Option<Bar> {
        let case = bench.cases.iter().find(|case| case.name == Self::name())?;
        let figure = bars::against_best(case, bench).map(|(_, ratio)| ratio);
        let name = format!("{}: ratio to pytorch", Self::name());
        Some(Bar::judge(name, figure, LEAST, LEAST * TIE))
    }
}

impl std::fmt::Display for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |ns: f64| ns / 1e6;
        write!(
            f,
            "an epoch's parts: shuffle {:.2} ms, gather and convert {:.2} ms (alone), both within all steps {:.1} ms, evaluations {:.1} ms",
            ms(self.shuffle_ns),
            ms(self.gather_ns),
            ms(self.steps_ns),
            ms(self.evaluations_ns)
        )
    }
}
