//! What a search for a learning rate leaves behind, and what it suggests.

use serde::{Deserialize, Serialize};

/// Share of the first loss by which the loss must fall before a rate is suggested.
const FALL: f64 = 0.02;

/// Points that only warm the smoothed loss up: the noise of a few batches is large.
const WARM: usize = 20;

/// A learning-rate range test: the rate rises from step to step, and the loss is watched (L. Smith, *Cyclical Learning Rates for
/// Training Neural Networks*, 2017, section 3.3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateSearch {
    /// Hyperparameters as the command line spells them.
    pub settings: Vec<(String, String)>,
    /// One a step, in order.
    pub points: Vec<RatePoint>,
    /// What came out.
    pub outcome: RateOutcome,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// Learning rate of the step.
    pub lr: f64,
    /// Mean loss of its batch, before the step.
    pub loss: f64,
    /// Mean of the losses so far, the last ones weighing most.
    pub smoothed: f64,
}

/// A learning rate, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RateOutcome {
    /// Where half of the smoothed loss's fall is behind it.
    Suggested {
        /// The rate.
        lr: f64,
    },
    /// The loss was not finite almost from the start.
    NotFinite,
    /// The loss never fell: with these options the model does not learn at any rate that was tried.
    NeverFell,
}

impl RateOutcome {
    /// From the steps, whose losses are finite.
    pub fn of(points: &[RatePoint]) -> Self {
        let Some(first) = points.get(WARM) else {
            return Self::NotFinite;
        };
        let smoothed = |i: usize| points[i].smoothed;
        let lowest = (WARM..points.len()).fold(WARM, |best, i| if smoothed(i) < smoothed(best) { i } else { best });
        if smoothed(lowest) > (1.0 - FALL) * first.smoothed {
            return Self::NeverFell;
        }
        // The steepest place of the curve is where the noise of single batches is steepest; its middle is not.
        let middle = (first.smoothed + smoothed(lowest)) / 2.0;
        let behind = (WARM..=lowest).rev().find(|&i| smoothed(i) >= middle);
        Self::Suggested {
            lr: points[behind.unwrap_or(lowest)].lr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: usize, loss: impl Fn(f64) -> f64) -> Vec<RatePoint> {
        let rate = |i: usize| 1e-5 * 10f64.powf(6.0 * i as f64 / 99.0);
        let point = |i| {
            let (lr, loss) = (rate(i), loss(rate(i)));
            RatePoint {
                lr,
                loss,
                smoothed: loss,
            }
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn the_middle_of_the_fall_is_suggested() {
        // Falls as a logistic curve of log10(lr) with its middle at 0.01, and rises beyond 1.
        let curve = |lr: f64| 2.3 - 1.5 / (1.0 + (-4.0 * (lr.log10() + 2.0)).exp()) + lr * lr;
        let RateOutcome::Suggested { lr } = RateOutcome::of(&points(100, curve)) else {
            panic!("no suggestion");
        };
        assert!((0.007..=0.014).contains(&lr), "{lr}");
    }

    #[test]
    fn without_a_fall_there_is_a_reason() {
        assert_eq!(RateOutcome::of(&points(100, |_| 2.3)), RateOutcome::NeverFell);
        assert_eq!(RateOutcome::of(&points(100, |lr| 2.3 + lr)), RateOutcome::NeverFell);
        assert_eq!(RateOutcome::of(&points(3, |lr| 2.3 - lr)), RateOutcome::NotFinite);
        assert_eq!(RateOutcome::of(&[]), RateOutcome::NotFinite);
    }
}
