//! Products on a card: every kernel that it can run, and cuBLAS where it can be loaded.

use tilelab_kernels::cuda::gemm::{Factor, Finish, KERNELS, Matrix, gemm};
use tilelab_kernels::cuda::{CudaError, Slice};

use super::cublas::Cublas;
use super::{Track, launched};
use crate::bench::Trouble;
use crate::bench::gemm::{Operands, case_name};
use crate::cli::shapes::Shape;
use crate::measure::Lineup;

/// Roundings of a sum inside the tensor cores, which truncate, beyond those of k additions.
const TRUNCATED: f64 = 9.0;

/// The case of these operands: every contestant's answer is checked first, each into a C of its own.
///
/// # Errors
/// Of the driver, such as too little memory; one line.
pub fn lineup<'a>(
    track: &'a mut Track,
    operands: &'a Operands,
    libraries: &'a [Cublas],
    trouble: &'a Trouble,
) -> Result<Lineup<'a>, String> {
    let told = |error: CudaError| error.to_string();
    let Shape { m, n, k } = operands.shape();
    let product = operands.product;
    let place = &mut track.workspace;
    let [a, b] = operands.stored();
    let stored = |data, (rows, cols), transposed| {
        let (rows, cols) = if transposed { (cols, rows) } else { (rows, cols) };
        let matrix = Matrix::new(data, rows, cols);
        Factor { matrix, transposed }
    };
    let a = stored(place.floats(&a).map_err(told)?, (m, k), product.a_transposed);
    let b = stored(place.floats(&b).map_err(told)?, (k, n), product.b_transposed);
    let (one, zero) = (place.floats(&[1.0]).map_err(told)?, place.floats(&[0.0]).map_err(told)?);
    let capability = place.stream().gpu().facts().capability;
    let mut ours = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| kernel.capability <= capability) {
        let c = place.room(m * n).map_err(told)?;
        let call = gemm(kernel, one, a, b, zero, Matrix::new(c, m, n), Finish::default());
        ours.push((kernel, call.map_err(|error| error.to_string())?, c));
    }
    let mut theirs = Vec::new();
    for library in libraries {
        theirs.push((library, place.room(m * n).map_err(told)?));
    }

    let track = &*track;
    let error_over_bound = |c: Slice<f32>, rounding: f64| {
        let got = track.workspace.get(c).map_err(told)?;
        let roundings = k as f64 + 3.0 + if rounding > 0.0 { TRUNCATED } else { 0.0 };
        let unit = roundings * f64::from(f32::EPSILON) + 2.0 * rounding;
        Ok::<f64, String>(operands.error_over(&got, unit))
    };
    let mut contestants = Vec::new();
    for (kernel, call, c) in ours {
        let work = launched(vec![call]);
        work(track.stream())?;
        contestants.push(track.contestant(kernel.id, error_over_bound(c, kernel.rounding)?, trouble, work));
    }
    for (library, c) in theirs {
        let c = Matrix::new(c, m, n);
        let work = move |_: &_| library.product(a, b, c);
        work(track.stream())?;
        let error = error_over_bound(c.data, library.rounding())?;
        contestants.push(track.contestant(library.name(), error, trouble, work));
    }
    Ok(Lineup {
        name: case_name::<f32>(product),
        x: m as f64,
        work: operands.shape().flops(),
        contestants,
    })
}
