//! `tilelab train --find-lr`: steps whose learning rate rises, on a trainer that is thrown away behind them.

use super::super::TrainError;
use super::super::train::go_on;
use super::super::{Event, Observer};
use super::Trainer;
use crate::measure::{RateOutcome, RatePoint, RateSearch};
use crate::program::LOSS_SUM;

/// Steps of a search.
pub const RATE_STEPS: usize = 200;

/// The first rate and the last.
const RANGE: (f64, f64) = (1e-6, 10.0);

/// Weight of what was seen before in the smoothed loss.
const MEMORY: f64 = 0.9;

/// The search ends where the smoothed loss is this many times the smallest.
const TOO_LARGE: f64 = 4.0;

impl Trainer<'_> {
    /// Steps with rising rates, from the first weights on. Nothing is saved.
    ///
    /// # Errors
    /// An observer that stops it, or a device that fails.
    pub fn find_rate(mut self, observer: &mut Observer<'_>) -> Result<RateSearch, TrainError> {
        let factor = (RANGE.1 / RANGE.0).powf(1.0 / (RATE_STEPS - 1) as f64);
        let (mut points, mut mean, mut lowest) = (Vec::<RatePoint>::new(), 0.0, f64::INFINITY);
        let mut epoch = 0;
        self.session.metrics()?;
        for step in 0..RATE_STEPS {
            if self.progress.rows == 0 {
                epoch += 1;
                self.shuffle(epoch);
            }
            let from = self.progress.rows;
            let to = self.order.len().min(from + self.batch);
            let lr = RANGE.0 * factor.powi(step as i32);
            self.step_at(from, to, lr)?;
            self.progress.steps += 1;
            self.progress.rows = to % self.order.len();
            let loss = self.session.metrics()?.get(LOSS_SUM) / (to - from) as f64;
            mean = MEMORY * mean + (1.0 - MEMORY) * loss;
            // As if the mean had begun with what it has seen.
            let smoothed = mean / (1.0 - MEMORY.powi(step as i32 + 1));
            // Written so that NaN ends it.
            let goes_on = smoothed <= TOO_LARGE * lowest;
            if smoothed.is_finite() {
                points.push(RatePoint { lr, loss, smoothed });
            }
            if !goes_on {
                break;
            }
            lowest = lowest.min(smoothed);
            go_on(observer(Event::Batch { epoch, rows: to }), epoch, to)?;
        }
        Ok(RateSearch {
            settings: self.options.settings(),
            outcome: RateOutcome::of(&points),
            points,
        })
    }
}
