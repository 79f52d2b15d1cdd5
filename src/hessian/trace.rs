//! The trace by random products, always with a standard error.
//!
//! | method | estimate from m products |
//! |---|---|
//! | Hutchinson | the mean of v^T H v, v of random signs (M. F. Hutchinson, 1990) |
//! | Hutch++ | tr(Q^T H Q), Q a basis of H S for m / 3 vectors, and Hutchinson's of what is left (R. Meyer, C. Musco, C. Musco and D. Woodruff, SOSA 2021) |
//! | XTrace | the same with every one of m / 2 vectors left out in turn: the others make the basis, it probes what is left (E. Epperly, J. Tropp and R. Webber, SIMAX 45(1), 2024) |

use rand::RngExt;

use super::lanczos::random_vector;
use super::symmetric::{add_scaled, dot, orthogonalise, orthonormal};
use super::{HessianError, Operator};
use crate::mlp::{Purpose, stream};

/// How a trace is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `hutchinson`
    Hutchinson,
    /// `hutch++`
    HutchPlusPlus,
    /// `xtrace`
    XTrace,
}

impl Method {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Hutchinson, Self::HutchPlusPlus, Self::XTrace];

    /// As the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hutchinson => "hutchinson",
            Self::HutchPlusPlus => "hutch++",
            Self::XTrace => "xtrace",
        }
    }

    /// Products that it takes at least, to tell an error.
    pub const fn least(self) -> usize {
        match self {
            Self::Hutchinson => 2,
            Self::HutchPlusPlus => 6,
            Self::XTrace => 4,
        }
    }
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| format!("no method is called `{name}`; there is hutchinson, hutch++, xtrace"))
    }
}

/// An estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Of the trace.
    pub value: f64,
    /// Of `value`. For XTrace, whose estimates depend on each other a little, as its authors take it.
    pub standard_error: f64,
    /// Products that it took.
    pub products: usize,
}

/// Estimates the trace with at most `products` products.
///
/// # Errors
/// A product that fails, or too few of them.
pub fn trace(
    operator: &mut dyn Operator,
    method: Method,
    products: usize,
    seed: u64,
) -> Result<Estimate, HessianError> {
    if products < method.least() {
        let text = format!(
            "{} needs at least {} products, {products} were given",
            method.name(),
            method.least()
        );
        return Err(HessianError::Argument(text));
    }
    match method {
        Method::Hutchinson => {
            let probes = signs_of(operator.size(), products, seed);
            let values = quadratic_forms(operator, probes)?;
            let (value, standard_error) = mean_and_error(&values);
            Ok(Estimate {
                value,
                standard_error,
                products,
            })
        }
        Method::HutchPlusPlus => hutch_plus_plus(operator, products / 3, seed),
        Method::XTrace => x_trace(operator, products / 2, seed),
    }
}

/// The diagonal from products with random signs, v (.) H v averaged, and the standard error of each element.
///
/// # Errors
/// As [`trace`].
pub fn diagonal(operator: &mut dyn Operator, products: usize, seed: u64) -> Result<(Vec<f64>, Vec<f64>), HessianError> {
    if products < 2 {
        return Err(HessianError::Argument(
            "an estimate of the diagonal needs at least 2 products".into(),
        ));
    }
    let n = operator.size();
    let (mut sum, mut squares) = (vec![0.0; n], vec![0.0; n]);
    for_each_product(operator, signs_of(n, products, seed), |v, hv| {
        for (i, (v, hv)) in v.iter().zip(hv).enumerate() {
            sum[i] += v * hv;
            squares[i] += (v * hv).powi(2);
        }
    })?;
    let m = products as f64;
    let error = |i: usize| ((squares[i] - sum[i] * sum[i] / m).max(0.0) / (m * (m - 1.0))).sqrt();
    let errors = (0..n).map(error).collect();
    sum.iter_mut().for_each(|x| *x /= m);
    Ok((sum, errors))
}

/// Mean, and standard error of it; 0 for one value.
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn signs(n: usize, seed: u64, number: usize) -> Vec<f64> {
    let mut random = stream(seed, Purpose::Probe { number });
    (0..n)
        .map(|_| if random.random::<bool>() { 1.0 } else { -1.0 })
        .collect()
}

fn signs_of(n: usize, count: usize, seed: u64) -> impl Iterator<Item = Vec<f64>> {
    (0..count).map(move |number| signs(n, seed, number))
}

