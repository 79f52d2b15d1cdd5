//! Other crates' products as contestants: ndarray always, faer and matrixmultiply with the feature `peers`.
#![allow(unsafe_code)] // views of these crates are made from pointers

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};
use tilelab_kernels::{Float, MatMut, MatRef};

use super::gemm::{Multiplier, Operands};

/// An element type that these crates multiply.
pub trait Peers: Float {
    /// Every crate that is compiled in, on one thread.
    fn peers() -> Vec<Multiplier<'static, Self>>;
}

macro_rules! peers {
    ($t:ty, $matrixmultiply:path) => {
        impl Peers for $t {
            fn peers() -> Vec<Multiplier<'static, Self>> {
                #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
                let mut peers = vec![
                    Multiplier::gemm_crate(),
                    Multiplier::new("ndarray", |operands: &Operands<$t>, c| {
                        general_mat_mul(
                            1.0,
                            &read(operands.a()),
                            &read(operands.b()),
                            0.0,
                            &mut written(c),
                        );
                    }),
                ];
                #[cfg(feature = "peers")]
                {
                    peers.push(Multiplier::new(
                        "matrixmultiply",
                        |operands: &Operands<$t>, mut c: MatMut<'_, $t>| {
                            let (a, b) = (operands.a(), operands.b());
                            let (m, k, n) = (a.rows(), a.cols(), b.cols());
                            let int = |stride: usize| stride as isize;
                            let (ars, acs) = (int(a.row_stride()), int(a.col_stride()));
                            let (brs, bcs) = (int(b.row_stride()), int(b.col_stride()));
                            let (crs, ccs) = (int(c.row_stride()), int(c.col_stride()));
                            let (pa, pb, pc) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                            // SAFETY: operands are made with shapes that fit, and the views hold every element that their
                            // strides reach; C is borrowed exclusively.
                            unsafe { $matrixmultiply(m, k, n, 1.0, pa, ars, acs, pb, brs, bcs, 0.0, pc, crs, ccs) };
                        },
                    ));
                    peers.push(Multiplier::new(
                        "faer",
                        |operands: &Operands<$t>, mut c: MatMut<'_, $t>| {
                            let int = |stride: usize| stride as isize;
                            // SAFETY: the views hold every element of their shapes and strides (so below).
                            let read = |x: MatRef<'_, $t>| unsafe {
                                faer::MatRef::from_raw_parts(
                                    x.as_ptr(),
                                    x.rows(),
                                    x.cols(),
                                    int(x.row_stride()),
                                    int(x.col_stride()),
                                )
                            };
                            let (rows, cols, crs, ccs) = (c.rows(), c.cols(), int(c.row_stride()), int(c.col_stride()));
                            // SAFETY: as above; C is borrowed exclusively.
                            let c = unsafe { faer::MatMut::from_raw_parts_mut(c.as_mut_ptr(), rows, cols, crs, ccs) };
                            let (a, b) = (read(operands.a()), read(operands.b()));
                            faer::linalg::matmul::matmul(c, faer::Accum::Replace, a, b, 1.0, faer::Par::Seq);
                        },
                    ));
                }
                peers
            }
        }
    };
}

#[cfg(feature = "peers")]
peers!(f32, matrixmultiply::sgemm);
#[cfg(feature = "peers")]
peers!(f64, matrixmultiply::dgemm);
#[cfg(not(feature = "peers"))]
peers!(f32, none);
#[cfg(not(feature = "peers"))]
peers!(f64, none);

/// As ndarray sees it.
fn read<T>(x: MatRef<'_, T>) -> ArrayView2<'_, T> {
    let shape = (x.rows(), x.cols()).strides((x.row_stride(), x.col_stride()));
    // SAFETY: the view holds every element that its shape and strides reach, borrowed as long.
    unsafe { ArrayView2::from_shape_ptr(shape, x.as_ptr()) }
}

/// As [`read`], to be written.
fn written<T>(mut x: MatMut<'_, T>) -> ArrayViewMut2<'_, T> {
    let shape = (x.rows(), x.cols()).strides((x.row_stride(), x.col_stride()));
    // SAFETY: as above, borrowed exclusively, and no two elements share an address.
    unsafe { ArrayViewMut2::from_shape_ptr(shape, x.as_mut_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shapes::{Product, Shape};

    fn check<T: Peers>() {
        for (a_transposed, b_transposed) in [(false, false), (true, false), (false, true)] {
            let product = Product {
                shape: Shape { m: 9, n: 17, k: 33 },
                a_transposed,
                b_transposed,
            };
            let operands = Operands::<T>::new(product, 5);
            for mut player in T::peers() {
                let mut c = operands.c();
                player.run(&operands, &mut c);
                let error = operands.error_over_bound(&c.dense());
                assert!(error <= 1.0, "{} at {product} in {}: {error}", player.id, T::NAME);
            }
        }
    }

    #[test]
    fn every_crate_is_right() {
        check::<f32>();
        check::<f64>();
    }
}
