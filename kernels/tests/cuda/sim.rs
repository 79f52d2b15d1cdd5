//! Runs calls in the interpreter.

use std::collections::HashMap;
use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tilelab_kernels::cuda::{Arg, Call, Slice, ptx};
use tilelab_ptxsim::{Finding, Launch, Machine, MmaModel, Module, Options, Plain, Stats};

pub struct Sim {
    pub machine: Machine,
}

fn module(kernel: &str) -> &'static Module {
    static MODULES: OnceLock<HashMap<usize, Module>> = OnceLock::new();
    let modules = MODULES.get_or_init(|| {
        let parsed = ptx::SOURCES.iter().enumerate();
        parsed
            .map(|(i, source)| {
                (
                    i,
                    Module::parse(source.text).unwrap_or_else(|error| panic!("{}: {error}", source.name)),
                )
            })
            .collect()
    });
    &modules[&ptx::entry(kernel).unwrap().source]
}

impl Sim {
    /// Orders of blocks, warps and lanes follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self::with_model(seed, MmaModel::Exact)
    }

    pub fn with_model(seed: u64, mma_model: MmaModel) -> Self {
        let options = Options {
            seed,
            mma_model,
            ..Options::default()
        };
        Self {
            machine: Machine::new(options),
        }
    }

    pub fn put<T: Plain>(&mut self, values: &[T]) -> Slice<T> {
        Slice::new(self.machine.upload(values), values.len())
    }

    /// Memory that nobody has written.
    pub fn room<T: Plain>(&mut self, len: usize) -> Slice<T> {
        Slice::new(self.machine.alloc((len * T::BYTES) as u64), len)
    }

    pub fn get<T: Plain>(&mut self, slice: Slice<T>) -> Vec<T> {
        let all = self.machine.download(slice.address(), slice.len());
        all.unwrap_or_else(|finding| panic!("not all of it was written: {finding}"))
    }

    /// Runs a call; whatever the interpreter finds fails the test.
    pub fn run(&mut self, call: &Call) -> Stats {
        let done = self.try_run(module(call.kernel), call);
        done.unwrap_or_else(|finding| panic!("{}: {finding}", call.kernel))
    }

    /// Runs some of a call's blocks.
    pub fn run_blocks(&mut self, call: &Call, blocks: &[u32]) -> Stats {
        let places = blocks.iter().map(|&x| [x, 0, 0]).collect();
        let done = self.launch(module(call.kernel), call, |launch| launch.sampled(places));
        done.unwrap_or_else(|finding| panic!("{}: {finding}", call.kernel))
    }

    /// Runs a call with the kernel of this module.
    pub fn try_run(&mut self, module: &Module, call: &Call) -> Result<Stats, Finding> {
        self.launch(module, call, |launch| launch)
    }

    fn launch(&mut self, module: &Module, call: &Call, with: impl FnOnce(Launch) -> Launch) -> Result<Stats, Finding> {
        let args: Vec<tilelab_ptxsim::Arg> = call
            .args
            .iter()
            .map(|arg| match *arg {
                Arg::U32(x) => x.into(),
                Arg::U64(x) => x.into(),
                Arg::F32(x) => x.into(),
            })
            .collect();
        let launch = with(Launch::new([call.blocks, 1, 1], [call.threads, 1, 1]));
        self.machine.launch(module, call.kernel, launch, &args)
    }
}

pub fn random(seed: u64, len: usize, most: f32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-most..=most)).collect()
}

/// Each within its bound; NaN is not.
pub fn hold(what: &str, got: &[f32], expected: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs();
        assert!(
            error <= bound(i),
            "{what}: element {i} is {got}, {expected} expected, bound {}",
            bound(i)
        );
    }
}
