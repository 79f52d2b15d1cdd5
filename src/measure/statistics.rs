//! Order statistics: median, quantiles, and an interval of the median that assumes no shape of the noise.
//!
//! **The interval.** Of `n` independent samples, each lies below the true median with probability 1/2, so the count `B`
//! that does is binomial(n, 1/2), and the k-th smallest and k-th largest sample enclose the median with probability
//! `1 - 2 P(B < k)`. The interval takes the largest `k` that keeps this at 95 percent or more. Timings are skewed and
//! bounded below, which a t interval of the mean would get wrong.
//!
//! A NaN or an infinity never gets a place in an order: it is an error that names the sample.

/// Coverage that every interval aims at.
pub const COVERAGE: f64 = 0.95;

/// Why samples could not be summarised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// There were no samples.
    #[error("no samples")]
    Empty,
    /// A sample was NaN or infinite.
    #[error("sample {0} is not a finite number")]
    NotFinite(usize),
    /// Paired samples of different lengths.
    #[error("{0} samples cannot be paired with {1}")]
    Unpaired(usize, usize),
}

/// An interval of the median.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound, one of the samples.
    pub low: f64,
    /// Upper bound, one of the samples.
    pub high: f64,
    /// Exact probability that it covers the median. Below [`COVERAGE`] for fewer than 6 samples, where even the whole
    /// range covers less.
    pub coverage: f64,
}

/// Finite samples in ascending order; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered(Vec<f64>);

