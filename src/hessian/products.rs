//! Products of the Hessian, or of what stands for it, with many vectors at once.

use tilelab_kernels::Threads;

use super::tangent::r_name;
use super::{Data, Directions, HessianError, Point, Tangent, Which, tangent};
use crate::device::{Batch, Device, ProgramId, Session};
use crate::mlp::Model;
use crate::program::lower::Lowering;
use crate::program::{Element, Program, StepArgs, fuse};

/// A symmetric matrix that is known by its products.
pub trait Operator {
    /// Rows.
    fn size(&self) -> usize;

    /// Vectors that one call multiplies best.
    fn together(&self) -> usize {
        1
    }

    /// `out` <- the matrix times each of the vectors that lie one after the other in `vectors`.
    ///
    /// # Errors
    /// A product that is not finite, or a device that fails.
    fn multiply(&mut self, vectors: &[f64], out: &mut [f64]) -> Result<(), HessianError>;
}

/// What products are taken of.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The model. Its dropout is not at work: masks would make another function of every step.
    pub model: &'a Model,
    /// The parameters that have directions.
    pub directions: &'a Directions,
    /// Which matrix.
    pub which: Which,
    /// lambda of the regularisation, which adds lambda to the diagonal for weights.
    pub l2: f64,
    /// Batch norm with the statistics of the rows themselves, else with the running ones.
    pub norm_training: bool,
    /// Type of the numbers.
    pub float: Element,
    /// Who computes.
    pub device: Device,
    /// Its threads.
    pub threads: Threads,
    /// Most directions at once.
    pub together: usize,
    /// Most rows at once; several chunks cost a linearisation for each and every call.
    pub chunk: usize,
    /// Of the labels that a Monte Carlo Fisher draws.
    pub seed: u64,
    /// How many labels a row it draws.
    pub samples: usize,
}

impl<'a> Setup<'a> {
    /// The Hessian of a model by `directions`, in f32 on the CPU, 16 directions and up to 4096 rows at once.
    pub fn new(model: &'a Model, directions: &'a Directions) -> Self {
        Self {
            model,
            directions,
            which: Which::Hessian,
            l2: 0.0,
            norm_training: false,
            float: Element::F32,
            device: Device::Cpu,
            threads: Threads::all(),
            together: 16,
            chunk: 4096,
            seed: 1,
            samples: 1,
        }
    }

    /// The programs `linearise` and `tangent` for batches of up to `rows` rows, as the device runs them.
    ///
    /// # Errors
    /// As [`tangent()`].
    pub fn programs(&self, rows: usize, byte_scale: f64) -> Result<(Program, Program), HessianError> {
        let (linearise, tangent) = self.plain_programs(rows, byte_scale)?;
        if self.device.wants_fused() {
            return Ok((fuse(&linearise)?, fuse(&tangent)?));
        }
        Ok((linearise, tangent))
    }

    /// The same before they are fused.
    ///
    /// # Errors
    /// As [`tangent()`].
    pub fn plain_programs(&self, rows: usize, byte_scale: f64) -> Result<(Program, Program), HessianError> {
        let model = self.model.clone().with_dropout(0.0);
        let lowering = Lowering {
            model: &model,
            float: self.float,
            rows,
            byte_scale,
        };
        let gradients = lowering.derivatives(self.norm_training)?;
        let parameters = self.directions.names();
        let what = Tangent {
            directions: self.together,
            parameters: &parameters,
            which: self.which,
            with_gradient: false,
        };
        tangent(&gradients, what)
    }
}

/// A session at a point. The linearisation of the rows that were used last is kept.
pub struct Products<'a> {
    size: usize,
    directions: Directions,
    together: usize,
    samples: usize,
    /// Batches of `linearise` and `tangent`: the same rows.
    programs: (Program, Program),
    session: Box<dyn Session + 'a>,
    data: Data<'a>,
    chunk: usize,
    args: StepArgs,
    l2: f64,
    float: Element,
    /// Chunk and sample that the session holds the linearisation of.
    at: Option<(usize, usize)>,
    products: u64,
}

const LINEARISE: ProgramId = ProgramId(0);
const TANGENT: ProgramId = ProgramId(1);

