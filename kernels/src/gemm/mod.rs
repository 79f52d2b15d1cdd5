//! General matrix product: `C <- epilogue(alpha * A * B + beta * C)`, in f32 and f64.
//!
//! A call goes through validate -> [`Plan`] -> pack -> five loops -> micro-kernel -> epilogue. The structure is that of
//! Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008) as BLIS lays it out
//! (Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM TOMS 41(3), 2015).

mod ahead;
mod direct;
mod dots;
mod epilogue;
mod loops;
mod microkernel;
mod operand;
mod pack;
mod packed_b;
mod panels;
mod plan;
mod scatter;
mod table;
mod thin;

pub use epilogue::Epilogue;
pub use operand::{Bytes, Operand};
pub use packed_b::PackedB;
pub(crate) use plan::Caches;
pub use plan::{Blocking, Shape, Work};
pub use table::MicroKernel;
pub(crate) use table::{KERNELS_F32, KERNELS_F64, Kernels};

use crate::{Context, ContextError, Float, Isa, MatMut, MatRef, ShapeError, Threads};
use loops::Prepared;
pub(crate) use loops::Product;

/// A product prepared for one shape and anything smaller. Keeps its context; a run allocates nothing once warm.
#[derive(Debug, Clone)]
pub struct Plan<T: Float + 'static> {
    ctx: Context,
    prepared: Prepared<T>,
}

impl Context {
    /// `C <- epilogue(alpha * A * B + beta * C)`. With beta = 0, C is never read. C is m x n, A m x k, B k x n.
    ///
    /// One call gives the same bits for any number of threads.
    ///
    /// # Errors
    /// When shapes don't fit; the message prints them all.
    pub fn gemm<'a, T: Float>(
        &self,
        alpha: T,
        a: impl Into<Operand<'a, T>>,
        b: impl Into<Operand<'a, T>>,
        beta: T,
        c: MatMut<'a, T>,
        epilogue: Epilogue<'a, T>,
    ) -> Result<(), ShapeError> {
        let call = Call {
            alpha,
            a: a.into(),
            b: b.into(),
            beta,
            c,
            epilogue,
        };
        T::call(self, &call)
    }

    /// Prepares products of up to `shape`: any m, n, k not above its own.
    pub fn plan_gemm<T: Float>(&self, shape: Shape) -> Plan<T> {
        Plan {
            ctx: self.clone(),
            prepared: Prepared::new(self, shape),
        }
    }
}

impl<T: Float> Plan<T> {
    /// Runs it: as [`Context::gemm`].
    ///
    /// # Errors
    /// When shapes don't fit each other or exceed the plan.
    pub fn run<'a>(
        &self,
        alpha: T,
        a: impl Into<Operand<'a, T>>,
        b: impl Into<Operand<'a, T>>,
        beta: T,
        c: MatMut<'a, T>,
        epilogue: Epilogue<'a, T>,
    ) -> Result<(), ShapeError> {
        let call = Call {
            alpha,
            a: a.into(),
            b: b.into(),
            beta,
            c,
            epilogue,
        };
        let (got, most) = (call.validate(&self.ctx)?, self.prepared.shape);
        if got.m > most.m || got.n > most.n || got.k > most.k {
            return Err(ShapeError::Plan {
                planned: (most.m, most.n, most.k),
                got: (got.m, got.n, got.k),
            });
        }
        let known = if got == most {
            self.prepared
        } else {
            Prepared::new(&self.ctx, got)
        };
        call.run(&self.ctx, known);
        Ok(())
    }

    /// The shape planned for.
    pub fn shape(&self) -> Shape {
        self.prepared.shape
    }
}

/// The arguments of one call.
pub struct Call<'a, T> {
    alpha: T,
    a: Operand<'a, T>,
    b: Operand<'a, T>,
    beta: T,
    c: MatMut<'a, T>,
    epilogue: Epilogue<'a, T>,
}

impl<T: Float> Call<'_, T> {
    /// Looks at the operands and multiplies them.
    pub(crate) fn make(&self, ctx: &Context) -> Result<(), ShapeError> {
        let shape = self.validate(ctx)?;
        self.run(ctx, Prepared::new(ctx, shape));
        Ok(())
    }

    fn validate(&self, ctx: &Context) -> Result<Shape, ShapeError> {
        let (a, b, c) = (self.a.size(), self.b.size(), (self.c.rows(), self.c.cols()));
        let shape = Shape { m: a.0, n: b.1, k: a.1 };
        if b.0 != shape.k || c != (shape.m, shape.n) {
            return Err(ShapeError::Product { a, b, c });
        }
        if let Operand::Packed(_) = self.a {
            return Err(ShapeError::PackedA);
        }
        if let Operand::Packed(packed) = self.b
            && packed.isa != ctx.isa()
        {
            return Err(ShapeError::PackedFor {
                packed: packed.isa,
                context: ctx.isa(),
            });
        }
        self.epilogue.check(shape)?;
        Ok(shape)
    }

    /// Whether C of few columns is better made as the transpose of B^T A^T, its elements then set down one by one (four FMAs' time each): where
    /// its rows leave lanes idle, and A lies as A^T, whose rows are then the vectors. At 80 x 5 x 100 less than half the time.
    fn is_better_turned(&self, ctx: &Context, Shape { m, n, k }: Shape) -> bool {
        let lanes = Kernels::<T>::of(ctx.isa()).lanes;
        let fmas = |rows: usize, cols: usize| rows * cols.div_ceil(lanes) * k;
        n < 2 * lanes && self.a.runs_along_columns() && fmas(n, m) + 4 * m * n < fmas(m, n)
    }

    fn run(&self, ctx: &Context, mut known: Prepared<T>) {
        let (mut a, mut b) = (self.a, self.b);
        let (mut c_row, mut c_col) = (self.c.row_stride(), self.c.col_stride());
        let column_major = c_row == 1 && c_col != 1;
        // A short C of neighbouring columns is a narrow one's transpose, if a row of it is all there is.
        let one_row = self.c.rows() == 1 && b.runs_along_columns();
        if (column_major || one_row || self.is_better_turned(ctx, known.shape))
            && self.epilogue.is_none()
            && let (Some(a_transposed), Some(b_transposed)) = (a.transposed(), b.transposed())
        {
            // Column-major C is the row-major product of the transposes.
            (a, b) = (b_transposed, a_transposed);
            (c_row, c_col) = (c_col, c_row);
            let Shape { m, n, k } = known.shape;
            known = Prepared::new(ctx, Shape { m: n, n: m, k });
        }
        let mut product = Product::prepared(ctx, known, a, b);
        (product.alpha, product.beta) = (self.alpha, self.beta);
        (product.c, product.c_row, product.c_col) = (self.c.shared_ptr(), c_row, c_col);
        product.epilogue = &self.epilogue;
        if product.is_direct() {
            T::multiply_directly(&product);
        } else {
            T::multiply(&product, &mut ctx.working());
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
