//! A small random forest for regression, whose trees are lists of boxes: what functional ANOVA integrates over.
//!
//! Each tree is grown on a bootstrap sample; a split halves a number's range at the middle between two samples, or takes one
//! choice from the others, whichever lowers the sum of squares most, until a leaf has one value (L. Breiman, "Random Forests",
//! Machine Learning 45, 2001; all features are tried at each split, as in scikit-learn's `RandomForestRegressor`).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a feature's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Numbers from 0 to 1.
    Number,
    /// Whole numbers below this, at most [`MOST_CHOICES`].
    Choice(usize),
}

/// Choices are bits of a word.
pub const MOST_CHOICES: usize = 64;

/// What a box covers of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Side {
    /// From, to.
    Range(f64, f64),
    /// Bits of the choices, and how many there are in all.
    Choices(u64, usize),
}

impl Side {
    fn whole(feature: Feature) -> Self {
        match feature {
            Feature::Number => Self::Range(0.0, 1.0),
            Feature::Choice(count) => Self::Choices(u64::MAX >> (MOST_CHOICES - count), count),
        }
    }

    /// Its share of the feature, 0 to 1.
    pub fn share(self) -> f64 {
        match self {
            Self::Range(low, high) => high - low,
            Self::Choices(bits, count) => f64::from(bits.count_ones()) / count as f64,
        }
    }

    /// Whether it covers a value. The end of a range belongs to the next one.
    pub fn covers(self, value: f64) -> bool {
        match self {
            Self::Range(low, high) => value >= low && (value < high || high == 1.0),
            Self::Choices(bits, _) => bits >> (value as u32) & 1 == 1,
        }
    }
}

/// A box and the forest's value in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// What it covers of each feature.
    pub sides: Vec<Side>,
    /// Mean of its samples.
    pub value: f64,
}

/// One tree: its leaves fill the space.
pub type Tree = Vec<Leaf>;

/// Trees on `rows` of features and their values.
pub fn grow(features: &[Feature], rows: &[Vec<f64>], values: &[f64], trees: usize) -> Vec<Tree> {
    let grown = |number: usize| {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let sample: Vec<usize> = rows.iter().map(|_| random.random_range(0..rows.len())).collect();
        let mut tree = Tree::new();
        let sides = features.iter().map(|&feature| Side::whole(feature)).collect();
        split(rows, values, (sample, sides), &mut tree);
        tree
    };
    if rows.is_empty() {
        Vec::new()
    } else {
        (0..trees).map(grown).collect()
    }
}

/// A split of a box: the feature, and what its lower part covers.
struct Cut {
    feature: usize,
    parts: (Side, Side),
    /// Sum of squares that it takes away.
    gain: f64,
}

fn split(rows: &[Vec<f64>], values: &[f64], (sample, sides): (Vec<usize>, Vec<Side>), tree: &mut Tree) {
    let mean = sample.iter().map(|&row| values[row]).sum::<f64>() / sample.len() as f64;
    let cuts = (0..sides.len()).filter_map(|feature| best_cut(rows, values, (&sample, sides[feature]), feature));
    let best = cuts.reduce(|best, cut| if cut.gain > best.gain { cut } else { best });
    let Some(cut) = best.filter(|cut| cut.gain > 1e-12 * (1.0 + mean * mean)) else {
        tree.push(Leaf { sides, value: mean });
        return;
    };
    for part in [cut.parts.0, cut.parts.1] {
        let inside = sample
            .iter()
            .copied()
            .filter(|&row| part.covers(rows[row][cut.feature]));
        let mut sides = sides.clone();
        sides[cut.feature] = part;
        split(rows, values, (inside.collect(), sides), tree);
    }
}

/// The best split of a box along one feature; `None` where its samples agree on it.
fn best_cut(rows: &[Vec<f64>], values: &[f64], (sample, side): (&[usize], Side), feature: usize) -> Option<Cut> {
    let mut pairs: Vec<(f64, f64)> = sample.iter().map(|&row| (rows[row][feature], values[row])).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (count, sum) = (pairs.len() as f64, pairs.iter().map(|pair| pair.1).sum::<f64>());
    // Splitting n into a and b takes a b / n (mean a - mean b)^2 from the sum of squares.
    let gain = |inside: f64, its_sum: f64| {
        let (a, b) = (its_sum / inside, (sum - its_sum) / (count - inside));
        inside * (count - inside) / count * (a - b) * (a - b)
    };
    let mut best: Option<Cut> = None;
    let mut take = |gain: f64, parts: (Side, Side)| {
        if best.as_ref().is_none_or(|best| gain > best.gain) {
            best = Some(Cut { feature, parts, gain });
        }
    };
    let (mut inside, mut its_sum) = (0.0, 0.0);
    for (i, &(x, value)) in pairs.iter().enumerate() {
        let next = pairs.get(i + 1).map(|pair| pair.0);
        (inside, its_sum) = (inside + 1.0, its_sum + value);
        if next == Some(x) {
            continue;
        }
        match side {
            Side::Range(low, high) => {
                if let Some(next) = next {
                    let middle = f64::midpoint(x, next);
                    take(
                        gain(inside, its_sum),
                        (Side::Range(low, middle), Side::Range(middle, high)),
                    );
                }
            }
            Side::Choices(bits, all) => {
                if inside < count {
                    let one = 1 << (x as u32);
                    let parts = (Side::Choices(one, all), Side::Choices(bits & !one, all));
                    take(gain(inside, its_sum), parts);
                }
                (inside, its_sum) = (0.0, 0.0);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_fill_the_space_and_hold_their_samples() {
        let features = [Feature::Number, Feature::Choice(3)];
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let rows: Vec<Vec<f64>> = (0..40)
            .map(|_| vec![random.random(), f64::from(random.random_range(0..3))])
            .collect();
        let values: Vec<f64> = rows.iter().map(|row| row[0] * 2.0 + f64::from(row[1] == 1.0)).collect();
        for tree in grow(&features, &rows, &values, 8) {
            let volume: f64 = tree
                .iter()
                .map(|leaf| leaf.sides.iter().map(|side| side.share()).product::<f64>())
                .sum();
            assert!((volume - 1.0).abs() < 1e-12, "{volume}");
            let mut error = 0.0;
            for (row, value) in rows.iter().zip(&values) {
                let inside = |leaf: &&Leaf| leaf.sides.iter().zip(row).all(|(side, &x)| side.covers(x));
                let leaves: Vec<_> = tree.iter().filter(inside).collect();
                assert_eq!(leaves.len(), 1, "every point lies in one leaf");
                error += (leaves[0].value - value).abs() / rows.len() as f64;
            }
            // A third of the samples were not in the bootstrap.
            assert!(error < 0.2, "{error}");
        }
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let rows: Vec<Vec<f64>> = (0..100).map(|i| vec![f64::from(i) / 100.0]).collect();
        let values: Vec<f64> = rows.iter().map(|row| if row[0] < 0.3 { 0.0 } else { 1.0 }).collect();
        for tree in grow(&[Feature::Number], &rows, &values, 4) {
            let [left, right] = &tree[..] else {
                panic!("{} leaves", tree.len())
            };
            let Side::Range(_, cut) = left.sides[0] else { panic!() };
            assert!(
                (cut - 0.3).abs() < 0.06 && left.value == 0.0 && right.value == 1.0,
                "{cut}"
            );
        }
    }
}
