//! A dense matrix: in closed form where there is one, else by products with unit vectors, as many at once as memory and the setup allow.

use tilelab_kernels::{Context, Float, Isa};

use super::closed::{Closed, has_closed_form};
use super::{Data, HessianError, Operator, Point, Products, Setup, Which};
use crate::device::{Device, available_bytes};
use crate::program::Element;

/// How a matrix was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// [`Closed`].
    ClosedForm,
    /// [`Products`].
    Products,
}

impl Method {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClosedForm => "closed form",
            Self::Products => "products",
        }
    }
}

/// Whether a matrix of `parameters` rows fits.
///
/// # Errors
/// When it does not: what it would take, and what to use in its place.
pub fn fits(parameters: usize, element: Element, most_bytes: Option<u64>) -> Result<(), HessianError> {
    let bytes = (parameters as u128).pow(2) * element.bytes() as u128;
    // Half of what there is, so that the session and the one who asks have room beside it.
    let limit = most_bytes.unwrap_or_else(|| available_bytes().map_or(u64::MAX, |bytes| bytes / 2));
    if bytes <= u128::from(limit) {
        return Ok(());
    }
    Err(HessianError::Dense {
        parameters,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        limit,
    })
}

/// How many directions at once keep stacked buffers of `per_direction` bytes each within `bytes`: 1 to 64.
pub fn together(per_direction: u64, bytes: u64) -> usize {
    (bytes / per_direction.max(1)).clamp(1, 64) as usize
}

/// The matrix by products, row-major and symmetric, into `out`.
///
/// # Errors
/// A product that fails.
///
/// # Panics
/// When `out` has not as many elements as the matrix.
pub fn by_products<T: Float>(operator: &mut dyn Operator, out: &mut [T]) -> Result<(), HessianError> {
    let n = operator.size();
    assert_eq!(out.len(), n * n, "room for all of the matrix");
    let count = operator.together();
    let (mut units, mut products) = (vec![0.0; count * n], vec![0.0; count * n]);
    for first in (0..n).step_by(count) {
        let count = count.min(n - first);
        units.fill(0.0);
        (0..count).for_each(|k| units[k * n + first + k] = 1.0);
        operator.multiply(&units[..count * n], &mut products[..count * n])?;
        for (row, product) in out[first * n..]
            .chunks_exact_mut(n)
            .zip(products[..count * n].chunks_exact(n))
        {
            row.iter_mut().zip(product).for_each(|(to, x)| *to = T::from_f64(*x));
        }
    }
    symmetrise(out, n);
    Ok(())
}

/// Means of what lies across the diagonal: rounding makes the two differ.
fn symmetrise<T: Float>(matrix: &mut [T], n: usize) {
    for i in 0..n {
        for j in i + 1..n {
            let mean = T::from_f64((matrix[i * n + j].to_f64() + matrix[j * n + i].to_f64()) / 2.0);
            (matrix[i * n + j], matrix[j * n + i]) = (mean, mean);
        }
    }
}

/// The matrix of `setup` at a point, by the way that is cheaper.
///
/// # Errors
/// A matrix that does not fit, or a product that fails.
pub fn dense<T: Float>(
    setup: &Setup<'_>,
    point: &Point,
    data: Data<'_>,
    most_bytes: Option<u64>,
) -> Result<(Vec<T>, Method), HessianError> {
    let n = setup.directions.size();
    fits(n, setup.float, most_bytes)?;
    let mut out = vec![T::ZERO; n * n];
    let closed = setup.which == Which::Hessian && setup.device == Device::Cpu;
    if closed && has_closed_form(setup.model, setup.directions) {
        let isa = Isa::selected().map_err(crate::device::DeviceError::from)?;
        let context = Context::new(isa, setup.threads).map_err(crate::device::DeviceError::from)?;
        let (x, labels) = data.values::<T>();
        let mut closed = Closed::new(&context, setup.model, setup.directions, &x, &labels)?.with_l2(setup.l2);
        closed.move_to(point);
        closed.hessian(&mut out);
        return Ok((out, Method::ClosedForm));
    }
    by_products(&mut Products::new(setup, point, data)?, &mut out)?;
    Ok((out, Method::Products))
}

/// The exact diagonal, by products with unit vectors: as many products as parameters, and no more memory than those at once.
///
/// # Errors
/// A product that fails.
pub fn diagonal(operator: &mut dyn Operator) -> Result<Vec<f64>, HessianError> {
    let (n, count) = (operator.size(), operator.together());
    let mut diagonal = Vec::with_capacity(n);
    let (mut units, mut products) = (vec![0.0; count * n], vec![0.0; count * n]);
    for first in (0..n).step_by(count) {
        let count = count.min(n - first);
        units.fill(0.0);
        (0..count).for_each(|k| units[k * n + first + k] = 1.0);
        operator.multiply(&units[..count * n], &mut products[..count * n])?;
        diagonal.extend((0..count).map(|k| products[k * n + first + k]));
    }
    Ok(diagonal)
}
