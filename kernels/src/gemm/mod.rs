//! General matrix product: C <- epilogue(alpha * A * B + beta * C).

mod epilogue;

pub use epilogue::Epilogue;

use crate::{Context, Float, Isa, MatMut, MatRef, ShapeError, Threads};

/// One entry of the table of micro-kernels.
#[derive(Debug, Clone, Copy)]
pub struct MicroKernel<T> {
    pub(crate) isa: Isa,
    marker: std::marker::PhantomData<T>,
}

pub(crate) const KERNELS_F32: &[MicroKernel<f32>] = &[];
pub(crate) const KERNELS_F64: &[MicroKernel<f64>] = &[];

/// Cache blocks, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of a packed block of A.
    pub mc: usize,
    /// Depth of packed blocks.
    pub kc: usize,
    /// Columns of a packed block of B.
    pub nc: usize,
}

impl Context {
    /// C <- epilogue(alpha * A * B + beta * C). beta = 0 never reads C.
    ///
    /// # Errors
    /// When shapes don't fit.
    pub fn gemm<T: Float>(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
        epilogue: Epilogue<'_, T>,
    ) -> Result<(), ShapeError> {
        crate::reference::gemm(alpha, a, b, beta, c.reborrow(), epilogue);
        Ok(())
    }
}

/// For a first try: makes a [`Context`] per call.
///
/// # Errors
/// When shapes don't fit.
pub fn gemm<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    c: MatMut<'_, T>,
    epilogue: Epilogue<'_, T>,
    _threads: Threads,
) -> Result<(), ShapeError> {
    let _ = (alpha, a, b, beta, c, epilogue);
    Ok(())
}

pub(crate) struct Largest(String);
impl Largest {
    pub(crate) fn id(&self) -> String {
        self.0.clone()
    }
}
pub(crate) fn largest_kernel<T: Float>(isa: Isa) -> Largest {
    Largest(format!("{}gemm-{}", T::LETTER, isa))
}
