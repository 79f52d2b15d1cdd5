//! Matrices and vectors as `.npy` files.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use ndarray::ArrayView;
use ndarray_npy::WriteNpyExt;

use super::HessianError;

fn failed(path: &Path, error: impl std::fmt::Display) -> HessianError {
    HessianError::File {
        path: path.display().to_string(),
        error: error.to_string(),
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, HessianError> {
    Ok(BufWriter::new(File::create(path).map_err(|error| failed(path, error))?))
}

/// A row-major matrix of f32 or f64.
///
/// # Errors
/// When the file can't be written.
pub fn write_npy_matrix<T: ndarray_npy::WritableElement>(
    path: &Path,
    values: &[T],
    (rows, cols): (usize, usize),
) -> Result<(), HessianError> {
    let view = ArrayView::from_shape((rows, cols), values).map_err(|error| failed(path, error))?;
    view.write_npy(create(path)?).map_err(|error| failed(path, error))
}

/// A vector of f64.
///
/// # Errors
/// When the file can't be written.
pub fn write_npy_vector(path: &Path, values: &[f64]) -> Result<(), HessianError> {
    ArrayView::from(values)
        .write_npy(create(path)?)
        .map_err(|error| failed(path, error))
}
