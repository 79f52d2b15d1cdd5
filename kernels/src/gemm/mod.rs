//! General matrix product: `C <- epilogue(alpha * A * B + beta * C)`, in f32 and f64.
//!
//! A call goes through validate -> [`Plan`] -> pack -> five loops -> micro-kernel -> epilogue. The structure is that of
//! Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008) as BLIS lays it out
//! (Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM TOMS 41(3), 2015).

mod epilogue;
mod loops;
mod microkernel;
mod pack;
mod plan;
mod table;

pub use epilogue::Epilogue;
pub(crate) use plan::Caches;
pub use plan::{Blocking, Shape, Work};
pub use table::MicroKernel;
pub(crate) use table::{KERNELS_F32, KERNELS_F64, Kernels};

use crate::{Context, ContextError, Float, Isa, MatMut, MatRef, ShapeError, Threads};
use loops::Product;
use plan::RowPanels;

/// Multiply-adds below which one thread works alone: waking a worker that spins costs about a microsecond and the two
/// barriers of a product as much again, so that two threads broke even near 100 x 100 x 100 here.
const ALONE_BELOW: usize = 1 << 20;

/// A product prepared for one shape and anything smaller. Keeps its context; a run allocates nothing once warm.
#[derive(Debug, Clone)]
pub struct Plan<T: Float> {
    ctx: Context,
    shape: Shape,
    kernels: Kernels<T>,
}

impl Context {
    /// `C <- epilogue(alpha * A * B + beta * C)`. With beta = 0, C is never read. C is m x n, A m x k, B k x n.
    ///
    /// One call gives the same bits for any number of threads.
    ///
    /// # Errors
    /// When shapes don't fit; the message prints them all.
    pub fn gemm<T: Float>(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        c: MatMut<'_, T>,
        epilogue: Epilogue<'_, T>,
    ) -> Result<(), ShapeError> {
        self.plan_gemm(Shape {
            m: a.rows(),
            n: b.cols(),
            k: a.cols(),
        })
        .run(alpha, a, b, beta, c, epilogue)
    }

    /// Prepares products of up to `shape`: any m, n, k not above its own.
    pub fn plan_gemm<T: Float>(&self, shape: Shape) -> Plan<T> {
        Plan {
            ctx: self.clone(),
            shape,
            kernels: Kernels::of(self.isa()),
        }
    }
}

impl<T: Float> Plan<T> {
    /// Runs it: as [`Context::gemm`].
    ///
    /// # Errors
    /// When shapes don't fit each other or exceed the plan.
    pub fn run(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
        epilogue: Epilogue<'_, T>,
    ) -> Result<(), ShapeError> {
        let shape = self.validate(a, b, &c, &epilogue)?;
        let (mut a, mut b, mut shape) = (a, b, shape);
        let (mut c_row, mut c_col) = (c.row_stride(), c.col_stride());
        if c_col != 1 && c_row == 1 && epilogue.is_none() {
            // Column-major C is the row-major product of the transposes.
            (a, b) = (b.transposed(), a.transposed());
            (c_row, c_col) = (c_col, c_row);
            shape = Shape {
                m: shape.n,
                n: shape.m,
                k: shape.k,
            };
        }
        let blocking = match self.ctx.blocking() {
            Some(blocking) => blocking.at_least(&self.kernels),
            None => Blocking::new(shape, &self.kernels, self.ctx.caches()),
        };
        let forced = self.ctx.blocking().is_some();
        let alone = shape.m.saturating_mul(shape.n).saturating_mul(shape.k) < ALONE_BELOW && !forced;
        Product {
            isa: self.ctx.isa(),
            kernels: self.kernels,
            blocking,
            shape,
            rows: RowPanels::new(shape.m, self.kernels.mr),
            threads: if alone { 1 } else { self.ctx.threads().get() },
            // An operand is copied when it is read often enough to pay for it. Each panel of A is read once a panel of
            // B and the other way round.
            pack_a: forced || shape.n > 3 * self.kernels.nr() || (a.row_stride() != 1 && a.col_stride() != 1),
            pack_b: forced || b.col_stride() != 1 || shape.m > 4 * self.kernels.mr,
            alpha,
            beta,
            a,
            b,
            c: c.as_mut_ptr(),
            c_row,
            c_col,
            epilogue,
        }
        .run(&mut self.ctx.working());
        Ok(())
    }

    /// The shape planned for.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    fn validate(
        &self,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        c: &MatMut<'_, T>,
        epilogue: &Epilogue<'_, T>,
    ) -> Result<Shape, ShapeError> {
        let shape = Shape {
            m: a.rows(),
            n: b.cols(),
            k: a.cols(),
        };
        if b.rows() != shape.k || c.rows() != shape.m || c.cols() != shape.n {
            return Err(ShapeError::Product {
                a: (a.rows(), a.cols()),
                b: (b.rows(), b.cols()),
                c: (c.rows(), c.cols()),
            });
        }
        epilogue.check(shape)?;
        let most = self.shape;
        if shape.m > most.m || shape.n > most.n || shape.k > most.k {
            return Err(ShapeError::Plan {
                planned: (most.m, most.n, most.k),
                got: (shape.m, shape.n, shape.k),
            });
        }
        Ok(shape)
    }
}

/// What a free-standing call can meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GemmError {
    /// Operands don't fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// `TILELAB_ISA` names what this CPU lacks, or a worker can't be started.
    #[error(transparent)]
    Context(#[from] ContextError),
}

/// For a first try: makes a [`Context`] per call, on the ISA that [`Isa::selected`] gives.
///
/// # Errors
/// When shapes don't fit, or the context can't be made.
pub fn gemm<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    c: MatMut<'_, T>,
    epilogue: Epilogue<'_, T>,
    threads: Threads,
) -> Result<(), GemmError> {
    Context::new(Isa::selected()?, threads)?.gemm(alpha, a, b, beta, c, epilogue)?;
    Ok(())
}
