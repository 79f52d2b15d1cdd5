//! Every device against `reference`: operation by operation, fused against plain, and step by step.
//!
//! Inputs are rounded to f32 before they are written, so that both sides start from the same numbers. Bounds are derived from
//! the operation (each says how), with `eps` the distance from 1 to the next number of the device's type, and written so that
//! NaN fails.
#![allow(clippy::unwrap_used)] // A test may panic.

mod fusion;
mod norm;
mod operations;
mod rules;
mod steps;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab::device::{Batch, Device, ProgramId, Session, Set};
use tilelab::program::{Buffer, BufferId, Element, Lifetime, Op, Parts, Program, Role, Shape, StepArgs};
use tilelab_kernels::Threads;

/// What is checked: every device in both types.
const CHECKED: [(Device, Element); 4] = [
    (Device::Cpu, Element::F32),
    (Device::Cpu, Element::F64),
    (Device::Baseline, Element::F32),
    (Device::Baseline, Element::F64),
];

fn eps(float: Element) -> f64 {
    match float {
        Element::F32 => f64::from(f32::EPSILON),
        _ => f64::EPSILON,
    }
}

fn open<'a>(device: Device, programs: &[Program], sets: &[Set<'a>]) -> Box<dyn Session + 'a> {
    device.open(programs, sets, Threads::new(2).unwrap()).unwrap()
}

/// Uniform in [-1, 1], exact in f32.
fn random(count: usize, seed: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| f64::from(random.random_range(-1.0f32..=1.0)))
        .collect()
}

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

fn labels(count: usize, classes: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 % classes) as u8).collect()
}

/// |got - want| <= bound, element by element; false for NaN.
#[track_caller]
fn assert_within(what: &str, got: &[f64], want: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let bound = bound(i);
        assert!(
            (got - want).abs() <= bound,
            "{what}: element {i} is {got}, not {want} within {bound:e}"
        );
    }
}

#[test]
#[should_panic(expected = "element 1")]
fn nan_is_never_within() {
    assert_within("nan", &[1.0, f64::NAN], &[1.0, 1.0], |_| f64::INFINITY);
}

/// A program of a few operations on buffers that keep what is written to them.
struct Few {
    rows: usize,
    buffers: Vec<Buffer>,
}

impl Few {
    fn new(rows: usize) -> Self {
        Self {
            rows,
            buffers: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, shape: Shape, element: Element, role: Role) -> BufferId {
        let (name, lifetime) = (name.to_owned(), Lifetime::Kept);
        self.buffers.push(Buffer {
            name,
            shape,
            element,
            role,
            lifetime,
        });
        BufferId(self.buffers.len() - 1)
    }

    /// A buffer of the program's real numbers.
    fn real(&mut self, name: &str, shape: Shape) -> BufferId {
        self.add(name, shape, Element::F64, Role::Activation)
    }

    fn labels(&mut self) -> BufferId {
        self.add("labels", Shape::batch(1), Element::U8, Role::Label)
    }

    fn metric(&mut self, name: &str) -> BufferId {
        self.add(name, Shape::fixed(1, 1), Element::F64, Role::Metric)
    }

    fn program(&self, float: Element, operations: Vec<Op>) -> Program {
        let mut buffers = self.buffers.clone();
        let reals = buffers
            .iter_mut()
            .filter(|b| b.element == Element::F64 && b.role != Role::Metric);
        reals.for_each(|buffer| buffer.element = float);
        Program::new(Parts {
            name: "few".into(),
            float,
            rows: self.rows,
            buffers,
            operations,
        })
        .unwrap()
    }

    /// Runs the operations on `device` over a batch of `labels`, with `inputs` written first; the session afterwards.
    fn run(
        &self,
        (device, float): (Device, Element),
        operations: &[Op],
        inputs: &[(&str, &[f64])],
        labels: &[u8],
        args: &StepArgs,
    ) -> Box<dyn Session> {
        let program = self.program(float, operations.to_vec());
        let mut session = open(device, std::slice::from_ref(&program), &[]);
        for (name, values) in inputs {
            session.write(name, values).unwrap();
        }
        let values = vec![0.0; labels.len() * program.columns()];
        session.run(
            ProgramId(0),
            &Batch::of_slices(&program, &values, labels).unwrap(),
            args,
        );
        session
    }
}
