//! The machine: memory that outlives launches, and launches.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::block::{BARRIERS, Block, Meeting, Published};
use crate::clocks::Clocks;
use crate::finding::{Finding, Kind};
use crate::memory::Memory;
use crate::mma::MmaModel;
use crate::module::{Kernel, Module};
use crate::shadow::{LAUNCHES, MAX_BLOCKS};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::warp::{State, Warp};

/// Which checks run. Bounds, alignment, barriers and shuffles are always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Data races in shared and global memory.
    pub races: bool,
    /// Reads of memory that nobody wrote.
    pub unwritten: bool,
}

/// How a machine behaves where the manual leaves it open.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides all orders, and the errors of approximations.
    pub seed: u64,
    /// How tensor cores add.
    pub mma_model: MmaModel,
    /// Which checks run.
    pub checks: Checks,
    /// Instructions of warps after which a launch counts as endless.
    pub max_instructions: u64,
}

impl Default for Options {
    fn default() -> Self {
        let checks = Checks {
            races: true,
            unwritten: true,
        };
        Self {
            seed: 0,
            mma_model: MmaModel::Exact,
            checks,
            max_instructions: 2_000_000_000,
        }
    }
}

/// The geometry of a launch.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    /// Run these blocks alone: a sample of a grid too large to interpret.
    pub sample: Option<Vec<[u32; 3]>>,
}

impl Launch {
    /// A launch of all blocks, without dynamic shared memory.
    pub fn new(grid: [u32; 3], block: [u32; 3]) -> Self {
        Self {
            grid,
            block,
            shared_bytes: 0,
            sample: None,
        }
    }

    /// With so many bytes of dynamic shared memory.
    pub fn shared(self, shared_bytes: u32) -> Self {
        Self { shared_bytes, ..self }
    }

    /// With these blocks alone.
    pub fn sampled(self, blocks: Vec<[u32; 3]>) -> Self {
        Self {
            sample: Some(blocks),
            ..self
        }
    }

    pub(crate) fn threads(&self) -> u32 {
        self.block.iter().product()
    }
}

/// An argument of a kernel: its bytes, which must be as many as the parameter has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg(pub Vec<u8>);

/// Numbers that can be moved to and from a machine.
pub trait Plain: Copy {
    /// Its bytes in memory.
    const BYTES: usize;
    /// Appends them.
    fn put(self, bytes: &mut Vec<u8>);
    /// Reads them.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        impl Plain for $ty {
            const BYTES: usize = size_of::<$ty>();
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$ty>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }
        }
        impl From<$ty> for Arg {
            fn from(value: $ty) -> Self {
                Arg(value.to_le_bytes().to_vec())
            }
        }
    )*};
}
plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// Global memory and the launches on it.
pub struct Machine {
    options: Options,
    memory: Memory,
    launches: u64,
    /// Module -> addresses of its variables.
    variables: HashMap<u64, Vec<u64>>,
}

