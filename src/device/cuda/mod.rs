//! The device `cuda:N`: a session in a card's memory, whose programs are launches.
//!
//! Parameters, activations and the data set (bytes, gathered and scaled there) stay on the card. What changes from step to step - scalars,
//! dropout's keys, the rows of the batch - is written into one block (`step.rs`), which is copied on a stream of its own while the step
//! before still runs; there are two of them. A program's launches are captured once as a graph for each number of rows and each block,
//! and replayed. Metrics are read when they are asked for, and errors are reported there.
//!
//! A set that does not fit the card is gathered on the host, and its rows travel in the same block.

mod lower;
mod rows;
mod step;
mod store;

use std::collections::HashMap;

use tilelab_kernels::cuda::{Buffer, Call, CudaError, Event, Gpu, Graph, Pinned, Stream};

use self::lower::Lowering;
use self::rows::{Resident, RowSource};
use self::step::Layout;
use self::store::Store;
use super::batch::Checked;
use super::{Batch, Device, DeviceError, Held, Metrics, ProgramId, Session, Set};
use crate::program::{Element, Program, StepArgs};

/// A session on a card.
pub(super) struct Cuda<'a> {
    // Fields are dropped in this order: graphs before what their launches name.
    graphs: HashMap<Key, Graph>,
    programs: Vec<Prepared>,
    blocks: [Block; 2],
    /// Which block the next step takes.
    turn: usize,
    store: Store,
    sets: Vec<Resident<'a>>,
    compute: Stream,
    copy: Stream,
    gpu: Gpu,
    device: Device,
    /// Rows of the batch that ran last.
    rows: usize,
    /// The first error since the last report.
    failed: Option<DeviceError>,
}

struct Prepared {
    program: Program,
    layout: Layout,
    checked: Checked,
}

/// What a graph was captured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    program: usize,
    rows: usize,
    source: RowSource,
    block: usize,
}

/// What a step reads that the last did not: on the host, and on the card.
struct Block {
    host: Pinned,
    card: Buffer,
    /// Reached when the step that read `card` is done.
    consumed: Event,
}

impl Block {
    fn new(gpu: &Gpu, bytes: usize) -> Result<Self, CudaError> {
        Ok(Self {
            host: Pinned::new(gpu, bytes)?,
            card: Buffer::new(gpu, bytes)?,
            consumed: Event::new(gpu)?,
        })
    }
}

impl<'a> Cuda<'a> {
    /// A session without programs on card `ordinal`.
    pub(super) fn open(ordinal: u32, sets: &[Set<'a>]) -> Result<Self, DeviceError> {
        let gpu = Gpu::open(ordinal).map_err(|error| DeviceError::Open {
            device: Device::Cuda(ordinal),
            error,
        })?;
        let sets = rows::place(&gpu, sets)?;
        Ok(Self {
            graphs: HashMap::new(),
            programs: Vec::new(),
            blocks: [Block::new(&gpu, 0)?, Block::new(&gpu, 0)?],
            turn: 0,
            store: Store::new(&gpu)?,
            sets,
            compute: Stream::new(&gpu)?,
            copy: Stream::new(&gpu)?,
            gpu,
            device: Device::Cuda(ordinal),
            rows: 0,
            failed: None,
        })
    }

    /// The launches of a program for so many rows, which read block `block`.
    fn calls(&self, program: &Prepared, key: Key) -> Result<Vec<Call>, DeviceError> {
        let card = self.gpu.facts().card();
        let rows = rows::Rows {
            source: key.source,
            sets: &self.sets,
            block: &self.blocks[key.block].card,
        };
        Lowering::new(card, &program.program, &program.layout, &self.store, rows, key.rows).calls()
    }

    fn step(&mut self, id: usize, batch: &Batch<'_>, args: &StepArgs) -> Result<(), DeviceError> {
        let turn = self.turn;
        self.turn ^= 1;
        let program = &self.programs[id];
        let (source, bytes) = {
            let layout = &program.layout;
            let host = self.blocks[turn].host.bytes_mut()?;
            layout.fill(args, host);
            rows::fill(&self.sets, batch, layout, host)
        };
        let block = &mut self.blocks[turn];
        self.copy.wait(&block.consumed)?;
        block.host.upload(&self.copy, block.card.slice(0, bytes), bytes)?;
        self.compute.wait(block.host.copied())?;
        let key = Key {
            program: id,
            rows: batch.rows,
            source,
            block: turn,
        };
        if !self.graphs.contains_key(&key) {
            let calls = self.calls(&self.programs[id], key)?;
            let graph = self
                .compute
                .capture(|stream| calls.iter().try_for_each(|call| stream.launch(call)))?;
            self.graphs.insert(key, graph);
        }
        self.compute.replay(&self.graphs[&key])?;
        Ok(self.blocks[turn].consumed.record(&self.compute)?)
    }
}

impl Session for Cuda<'_> {
    fn device(&self) -> Device {
        self.device
    }

