//! The tree-structured Parzen estimator, one parameter at a time: the crate `tpe` models the good and the other trials by two
//! densities and takes, of some draws from the first, the one where it is largest over the second.
//!
//! J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for Hyper-Parameter Optimization", NIPS 2011.

use rand::Rng;
use tpe::{TpeOptimizerBuilder, categorical_range, histogram_estimator, parzen_estimator, range};

use super::sampler::Seen;
use super::space::{Parameter, Value};

/// Share of the trials that count as good.
const GOOD: f64 = 0.1;
/// Draws from the density of the good ones.
const CANDIDATES: usize = 24;

/// The trials to learn from.
pub struct Estimates<'a> {
    seen: &'a [Seen<'a>],
    /// Good ones: at most as many as have a loss.
    good: usize,
}

impl<'a> Estimates<'a> {
    /// From trials of which at least one has a loss.
    pub fn of(seen: &'a [Seen<'a>]) -> Self {
        let complete = seen.iter().filter(|seen| seen.loss.is_some()).count();
        let good = (GOOD * seen.len() as f64).ceil() as usize;
        Self {
            seen,
            good: good.min(complete),
        }
    }

    /// A value for this parameter; `None` where the crate has no answer, as for an axis of no width.
    pub fn suggest(&self, parameter: &Parameter, random: &mut impl Rng) -> Option<Value> {
        let domain = &parameter.domain;
        let (low, high) = domain.axis();
        let (estimator, axis) = match domain.count() {
            Some(count) if domain.is_choice() => (histogram_estimator(), categorical_range(count)),
            _ => (parzen_estimator(), range(low, high)),
        };
        // The crate takes ceil(share * trials) as good: half a trial below the wanted number gives just that.
        let share = (self.good as f64 - 0.5) / self.seen.len() as f64;
        let mut builder = TpeOptimizerBuilder::new();
        let mut optimizer = builder
            .gamma(share)
            .candidates(CANDIDATES)
            .build(estimator, axis.ok()?)
            .ok()?;
        for seen in self.seen {
            let value = seen.configuration.get(&parameter.name);
            // NaN is the crate's word for a parameter that was not there.
            let place = value.and_then(|value| domain.place(value)).unwrap_or(f64::NAN);
            // A trial without a loss comes behind all others.
            optimizer.tell(place, seen.loss.unwrap_or(f64::INFINITY)).ok()?;
        }
        let place = optimizer.ask(random).ok()?;
        Some(domain.at(place))
    }
}
