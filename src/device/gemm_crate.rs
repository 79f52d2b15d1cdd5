//! Products by the `gemm` crate: the baseline device's, and a contestant of the benches.
#![allow(unsafe_code)] // the crate takes pointers

use tilelab_kernels::{Float, MatMut, MatRef};

/// C (row-major) <- alpha A B + beta C on one thread. With beta = 0, C is not read.
///
/// # Panics
/// When shapes don't fit: callers have checked them.
pub fn product<T: Float>(alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: &mut [T]) {
    match MatMut::row_major(c, a.rows(), b.cols()) {
        Ok(c) => product_into(alpha, a, b, beta, c),
        Err(error) => panic!("gemm crate: {error}"),
    }
}

/// [`product`] into a C of any strides.
///
/// # Panics
/// When shapes don't fit.
pub fn product_into<T: Float>(alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, mut c: MatMut<'_, T>) {
    let (m, n, k) = (a.rows(), b.cols(), a.cols());
    assert!(
        b.rows() == k && (c.rows(), c.cols()) == (m, n),
        "gemm crate: shapes don't fit"
    );
    // Strides of slices in memory fit an isize.
    let stride = |stride: usize| stride as isize;
    // SAFETY: the shapes fit each other (asserted), A and B hold every element that their shapes and strides reach
    // (checked when they were made), C holds m x n (asserted, and its strides don't overlap) and is borrowed exclusively, so it overlaps neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            stride(c.col_stride()),
            stride(c.row_stride()),
            beta != T::ZERO,
            a.as_ptr(),
            stride(a.col_stride()),
            stride(a.row_stride()),
            b.as_ptr(),
            stride(b.col_stride()),
            stride(b.row_stride()),
            beta,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
