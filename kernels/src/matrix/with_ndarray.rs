//! Views of `ndarray` as matrices: the same memory, nothing is copied.

use std::marker::PhantomData;

use super::{MatMut, MatRef, overlaps};
use crate::ShapeError;

/// Strides as kernels take them; those of a reversed view are negative, and refused.
fn strides(shape: (usize, usize), strides: &[isize]) -> Result<(usize, usize), ShapeError> {
    let positive = |axis: usize| usize::try_from(strides[axis]);
    match (positive(0), positive(1)) {
        (Ok(row), Ok(col)) => Ok((row, col)),
        _ => Err(ShapeError::Reversed {
            rows: shape.0,
            cols: shape.1,
            row_stride: strides[0],
            col_stride: strides[1],
        }),
    }
}

impl<'a, T> TryFrom<ndarray::ArrayView2<'a, T>> for MatRef<'a, T> {
    type Error = ShapeError;

    fn try_from(view: ndarray::ArrayView2<'a, T>) -> Result<Self, ShapeError> {
        let (rows, cols) = view.dim();
        let (row_stride, col_stride) = strides((rows, cols), view.strides())?;
        // The view vouches for every element that its shape and strides reach, for 'a.
        Ok(Self {
            data: view.as_ptr(),
            rows,
            cols,
            row_stride,
            col_stride,
            owner: PhantomData,
        })
    }
}

impl<'a, T> TryFrom<ndarray::ArrayViewMut2<'a, T>> for MatMut<'a, T> {
    type Error = ShapeError;

    fn try_from(mut view: ndarray::ArrayViewMut2<'a, T>) -> Result<Self, ShapeError> {
        let (rows, cols) = view.dim();
        let (row_stride, col_stride) = strides((rows, cols), view.strides())?;
        if overlaps(rows, cols, row_stride, col_stride) {
            return Err(ShapeError::Overlap {
                rows,
                cols,
                row_stride,
                col_stride,
            });
        }
        // The view borrows every element that its shape and strides reach, exclusively and for 'a.
        Ok(Self {
            data: view.as_mut_ptr(),
            rows,
            cols,
            row_stride,
            col_stride,
            owner: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;
    use crate::{Context, Epilogue, Isa, Threads};

    #[test]
    fn products_of_views_and_their_transposes_are_ndarrays_own() {
        let a = Array2::from_shape_fn((7, 5), |(i, j)| (i * 5 + j) as f64);
        let b = Array2::from_shape_fn((9, 10), |(i, j)| (i as f64) - (j as f64));
        let (a, b) = (a.view(), b.slice(s![2..7, ..;2]));
        let mut c = Array2::zeros((5, 7));
        let ctx = Context::new(Isa::Portable, Threads::one()).unwrap();
        let (left, right) = (MatRef::try_from(b.t()).unwrap(), MatRef::try_from(a.t()).unwrap());
        ctx.gemm(
            1.0,
            left,
            right,
            0.0,
            MatMut::try_from(c.view_mut()).unwrap(),
            Epilogue::none(),
        )
        .unwrap();
        assert_eq!(c, b.t().dot(&a.t()));
    }

    #[test]
    fn reversed_views_are_refused() {
        let a = Array2::<f32>::zeros((3, 4));
        assert!(matches!(
            MatRef::try_from(a.slice(s![..;-1, ..])),
            Err(ShapeError::Reversed { .. })
        ));
    }
}