impl<'a> Products<'a> {
    /// Opens the device and writes the point.
    ///
    /// # Errors
    /// No rows, batch norm's own statistics over several chunks, a device that is not there, too little memory.
    pub fn new(setup: &Setup<'_>, point: &Point, data: Data<'a>) -> Result<Self, HessianError> {
        let argument = |text: &str| Err(HessianError::Argument(text.to_owned()));
        if data.rows.is_empty() {
            return argument("second derivatives need at least 1 row of data");
        }
        if setup.together == 0 || setup.chunk == 0 || setup.samples == 0 {
            return argument("directions, rows at once and samples must be at least 1");
        }
        let rows = data.rows.len();
        let chunk = setup.chunk.min(rows);
        if setup.model.batch_norm() && setup.norm_training && chunk < rows {
            return Err(HessianError::Coupled { rows, chunk });
        }
        let programs = setup.programs(chunk, data.byte_scale)?;
        let both = [programs.0.clone(), programs.1.clone()];
        let mut session = setup.device.open(&both, &[data.set], setup.threads)?;
        point.write(&mut *session)?;
        let samples = if setup.which == Which::MonteCarloFisher {
            setup.samples
        } else {
            1
        };
        Ok(Self {
            size: setup.directions.size(),
            directions: setup.directions.clone(),
            together: setup.together,
            samples,
            programs,
            session,
            chunk,
            args: StepArgs {
                inverse_rows: 1.0 / rows as f64,
                seed: setup.seed,
                ..StepArgs::default()
            },
            data,
            l2: setup.l2,
            float: setup.float,
            at: None,
            products: 0,
        })
    }

    /// Products with one vector that were taken.
    pub fn count(&self) -> u64 {
        self.products
    }

    /// Kernel and threads that computed.
    pub fn kernel(&self) -> (String, usize) {
        (self.session.kernel(), self.session.threads())
    }

    /// Other values for the same model.
    ///
    /// # Errors
    /// As [`Session::write`].
    pub fn move_to(&mut self, point: &Point) -> Result<(), HessianError> {
        self.at = None;
        point.write(&mut *self.session)
    }

    /// Nothing is linearised any more: the next product begins with it.
    pub fn forget(&mut self) {
        self.at = None;
    }

    /// Linearises the rows of a chunk, unless that is what the session holds.
    pub fn linearise(&mut self, chunk: usize, sample: usize) -> Result<(), HessianError> {
        if self.at == Some((chunk, sample)) {
            return Ok(());
        }
        let first = chunk * self.chunk;
        let rows = &self.data.rows[first..self.data.rows.len().min(first + self.chunk)];
        let batch = Batch::of_set(&self.programs.0, &[self.data.set], 0, rows)?;
        let args = StepArgs {
            row_offset: first as u64,
            t: 1 + sample as u64,
            accumulate: 0.0,
            ..self.args
        };
        self.session.run(LINEARISE, &batch, &args);
        self.at = Some((chunk, sample));
        Ok(())
    }

    /// Takes the directions that are there through the linearisation that is there.
    pub fn take_through(&mut self, chunk: usize, accumulate: f64, l2: f64) -> Result<(), HessianError> {
        let first = chunk * self.chunk;
        let rows = &self.data.rows[first..self.data.rows.len().min(first + self.chunk)];
        let batch = Batch::of_set(&self.programs.1, &[self.data.set], 0, rows)?;
        self.session.run(
            TANGENT,
            &batch,
            &StepArgs {
                accumulate,
                l2,
                ..self.args
            },
        );
        Ok(())
    }

    /// Writes up to [`Operator::together`] vectors as directions.
    ///
    /// # Errors
    /// As [`Session::write`].
    pub fn set_directions(&mut self, vectors: &[f64]) -> Result<(), HessianError> {
        self.directions
            .write(&mut *self.session, vectors, self.together, r_name)
    }

    fn some(&mut self, vectors: &[f64], out: &mut [f64]) -> Result<(), HessianError> {
        self.set_directions(vectors)?;
        let chunks = self.data.rows.len().div_ceil(self.chunk);
        let all = chunks * self.samples;
        for pass in 0..all {
            let (chunk, sample) = (pass / self.samples, pass % self.samples);
            self.linearise(chunk, sample)?;
            // Once, behind the last; the sum over samples is divided below.
            let l2 = if pass + 1 == all {
                self.l2 * self.samples as f64
            } else {
                0.0
            };
            self.take_through(chunk, if pass == 0 { 0.0 } else { 1.0 }, l2)?;
        }
        self.directions
            .read(&mut *self.session, out, |name| r_name(&format!("d{name}")))?;
        if self.samples > 1 {
            out.iter_mut().for_each(|x| *x /= self.samples as f64);
        }
        self.products += (vectors.len() / self.size) as u64;
        if out.iter().all(|x| x.is_finite()) {
            return Ok(());
        }
        Err(HessianError::NotFinite(if self.float == Element::F32 {
            "f32; try --dtype f64"
        } else {
            "f64"
        }))
    }
}

impl Operator for Products<'_> {
    fn size(&self) -> usize {
        self.size
    }

    fn together(&self) -> usize {
        self.together
    }

    fn multiply(&mut self, vectors: &[f64], out: &mut [f64]) -> Result<(), HessianError> {
        assert_eq!(vectors.len(), out.len(), "as many vectors as products");
        let piece = self.together * self.size;
        vectors
            .chunks(piece)
            .zip(out.chunks_mut(piece))
            .try_for_each(|(vectors, out)| self.some(vectors, out))
    }
}
