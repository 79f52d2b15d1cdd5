//! The spectral density by stochastic Lanczos quadrature.
//!
//! For a random v of length 1, m Lanczos steps give nodes theta_i, T's eigenvalues, and weights tau_i, the squares of its vectors' first
//! components: the Gauss quadrature of the density as v sees it, exact for polynomials of degree 2 m - 1. So the weights sum to 1, the
//! first moment is v^T H v and the second |H v|^2. Averaged over v it is the density of H's eigenvalues (G. Golub and G. Meurant, Matrices,
//! Moments and Quadrature, 2010; B. Ghorbani, S. Krishnan and Y. Xiao, ICML 2019).

use super::lanczos::{Basis, random_vector};
use super::{HessianError, Operator};

/// What one probe saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Quadrature {
    /// Falling.
    pub nodes: Vec<f64>,
    /// They sum to 1.
    pub weights: Vec<f64>,
}

/// A spectral density.
#[derive(Debug, Clone, PartialEq)]
pub struct Density {
    /// One for each probe.
    pub probes: Vec<Quadrature>,
    /// Rows of the matrix.
    pub size: usize,
}

/// `probes` probes of `steps` steps each.
///
/// # Errors
/// A product that fails, or an argument out of its range.
pub fn density(operator: &mut dyn Operator, probes: usize, steps: usize, seed: u64) -> Result<Density, HessianError> {
    let n = operator.size();
    if probes == 0 || steps == 0 {
        return Err(HessianError::Argument(
            "a density needs at least 1 probe of 1 step".into(),
        ));
    }
    let mut all = Vec::with_capacity(probes);
    for probe in 0..probes {
        // Numbers far from those with which a Krylov space that ends goes on.
        let mut basis = Basis::new(random_vector(n, seed, (probe + 1) << 16));
        while basis.q.len() < steps.min(n) && basis.step(operator, seed)? {
            // Behind an invariant subspace lies nothing that v sees.
            if basis.beta.last() == Some(&0.0) {
                break;
            }
        }
        let eigen = basis.eigen();
        let weights = eigen.vectors.iter().map(|s| s[0] * s[0]).collect();
        all.push(Quadrature {
            nodes: eigen.values,
            weights,
        });
    }
    Ok(Density { probes: all, size: n })
}

impl Density {
    /// The mean of lambda^power over the eigenvalues, and its standard error over the probes (0 for one probe: there is none to tell).
    pub fn moment(&self, power: i32) -> (f64, f64) {
        let of = |probe: &Quadrature| {
            probe
                .nodes
                .iter()
                .zip(&probe.weights)
                .map(|(x, w)| w * x.powi(power))
                .sum()
        };
        let values: Vec<f64> = self.probes.iter().map(of).collect();
        super::trace::mean_and_error(&values)
    }

    /// Largest and smallest node.
    pub fn range(&self) -> (f64, f64) {
        let nodes = || self.probes.iter().flat_map(|probe| probe.nodes.iter().copied());
        (
            nodes().fold(f64::INFINITY, f64::min),
            nodes().fold(f64::NEG_INFINITY, f64::max),
        )
    }

    /// The density at `points` places from end to end, every node widened to a normal curve of standard deviation `width`.
    pub fn curve(&self, points: usize, width: f64) -> Vec<(f64, f64)> {
        let (low, high) = self.range();
        let (low, high) = (low - 3.0 * width, high + 3.0 * width);
        let factor = 1.0 / (width * (2.0 * std::f64::consts::PI).sqrt() * self.probes.len() as f64);
        let at = |x: f64| -> f64 {
            let all = self
                .probes
                .iter()
                .flat_map(|probe| probe.nodes.iter().zip(&probe.weights));
            all.map(|(node, weight)| weight * (-((x - node) / width).powi(2) / 2.0).exp())
                .sum::<f64>()
                * factor
        };
        let step = (high - low) / (points.max(2) - 1) as f64;
        (0..points).map(|i| low + step * i as f64).map(|x| (x, at(x))).collect()
    }
}
