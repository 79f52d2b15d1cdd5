//! General matrix product: `C <- epilogue(alpha * A * B + beta * C)`, in f32 and f64.
//!
//! A call goes through validate -> [`Plan`] -> pack -> five loops -> micro-kernel -> epilogue. The structure is that of
//! Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008) as BLIS lays it out
//! (Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM TOMS 41(3), 2015).

mod dots;
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
        let call = Call {
            alpha,
            a,
            b,
            beta,
            c,
            epilogue,
        };
        let shape = call.validate()?;
        call.run(self, Kernels::of(self.isa()), shape);
        Ok(())
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
        c: MatMut<'_, T>,
        epilogue: Epilogue<'_, T>,
    ) -> Result<(), ShapeError> {
        let call = Call {
            alpha,
            a,
            b,
            beta,
            c,
            epilogue,
        };
        let (got, most) = (call.validate()?, self.shape);
        if got.m > most.m || got.n > most.n || got.k > most.k {
            return Err(ShapeError::Plan {
                planned: (most.m, most.n, most.k),
                got: (got.m, got.n, got.k),
            });
        }
        call.run(&self.ctx, self.kernels, got);
        Ok(())
    }

    /// The shape planned for.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

/// The arguments of one call.
struct Call<'a, T> {
    alpha: T,
    a: MatRef<'a, T>,
    b: MatRef<'a, T>,
    beta: T,
    c: MatMut<'a, T>,
    epilogue: Epilogue<'a, T>,
}

impl<T: Float> Call<'_, T> {
    fn validate(&self) -> Result<Shape, ShapeError> {
        let (a, b, c) = (self.a, self.b, &self.c);
        let shape = Shape {
            m: a.rows(),
            n: b.cols(),
            k: a.cols(),
        };
        if b.rows() != shape.k || c.rows() != shape.m || c.cols() != shape.n {
            let (a, b, c) = ((a.rows(), a.cols()), (b.rows(), b.cols()), (c.rows(), c.cols()));
            return Err(ShapeError::Product { a, b, c });
        }
        self.epilogue.check(shape)?;
        Ok(shape)
    }

    fn run(mut self, ctx: &Context, kernels: Kernels<T>, shape: Shape) {
        let (mut a, mut b, mut shape) = (self.a, self.b, shape);
        let (mut c_row, mut c_col) = (self.c.row_stride(), self.c.col_stride());
        if c_col != 1 && c_row == 1 && self.epilogue.is_none() {
            // Column-major C is the row-major product of the transposes.
            (a, b) = (b.transposed(), a.transposed());
            (c_row, c_col) = (c_col, c_row);
            shape = Shape {
                m: shape.n,
                n: shape.m,
                k: shape.k,
            };
        }
        let injected = ctx.blocking().map(|blocking| blocking.at_least(&kernels));
        let forced = injected.is_some();
        let alone = shape.m.saturating_mul(shape.n).saturating_mul(shape.k) < ALONE_BELOW && !forced;
        let product = Product {
            isa: ctx.isa(),
            kernels,
            blocking: injected.unwrap_or_else(|| Blocking::new(shape, &kernels, ctx.caches())),
            shape,
            rows: RowPanels::new(shape.m, kernels.mr),
            threads: if alone { 1 } else { ctx.threads().get() },
            forced,
            // An operand is copied when it is read often enough to pay for it. Each panel of A is read once a panel of
            // B and the other way round.
            pack_a: forced || shape.n > 3 * kernels.nr() || (a.row_stride() != 1 && a.col_stride() != 1),
            pack_b: forced || b.col_stride() != 1 || shape.m > 4 * kernels.mr,
            alpha: self.alpha,
            beta: self.beta,
            a,
            b,
            c: self.c.as_mut_ptr(),
            c_row,
            c_col,
            epilogue: self.epilogue,
        };
        let mut working = ctx.working();
        if product.is_dots() {
            product.run_dots(&mut working)
        } else {
            product.run(&mut working)
        }
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
