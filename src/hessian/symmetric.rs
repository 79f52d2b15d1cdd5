//! Eigenvalues of small symmetric matrices, and orthonormal bases, for the methods that work by products.

use nalgebra::{DMatrix, SymmetricEigen as Decomposition};

/// Eigenvalues, falling, and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricEigen {
    /// Falling.
    pub values: Vec<f64>,
    /// Vector i belongs to value i.
    pub vectors: Vec<Vec<f64>>,
}

impl SymmetricEigen {
    /// Of a row-major n x n matrix; what lies above its diagonal counts for nothing.
    ///
    /// # Panics
    /// When `matrix` has not n x n elements.
    pub fn of(matrix: &[f64], n: usize) -> Self {
        let Decomposition {
            eigenvalues,
            eigenvectors,
        } = Decomposition::new(DMatrix::from_row_slice(n, n, matrix));
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
        Self {
            values: order.iter().map(|&i| eigenvalues[i]).collect(),
            vectors: order
                .iter()
                .map(|&i| eigenvectors.column(i).iter().copied().collect())
                .collect(),
        }
    }
}

/// Eigenvalues and vectors of the tridiagonal matrix with this diagonal and, beside it, `off`.
pub fn tridiagonal(diagonal: &[f64], off: &[f64]) -> SymmetricEigen {
    let n = diagonal.len();
    let mut matrix = vec![0.0; n * n];
    for (i, &a) in diagonal.iter().enumerate() {
        matrix[i * n + i] = a;
    }
    for (i, &b) in off.iter().take(n.saturating_sub(1)).enumerate() {
        matrix[i * n + i + 1] = b;
        matrix[(i + 1) * n + i] = b;
    }
    SymmetricEigen::of(&matrix, n)
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums at once: one alone waits for each addition.
    let mut sums = [0.0; 8];
    let (wide_a, wide_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = wide_a
        .remainder()
        .iter()
        .zip(wide_b.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in wide_a.zip(wide_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// y += a x.
pub(super) fn add_scaled(y: &mut [f64], a: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

/// Takes off `v` what lies in the span of the orthonormal `basis`, twice: once leaves rounding's share. The coefficients.
pub(super) fn orthogonalise(v: &mut [f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut taken = vec![0.0; basis.len()];
    for _ in 0..2 {
        for (taken, q) in taken.iter_mut().zip(basis) {
            let share = dot(v, q);
            add_scaled(v, -share, q);
            *taken += share;
        }
    }
    taken
}

/// Orthonormal columns Q and upper triangular R (column by column) with Q R = `columns`. A column that depends on those before it has a 0 on
/// R's diagonal and no column in Q.
pub(super) fn orthonormal(columns: Vec<Vec<f64>>) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (mut q, mut r) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for mut column in columns {
        let before = norm(&column);
        let mut coefficients = orthogonalise(&mut column, &q);
        let left = norm(&column);
        // Of a column within the span rounding leaves about 1e-16 of its length; of products in f32, 1e-7.
        if left > 1e-9 * before && left > 0.0 {
            column.iter_mut().for_each(|x| *x /= left);
            coefficients.push(left);
            q.push(column);
        } else {
            coefficients.push(0.0);
        }
        r.push(coefficients);
    }
    (q, r)
}
