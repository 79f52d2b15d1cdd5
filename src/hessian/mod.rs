//! Second derivatives of a model's objective, the mean loss over given rows plus lambda / 2 times the squares of the weights.
//!
//! [`tangent()`] turns the plain program of the gradients into two: one that linearises it at a point, and one that takes any number of
//! directions through it at once. [`Products`] runs them: Hessian, Gauss-Newton and Fisher products. On them stand a dense matrix
//! ([`dense`]), its diagonal, eigenpairs ([`lanczos`]), the spectral density and the trace; [`closed`] has the nets whose Hessian is had
//! without any product. The formulas are derived in `docs/hessian.md`.

pub mod closed;
pub mod dense;
pub mod density;
mod directions;
mod error;
pub mod lanczos;
mod output;
mod point;
mod products;
mod symmetric;
mod tangent;
pub mod trace;

pub use directions::Directions;
pub use error::HessianError;
pub use output::{write_npy_matrix, write_npy_vector};
pub use point::{Data, Point};
pub use products::{Operator, Products, Setup};
pub use symmetric::{SymmetricEigen, tridiagonal};
pub use tangent::{Tangent, Which, objective, tangent};