impl Machine {
    /// A machine with empty memory.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            memory: Memory::default(),
            launches: 0,
            variables: HashMap::new(),
        }
    }

    /// Allocates bytes that nobody has written; the address is a multiple of 256.
    pub fn alloc(&mut self, bytes: u64) -> u64 {
        self.memory.allocate(bytes, false)
    }

    /// Frees an allocation. Its address is never used again.
    pub fn free(&mut self, address: u64) -> Result<(), Finding> {
        self.memory.free(address).map_err(host_finding)
    }

    /// Copies bytes to memory.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<(), Finding> {
        self.memory.write(address, data).map_err(host_finding)
    }

    /// Copies bytes from memory. A byte that nobody wrote is a finding.
    pub fn read(&mut self, address: u64, data: &mut [u8]) -> Result<(), Finding> {
        match self.memory.peek(address, data).map_err(host_finding)? {
            None => Ok(()),
            Some(offset) => {
                let detail = format!(
                    "the host reads {} bytes at {address:#x}, and nobody wrote byte {offset}",
                    data.len()
                );
                Err(Finding::of_launch(Kind::Unwritten, "no kernel", detail))
            }
        }
    }

    /// Copies bytes from memory, written or not.
    pub fn peek(&mut self, address: u64, data: &mut [u8]) -> Result<(), Finding> {
        self.memory.peek(address, data).map(|_| ()).map_err(host_finding)
    }

    /// Makes bytes count as never written.
    pub fn poison(&mut self, address: u64, bytes: usize) -> Result<(), Finding> {
        self.memory.poison(address, bytes).map_err(host_finding)
    }

    /// The allocation that holds the address: where it begins, its bytes.
    pub fn allocation(&self, address: u64) -> Option<(u64, u64)> {
        self.memory.range(address)
    }

    /// Allocates and fills.
    pub fn upload<T: Plain>(&mut self, values: &[T]) -> u64 {
        let mut bytes = Vec::with_capacity(values.len() * T::BYTES);
        values.iter().for_each(|value| value.put(&mut bytes));
        let address = self.alloc(bytes.len() as u64);
        // A range that was allocated just now can be written.
        self.memory.write(address, &bytes).map_or(0, |()| address)
    }

    /// Reads `count` numbers.
    pub fn download<T: Plain>(&mut self, address: u64, count: usize) -> Result<Vec<T>, Finding> {
        let mut bytes = vec![0; count * T::BYTES];
        self.read(address, &mut bytes)?;
        Ok(bytes.chunks_exact(T::BYTES).map(T::get).collect())
    }

    /// Addresses of a module's variables, in its order; made and filled at first use.
    pub fn variables(&mut self, module: &Module) -> Vec<u64> {
        if let Some(addresses) = self.variables.get(&module.id) {
            return addresses.clone();
        }
        let mut addresses = Vec::new();
        for variable in &module.variables {
            let address = self.memory.allocate(variable.bytes as u64, variable.constant);
            let mut bytes = variable.initial.clone();
            bytes.resize(variable.bytes, 0);
            let written = self.memory.write(address, &bytes);
            debug_assert!(written.is_ok());
            addresses.push(address);
        }
        self.variables.insert(module.id, addresses.clone());
        addresses
    }

    /// Runs a kernel to its end and counts what it did, or stops at the first broken rule.
    pub fn launch(&mut self, module: &Module, kernel: &str, launch: Launch, args: &[Arg]) -> Result<Stats, Finding> {
        let refused = |detail: String| Finding::of_launch(Kind::BadLaunch, kernel, detail);
        let found = module
            .kernel(kernel)
            .ok_or_else(|| refused("the module has no such kernel".to_owned()))?;
        let parameters = parameter_buffer(found, args).map_err(refused)?;
        check_geometry(found, &launch).map_err(refused)?;
        let variables = self.variables(module);
        self.launches += 1;
        if self.launches.is_multiple_of(LAUNCHES) {
            self.launches += 1;
            self.memory.forget();
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.options.seed ^ self.launches << 32);
        let warp_count = launch.threads().div_ceil(32) as usize;
        let mut warps: Vec<Warp> = (0..warp_count).map(|index| fresh_warp(found, index)).collect();
        let mut stats = Stats::default();
        let mut published = Published::new();
        let [width, height, depth] = launch.grid;
        let mut places = match &launch.sample {
            Some(places) => places.clone(),
            None => (0..depth)
                .flat_map(|z| (0..height).flat_map(move |y| (0..width).map(move |x| [x, y, z])))
                .collect(),
        };
        places.shuffle(&mut random);
        let mut block = Block {
            kernel: found,
            launch: &launch,
            parameters: &parameters,
            variables: &variables,
            memory: &mut self.memory,
            stats: &mut stats,
            published: &mut published,
            random: &mut random,
            checks: self.options.checks,
            mma_model: self.options.mma_model,
            seed: self.options.seed,
            shared: Shared::new(found, launch.shared_bytes as usize),
            clocks: Clocks::new(warp_count),
            learned: vec![HashMap::new(); warp_count],
            fenced: vec![None; warp_count],
            place: [0; 3],
            number: 0,
            launch_number: self.launches,
            meetings: vec![Meeting::default(); BARRIERS],
            ended: false,
            instructions_left: self.options.max_instructions,
        };
        for place in places {
            let number = (place[2] as u64 * height as u64 + place[1] as u64) * width as u64 + place[0] as u64;
            block.begin(&mut warps, place, number % MAX_BLOCKS);
            block.run(&mut warps)?;
            block.stats.blocks += 1;
        }
        Ok(stats)
    }
}

fn host_finding(fault: crate::finding::Fault) -> Finding {
    Finding::of_launch(fault.kind, "no kernel", fault.detail)
}

fn parameter_buffer(kernel: &Kernel, args: &[Arg]) -> Result<Vec<u8>, String> {
    if args.len() != kernel.params.len() {
        return Err(format!(
            "{} arguments where {} are wanted",
            args.len(),
            kernel.params.len()
        ));
    }
    let mut buffer = Vec::new();
    for (param, Arg(bytes)) in kernel.params.iter().zip(args) {
        if bytes.len() != param.bytes {
            return Err(format!(
                "the argument {} has {} bytes where {} are wanted",
                param.name,
                bytes.len(),
                param.bytes
            ));
        }
        buffer.resize(param.offset, 0);
        buffer.extend_from_slice(bytes);
    }
    Ok(buffer)
}

fn check_geometry(kernel: &Kernel, launch: &Launch) -> Result<(), String> {
    let Launch { grid, block, .. } = launch;
    let [width, height, depth] = grid.map(u64::from);
    if grid.contains(&0) || width > i32::MAX as u64 || height > 65_535 || depth > 65_535 {
        return Err(format!(
            "a grid of {grid:?} blocks: each part is at least 1, x at most 2147483647, y and z 65535"
        ));
    }
    let threads = block.iter().map(|&part| part as u64).product::<u64>();
    if threads == 0 || threads > 1024 || block[2] > 64 {
        return Err(format!("a block of {block:?} threads: 1 to 1024, at most 64 along z"));
    }
    if kernel.max_threads != 0 && threads > kernel.max_threads as u64 {
        return Err(format!(
            "{threads} threads where the kernel allows {}",
            kernel.max_threads
        ));
    }
    let blocks = launch
        .sample
        .as_ref()
        .map_or(width * height * depth, |places| places.len() as u64);
    if blocks > MAX_BLOCKS {
        return Err(format!(
            "{blocks} blocks, more than are interpreted at once ({MAX_BLOCKS}): sample them"
        ));
    }
    let outside = |place: &&[u32; 3]| place.iter().zip(grid).any(|(place, size)| place >= size);
    if let Some(place) = launch.sample.iter().flatten().find(outside) {
        return Err(format!("the sampled block {place:?} lies outside the grid {grid:?}"));
    }
    Ok(())
}

fn fresh_warp(kernel: &Kernel, index: usize) -> Warp {
    Warp {
        index,
        registers: vec![[0; 32]; kernel.slots],
        predicates: vec![0; kernel.predicates],
        stack: Vec::new(),
        live: 0,
        state: State::Ready,
        copies: Vec::new(),
        groups: [0; 32],
        local: vec![0; 32 * kernel.local_bytes],
        local_written: vec![0; 32 * kernel.local_bytes],
        order: [0; 32],
    }
}