    fn kernel(&self) -> String {
        self.gpu
            .facts()
            .card()
            .kernel_for(1 << 20, 1 << 20, false)
            .id
            .to_owned()
    }

    fn threads(&self) -> usize {
        1
    }

    fn add(&mut self, program: &Program) -> Result<ProgramId, DeviceError> {
        let session = Element::F32;
        if program.float() != session {
            let (program, got) = (program.name().to_owned(), program.float());
            return Err(DeviceError::Float { program, got, session });
        }
        lower::supported(program)?;
        let layout = Layout::of(program);
        // A new block is there before the old one is gone.
        let grow = self.blocks.iter().filter(|block| block.card.bytes() < layout.bytes());
        let blocks = grow.count() * layout.bytes();
        let needed = self.store.needs(program) + lower::room(program) * size_of::<f32>() + blocks;
        let available = self.gpu.free_bytes()?;
        if needed > available {
            let (needed, available) = (needed as u64, available as u64);
            return Err(DeviceError::Memory { needed, available });
        }
        self.compute.synchronize()?;
        // Captured launches name buffers that may move now.
        self.graphs.clear();
        self.store.add(&self.gpu, program)?;
        self.store.make_room(&self.gpu, lower::room(program))?;
        for block in &mut self.blocks {
            if block.card.bytes() < layout.bytes() {
                *block = Block::new(&self.gpu, layout.bytes())?;
            }
        }
        let (program, checked) = (program.clone(), Checked::of(program));
        let prepared = Prepared {
            program,
            layout,
            checked,
        };
        // Kernels are compiled here: in a capture nothing may be loaded.
        for rows in [1, prepared.program.rows()] {
            for source in RowSource::all(&self.sets) {
                let key = Key {
                    program: 0,
                    rows,
                    source,
                    block: 0,
                };
                self.calls(&prepared, key)?
                    .iter()
                    .try_for_each(|call| self.gpu.prepare(call))?;
            }
        }
        self.programs.push(prepared);
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn run(&mut self, id: ProgramId, batch: &Batch<'_>, args: &StepArgs) {
        assert_eq!(
            self.programs[id.0].checked, batch.checked,
            "the batch was checked against another program"
        );
        self.rows = batch.rows;
        if self.failed.is_none() {
            self.failed = self.step(id.0, batch, args).err();
        }
    }

    fn read(&mut self, name: &str) -> Result<Vec<f64>, DeviceError> {
        self.compute.synchronize()?;
        self.store.read(name, self.rows)
    }

    fn write(&mut self, name: &str, values: &[f64]) -> Result<(), DeviceError> {
        self.compute.synchronize()?;
        self.store.write(name, values)
    }

    fn held(&self) -> Vec<Held> {
        let mut held = self.store.held();
        let blocks: usize = self.blocks.iter().map(|block| block.card.bytes()).sum();
        held.push(Held::overhead("what changes from step to step, twice", blocks));
        let sets: usize = self.sets.iter().map(Resident::bytes).sum();
        held.push(Held::overhead("data sets", sets));
        held
    }

    fn metrics(&mut self) -> Result<Metrics, DeviceError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.compute.synchronize()?;
        Ok(Metrics(self.store.take_metrics()?))
    }
}
