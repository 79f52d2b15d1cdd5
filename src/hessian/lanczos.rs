//! Eigenpairs at both ends of the spectrum by the Lanczos method with full reorthogonalisation.
//!
//! ```text
//! H q_j = beta_(j-1) q_(j-1) + alpha_j q_j + beta_j q_(j+1)
//! ```
//! The eigenvalues theta of the tridiagonal T (alpha on, beta beside the diagonal) approach H's from within, first at the ends, and
//! y = Q s has the residual |H y - theta y| = beta_m |s_m|, so an eigenvalue of H lies within that of theta (B. N. Parlett, The Symmetric
//! Eigenvalue Problem, SIAM 1998, chapters 11 and 13). Every q is orthogonalised against all before it, twice: without it rounding brings
//! copies of eigenvalues that are not there. The residuals that are reported are measured with one more product each.

use rand::RngExt;
use rand_distr::StandardNormal;

use super::symmetric::{add_scaled, dot, norm, orthogonalise};
use super::{HessianError, Operator, SymmetricEigen, tridiagonal};
use crate::mlp::{Purpose, stream};

/// Which eigenpairs, and how well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// How many from the upper end.
    pub largest: usize,
    /// How many from the lower end.
    pub smallest: usize,
    /// Residuals must be below this share of the eigenvalue of largest magnitude.
    pub tolerance: f64,
    /// Steps after which it ends whatever the residuals are.
    pub most_steps: usize,
    /// Of the first vector.
    pub seed: u64,
}

/// An eigenvalue of H lies within `residual` of `value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// theta
    pub value: f64,
    /// |H y - theta y|, measured.
    pub residual: f64,
    /// y, of length 1.
    pub vector: Vec<f64>,
}

/// Both ends of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Ends {
    /// Falling.
    pub largest: Vec<Pair>,
    /// Rising.
    pub smallest: Vec<Pair>,
    /// Lanczos steps.
    pub steps: usize,
    /// Whether all residuals were below the tolerance.
    pub converged: bool,
}

/// An orthonormal basis and the matrix T in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Basis {
    pub(super) q: Vec<Vec<f64>>,
    pub(super) alpha: Vec<f64>,
    pub(super) beta: Vec<f64>,
    next: Option<Vec<f64>>,
}

impl Basis {
    /// From a first vector, which is brought to length 1.
    pub(super) fn new(mut first: Vec<f64>) -> Self {
        let length = norm(&first);
        first.iter_mut().for_each(|x| *x /= length);
        Self {
            next: Some(first),
            ..Self::default()
        }
    }

    /// One step; false when the whole space is spanned. Where the Krylov space ends early it goes on with a random vector, so that
    /// eigenvalues with several vectors are found as often as they are there.
    pub(super) fn step(&mut self, operator: &mut dyn Operator, seed: u64) -> Result<bool, HessianError> {
        let Some(q) = self.next.take() else { return Ok(false) };
        let n = q.len();
        let mut w = vec![0.0; n];
        operator.multiply(&q, &mut w)?;
        self.alpha.push(dot(&q, &w));
        self.q.push(q);
        let before = norm(&w);
        orthogonalise(&mut w, &self.q);
        let mut beta = norm(&w);
        if self.q.len() < n {
            if beta <= 1e-13 * before.max(self.scale()) {
                beta = 0.0;
                w = random_vector(n, seed, 1 + self.q.len());
                orthogonalise(&mut w, &self.q);
            }
            let length = norm(&w);
            w.iter_mut().for_each(|x| *x /= length);
            self.next = Some(w);
        }
        self.beta.push(beta);
        Ok(true)
    }

    fn scale(&self) -> f64 {
        self.alpha
            .iter()
            .chain(&self.beta)
            .fold(0.0, |top: f64, x| top.max(x.abs()))
    }

    pub(super) fn eigen(&self) -> SymmetricEigen {
        tridiagonal(&self.alpha, &self.beta)
    }

    /// Q s.
    fn lift(&self, s: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.q.first().map_or(0, Vec::len)];
        self.q.iter().zip(s).for_each(|(q, s)| add_scaled(&mut y, *s, q));
        y
    }
}

/// A normal random vector.
pub(super) fn random_vector(n: usize, seed: u64, number: usize) -> Vec<f64> {
    stream(seed, Purpose::Probe { number })
        .sample_iter(StandardNormal)
        .take(n)
        .collect()
}

/// The wanted eigenpairs.
///
/// # Errors
/// A product that fails, or an argument out of its range.
pub fn eigenpairs(operator: &mut dyn Operator, wanted: Wanted) -> Result<Ends, HessianError> {
    let n = operator.size();
    let count = wanted.largest + wanted.smallest;
    if count == 0 || wanted.largest.max(wanted.smallest) > n {
        let text = format!("{count} eigenpairs of a matrix of {n} rows: ask for 1 to {n} at each end");
        return Err(HessianError::Argument(text));
    }
    let most = wanted.most_steps.clamp(count, n.max(count)).min(n);
    let mut basis = Basis::new(random_vector(n, wanted.seed, 0));
    let mut converged = false;
    while basis.q.len() < most && basis.step(operator, wanted.seed)? {
        let m = basis.q.len();
        // The small problem costs m^3: looked at often while it is small.
        let looks = m >= count.min(n) && (m <= 32 && m.is_multiple_of(2) || m.is_multiple_of(8) || m == most);
        if looks {
            let eigen = basis.eigen();
            converged = m == n || bounds_hold(&basis, &eigen, wanted);
            if converged {
                break;
            }
        }
    }
    let eigen = basis.eigen();
    let m = eigen.values.len();
    let mut pair = |i: usize| -> Result<Pair, HessianError> {
        let vector = basis.lift(&eigen.vectors[i]);
        let mut product = vec![0.0; n];
        operator.multiply(&vector, &mut product)?;
        add_scaled(&mut product, -eigen.values[i], &vector);
        Ok(Pair {
            value: eigen.values[i],
            residual: norm(&product),
            vector,
        })
    };
    let largest = (0..wanted.largest.min(m)).map(&mut pair).collect::<Result<_, _>>()?;
    let smallest = (0..wanted.smallest.min(m))
        .map(|i| pair(m - 1 - i))
        .collect::<Result<_, _>>()?;
    Ok(Ends {
        largest,
        smallest,
        steps: m,
        converged,
    })
}

fn bounds_hold(basis: &Basis, eigen: &SymmetricEigen, wanted: Wanted) -> bool {
    let m = eigen.values.len();
    let beta = basis.beta.last().copied().unwrap_or(0.0);
    let top = eigen.values[0].abs().max(eigen.values[m - 1].abs());
    let bound = |i: usize| beta * eigen.vectors[i][m - 1].abs();
    let ends = (0..wanted.largest).chain(m - wanted.smallest.min(m)..m);
    ends.into_iter().all(|i| bound(i) <= wanted.tolerance * top)
}