/// Multiplies as many at once as the operator likes.
fn for_each_product(
    operator: &mut dyn Operator,
    vectors: impl Iterator<Item = Vec<f64>>,
    mut take: impl FnMut(&[f64], &[f64]),
) -> Result<(), HessianError> {
    let (n, together) = (operator.size(), operator.together());
    let mut vectors = vectors.peekable();
    while vectors.peek().is_some() {
        let some: Vec<f64> = vectors.by_ref().take(together).flatten().collect();
        let mut products = vec![0.0; some.len()];
        operator.multiply(&some, &mut products)?;
        some.chunks_exact(n)
            .zip(products.chunks_exact(n))
            .for_each(|(v, hv)| take(v, hv));
    }
    Ok(())
}

fn products_of(operator: &mut dyn Operator, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, HessianError> {
    let mut products = Vec::with_capacity(vectors.len());
    for_each_product(operator, vectors.iter().cloned(), |_, hv| products.push(hv.to_vec()))?;
    Ok(products)
}

fn quadratic_forms(
    operator: &mut dyn Operator,
    vectors: impl Iterator<Item = Vec<f64>>,
) -> Result<Vec<f64>, HessianError> {
    let mut values = Vec::new();
    for_each_product(operator, vectors, |v, hv| values.push(dot(v, hv)))?;
    Ok(values)
}

fn hutch_plus_plus(operator: &mut dyn Operator, third: usize, seed: u64) -> Result<Estimate, HessianError> {
    let n = operator.size();
    let first: Vec<Vec<f64>> = signs_of(n, third, seed).collect();
    let (q, _) = orthonormal(products_of(operator, &first)?);
    let known: f64 = quadratic_forms(operator, q.iter().cloned())?.iter().sum();
    let left = (third..2 * third).map(|number| {
        let mut v = signs(n, seed, number);
        orthogonalise(&mut v, &q);
        v
    });
    let (rest, standard_error) = mean_and_error(&quadratic_forms(operator, left)?);
    Ok(Estimate {
        value: known + rest,
        standard_error,
        products: 2 * third + q.len(),
    })
}

/// With Q R = H Omega, the basis without vector i is Q (I - s s^T), s being column i of R^-T brought to length 1. What it leaves of omega
/// is omega + Q u, u = s (s . w) - w, w = Q^T omega; so its estimate is tr(Q^T H Q) - s^T H_Q s + (n - m + 1) / |omega + Q u|^2
/// (omega + Q u)^T H (omega + Q u) with H_Q = Q^T H Q: no product more than H Omega and H Q.
fn x_trace(operator: &mut dyn Operator, m: usize, seed: u64) -> Result<Estimate, HessianError> {
    let n = operator.size();
    let m = m.min(n);
    let omega: Vec<Vec<f64>> = (0..m).map(|number| random_vector(n, seed, number)).collect();
    let (q, r) = orthonormal(products_of(operator, &omega)?);
    let z = products_of(operator, &q)?;
    let rank = q.len();
    let products = m + rank;
    let small: Vec<f64> = q.iter().flat_map(|q| z.iter().map(move |z| dot(q, z))).collect();
    let total: f64 = (0..rank).map(|i| small[i * rank + i]).sum();
    // The vectors' products span less than there are of them: Q has all of H's range, nothing is left to estimate.
    if rank < m || m == n {
        return Ok(Estimate {
            value: total,
            standard_error: 0.0,
            products,
        });
    }
    let form = |a: &[f64], b: &[f64]| -> f64 { (0..rank).map(|i| a[i] * dot(&small[i * rank..][..rank], b)).sum() };
    let mut values = Vec::with_capacity(m);
    for (i, omega) in omega.iter().enumerate() {
        let s = inverse_transposed_column(&r, i);
        let w: Vec<f64> = q.iter().map(|q| dot(q, omega)).collect();
        let t: Vec<f64> = z.iter().map(|z| dot(z, omega)).collect();
        let mut u: Vec<f64> = w.iter().map(|w| -w).collect();
        add_scaled(&mut u, dot(&s, &w), &s);
        let square = dot(omega, omega) + 2.0 * dot(&w, &u) + dot(&u, &u);
        // omega^T H omega: column i of H Omega is Q times column i of R.
        let whole = dot(&w[..=i], &r[i]);
        let left = whole + 2.0 * dot(&t, &u) + form(&u, &u);
        values.push(total - form(&s, &s) + (n - m + 1) as f64 / square * left);
    }
    let (value, standard_error) = mean_and_error(&values);
    Ok(Estimate {
        value,
        standard_error,
        products,
    })
}

/// Column i of R^-T, of length 1: the s with R^T s = e_i, by substitution from i on.
fn inverse_transposed_column(r: &[Vec<f64>], i: usize) -> Vec<f64> {
    let m = r.len();
    let mut s = vec![0.0; m];
    s[i] = 1.0 / r[i][i];
    for j in i + 1..m {
        s[j] = -dot(&r[j][i..j], &s[i..j]) / r[j][j];
    }
    let length = dot(&s, &s).sqrt();
    s.iter_mut().for_each(|x| *x /= length);
    s
}