impl Ordered {
    /// Sorts `samples`.
    ///
    /// # Errors
    /// If there are none, or one is NaN or infinite.
    ///
    /// ```
    /// use tilelab::measure::Ordered;
    /// let times = Ordered::new(&[3.0, 1.0, 2.0])?;
    /// assert_eq!((times.min(), times.median()), (1.0, 2.0));
    /// assert!(Ordered::new(&[1.0, f64::NAN]).is_err());
    /// # Ok::<(), tilelab::measure::StatisticsError>(())
    /// ```
    pub fn new(samples: &[f64]) -> Result<Self, StatisticsError> {
        if samples.is_empty() {
            return Err(StatisticsError::Empty);
        }
        if let Some(at) = samples.iter().position(|x| !x.is_finite()) {
            return Err(StatisticsError::NotFinite(at));
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Ok(Self(sorted))
    }

    /// How many samples.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// The middle sample, or the mean of the middle two.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The quantile at `q` in 0..=1, linear between samples (type 7 of Hyndman and Fan 1996, NumPy's default).
    ///
    /// # Panics
    /// If `q` lies outside 0..=1.
    pub fn quantile(&self, q: f64) -> f64 {
        assert!((0.0..=1.0).contains(&q), "quantile {q} is not in 0..=1");
        let place = q * (self.0.len() - 1) as f64;
        let below = place.floor() as usize;
        let above = place.ceil() as usize;
        let share = place - below as f64;
        // Two products and not low + share * (high - low), whose difference can overflow.
        if below == above {
            self.0[below]
        } else {
            self.0[below] * (1.0 - share) + self.0[above] * share
        }
    }

    /// The median's interval from order statistics, at least [`COVERAGE`] wherever 6 samples or more allow it.
    pub fn median_interval(&self) -> Interval {
        let n = self.0.len();
        let (rank, outside) = interval_rank(n);
        Interval {
            low: self.0[rank - 1],
            high: self.0[n - rank],
            coverage: 1.0 - outside,
        }
    }
}

/// Largest rank k (from 1) whose interval [x_(k), x_(n + 1 - k)] covers the median with [`COVERAGE`], and the probability
/// left outside. At least 1, the whole range, even where that covers less.
fn interval_rank(n: usize) -> (usize, f64) {
    // ln P(B = i), by the ratio of neighbours. In logarithms, because 0.5^n underflows above 1074 samples.
    let mut ln_probability = -(n as f64) * std::f64::consts::LN_2;
    let mut below = ln_probability.exp(); // P(B < 1)
    let mut rank = 1;
    for i in 0..n / 2 {
        ln_probability += ((n - i) as f64 / (i + 1) as f64).ln();
        let next = below + ln_probability.exp(); // P(B < i + 2)
        if 2.0 * next > 1.0 - COVERAGE || 2 * (i + 2) > n + 1 {
            break;
        }
        below = next;
        rank = i + 2;
    }
    (rank, (2.0 * below).min(1.0))
}

/// Paired ratios, summarised: `numerator[i] / denominator[i]`, pair by pair, then the median and its interval.
///
/// A pair shares its round, so what slowed both cancels; a ratio of two medians would keep it.
///
/// # Errors
/// If the lengths differ, there are no pairs, or a ratio is not finite (a zero or NaN time).
pub fn paired_ratio(numerator: &[f64], denominator: &[f64]) -> Result<(f64, Interval), StatisticsError> {
    if numerator.len() != denominator.len() {
        return Err(StatisticsError::Unpaired(numerator.len(), denominator.len()));
    }
    let ratios: Vec<f64> = numerator.iter().zip(denominator).map(|(a, b)| a / b).collect();
    let ordered = Ordered::new(&ratios)?;
    Ok((ordered.median(), ordered.median_interval()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn known_values() {
        let odd = Ordered::new(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((odd.min(), odd.median(), odd.max(), odd.count()), (1.0, 3.0, 5.0, 5));
        assert_eq!(odd.quantile(0.25), 2.0);
        assert_eq!(odd.quantile(0.9), 4.6);
        let even = Ordered::new(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(even.median(), 2.5);
        assert_eq!(even.quantile(1.0 / 3.0), 2.0);
        let one = Ordered::new(&[7.0]).unwrap();
        assert_eq!((one.quantile(0.0), one.quantile(1.0)), (7.0, 7.0));
        assert_eq!(
            one.median_interval(),
            Interval {
                low: 7.0,
                high: 7.0,
                coverage: 0.0
            }
        );
    }

    /// Ranks from the tables of the sign test (Conover, Practical Nonparametric Statistics, A3).
    #[test]
    fn ranks_of_the_interval() {
        for (n, rank) in [
            (5, 1),
            (6, 1),
            (8, 1),
            (9, 2),
            (10, 2),
            (20, 6),
            (25, 8),
            (40, 14),
            (50, 18),
            (100, 40),
        ] {
            assert_eq!(interval_rank(n).0, rank, "n = {n}");
        }
        assert!((interval_rank(6).1 - 2.0 / 64.0).abs() < 1e-12);
        assert!((interval_rank(10).1 - 2.0 * 11.0 / 1024.0).abs() < 1e-12);
        assert!(
            (interval_rank(5).1 - 2.0 / 32.0).abs() < 1e-12,
            "five samples cannot reach 95 percent"
        );
        // Beyond the range of 0.5^n; the normal approximation is good there.
        let (rank, outside) = interval_rank(10_000);
        assert!((rank as f64 - (5000.0 - 1.96 * 50.0)).abs() < 2.0, "{rank}");
        assert!(outside <= 0.05 && outside > 0.045, "{outside}");
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        assert_eq!(Ordered::new(&[]), Err(StatisticsError::Empty));
        assert_eq!(Ordered::new(&[1.0, f64::NAN, 2.0]), Err(StatisticsError::NotFinite(1)));
        assert_eq!(Ordered::new(&[f64::INFINITY]), Err(StatisticsError::NotFinite(0)));
        assert_eq!(paired_ratio(&[1.0], &[0.0]), Err(StatisticsError::NotFinite(0)));
        assert_eq!(paired_ratio(&[0.0], &[0.0]), Err(StatisticsError::NotFinite(0)));
        assert_eq!(paired_ratio(&[1.0], &[]), Err(StatisticsError::Unpaired(1, 0)));
    }

    #[test]
    fn the_interval_covers_a_skewed_median_as_often_as_it_says() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for n in [6, 15, 40, 41] {
            let trials = 4000;
            let mut covered = 0;
            let mut promised = 0.0;
            for _ in 0..trials {
                // Exponential noise over a floor, as timings have; the median is the floor + ln 2.
                let samples: Vec<f64> = (0..n).map(|_| 10.0 - (1.0 - rng.random::<f64>()).ln()).collect();
                let interval = Ordered::new(&samples).unwrap().median_interval();
                let median = 10.0 + std::f64::consts::LN_2;
                covered += u32::from(interval.low <= median && median <= interval.high);
                promised = interval.coverage;
            }
            let share = f64::from(covered) / f64::from(trials);
            assert!(promised >= COVERAGE, "n = {n}: {promised}");
            assert!(
                (share - promised).abs() < 0.012,
                "n = {n}: covered {share}, promised {promised}"
            );
        }
    }

    #[test]
    fn a_paired_ratio_cancels_what_slowed_both() {
        let drift: Vec<f64> = (0..40).map(|i| 1.0 + 0.05 * f64::from(i)).collect();
        let slow: Vec<f64> = drift.iter().map(|d| 1.03 * d).collect();
        let (median, interval) = paired_ratio(&slow, &drift).unwrap();
        assert!((median - 1.03).abs() < 1e-12 && interval.high - interval.low < 1e-12);
    }
}
