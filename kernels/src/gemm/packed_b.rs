//! A fixed B, packed once and multiplied often: the weights of a network that only predicts.
//!
//! Blocks of kc x nc lie one after the other in the order of the two outer loops, each as the loops would pack it: panels
//! of NR columns, the last one padded to whole vectors. Products with it give the bits of products with the matrix (but
//! for C of one row, or of less than two vectors of columns, whose sums are made in another order where B is a matrix; and for
//! an epilogue's column sums of few rows, which are added block by block, and blocks are larger where nothing is packed).

use super::loops::Product;
use super::{Blocking, Shape};
use crate::scratch::Buffer;
use crate::{Context, Float, Isa, MatRef};

/// A copy of a k x n matrix in the layout that one ISA's kernels read. Made by [`Context::pack_b`].
#[derive(Debug)]
pub struct PackedB<T> {
    pub(crate) isa: Isa,
    pub(crate) blocking: Blocking,
    k: usize,
    n: usize,
    blocks: Buffer,
    element: std::marker::PhantomData<T>,
}

// SAFETY: its memory is written by `pack_b` alone, before anybody else has it.
unsafe impl<T: Sync> Sync for PackedB<T> {}

impl<T: Float> PackedB<T> {
    /// Rows and columns, k and n.
    pub fn size(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// The ISA whose kernels read it.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Its first block.
    pub(crate) fn as_ptr(&self) -> *const T {
        self.blocks.as_ptr().cast()
    }
}

impl Context {
    /// Packs `b`, k x n, for this context's ISA, to be the B of [`Context::gemm`] on any context of that ISA.
    ///
    /// ```
    /// use tilelab_kernels::{Context, Epilogue, Isa, MatMut, MatRef, Threads};
    ///
    /// let ctx = Context::new(Isa::selected()?, Threads::one())?;
    /// let weights = ctx.pack_b(MatRef::row_major(&[1.0f32, 2.0, 3.0, 4.0], 2, 2)?);
    /// let mut c = [0.0; 2];
    /// let x = MatRef::row_major(&[1.0, 10.0], 1, 2)?;
    /// ctx.gemm(1.0, x, &weights, 0.0, MatMut::row_major(&mut c, 1, 2)?, Epilogue::none())?;
    /// assert_eq!(c, [31.0, 42.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pack_b<T: Float>(&self, b: MatRef<'_, T>) -> PackedB<T> {
        let (k, n) = (b.rows(), b.cols());
        let mut product = Product::new(self, Shape { m: 0, n, k }, b.into(), b.into());
        product.pack_b = true;
        let mut blocks = Buffer::default();
        let room = blocks.room::<T>(n.next_multiple_of(product.kernels.lanes) * k);
        product.pack_all(&mut self.working().pool, room);
        PackedB {
            isa: self.isa(),
            blocking: product.blocking,
            k,
            n,
            blocks,
            element: std::marker::PhantomData,
        }
    }
}
