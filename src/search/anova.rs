//! Which parameters made the difference: functional ANOVA over a random forest.
//!
//! The variance of a function over the whole space is the sum of what each parameter does alone, V_p = Var(E[f | x_p]), what
//! pairs do beyond their two, V_pq = Var(E[f | x_p, x_q]) - V_p - V_q, and so on. Where pairs hold much of it, tuning one
//! parameter after the other does not find the best: that is why several hyperparameters are harder than one. For a tree the
//! integrals are sums over its boxes, and exact.
//!
//! F. Hutter, H. Hoos, K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.

use super::forest::{Feature, Leaf, MOST_CHOICES, Side, Tree, grow};
use super::space::{Domain, Parameter, Space};
use super::trial::Trial;

/// Trees of the forest, as many as Optuna's.
const TREES: usize = 64;
/// Fewer complete trials say nothing.
pub const FEWEST: usize = 4;
/// Places along a number in a contour.
const PLACES: usize = 16;

/// What the complete trials of a study say about its parameters.
pub struct Anova {
    parameters: Vec<Parameter>,
    features: Vec<Feature>,
    trees: Vec<Tree>,
}

/// Two parameters and the forest's mean over all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Contour {
    /// The places along each: on the axis, 0 to 1, or the number of a choice.
    pub places: [Vec<f64>; 2],
    /// One row for each place of the second, one number for each place of the first.
    pub values: Vec<Vec<f64>>,
}

/// The place of a value on its axis, 0 to 1, or the number of its choice.
fn place(parameter: &Parameter, trial: &Trial) -> Option<f64> {
    let place = parameter.domain.place(trial.configuration.get(&parameter.name)?)?;
    let (low, high) = parameter.domain.axis();
    Some(match parameter.domain {
        Domain::Choice(_) => place.floor(),
        _ => (place - low) / (high - low),
    })
}

impl Anova {
    /// Of the parameters that every complete trial has and that have more than one value. `None` where there are too few trials, or nothing
    /// differs.
    pub fn of(space: &Space, trials: &[Trial]) -> Option<Self> {
        let complete: Vec<(&Trial, f64)> = trials
            .iter()
            .filter_map(|trial| Some((trial, trial.result()?)))
            .collect();
        let usable = |parameter: &&Parameter| {
            let count = parameter.domain.count();
            let fits = count != Some(1) && !(parameter.domain.is_choice() && count > Some(MOST_CHOICES));
            fits && complete.iter().all(|(trial, _)| place(parameter, trial).is_some())
        };
        let parameters: Vec<Parameter> = space.parameters().iter().filter(usable).cloned().collect();
        if complete.len() < FEWEST || parameters.is_empty() {
            return None;
        }
        let feature = |parameter: &Parameter| match (&parameter.domain, parameter.domain.count()) {
            (Domain::Choice(_), Some(count)) => Feature::Choice(count),
            _ => Feature::Number,
        };
        let features: Vec<Feature> = parameters.iter().map(feature).collect();
        let row = |trial: &Trial| {
            parameters
                .iter()
                .filter_map(|parameter| place(parameter, trial))
                .collect()
        };
        let rows: Vec<Vec<f64>> = complete.iter().map(|(trial, _)| row(trial)).collect();
        let values: Vec<f64> = complete.iter().map(|&(_, value)| value).collect();
        let mut trees = grow(&features, &rows, &values, TREES);
        trees.retain(|tree| tree.len() > 1);
        (!trees.is_empty()).then_some(Self {
            parameters,
            features,
            trees,
        })
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Share of the variance that each parameter explains alone.
    pub fn alone(&self) -> Vec<f64> {
        let each = 0..self.features.len();
        each.map(|p| self.mean_over_trees(|tree| explained(tree, &self.features, &[p])))
            .collect()
    }

    /// Share of the variance that two explain together, beyond what each does alone.
    pub fn together(&self, p: usize, q: usize) -> f64 {
        self.mean_over_trees(|tree| {
            let alone = |p| explained(tree, &self.features, &[p]);
            explained(tree, &self.features, &[p, q]) - alone(p) - alone(q)
        })
        .max(0.0)
    }

    fn mean_over_trees(&self, share: impl Fn(&Tree) -> f64) -> f64 {
        self.trees.iter().map(share).sum::<f64>() / self.trees.len() as f64
    }

    /// The forest's mean over all but two parameters.
    pub fn contour(&self, p: usize, q: usize) -> Contour {
        let places = |p: usize| -> Vec<f64> {
            match self.features[p] {
                Feature::Choice(count) => (0..count).map(|i| i as f64).collect(),
                Feature::Number => {
                    let count = self.parameters[p]
                        .domain
                        .count()
                        .map_or(PLACES, |count| count.min(PLACES));
                    (0..count).map(|i| (i as f64 + 0.5) / count as f64).collect()
                }
            }
        };
        let (first, second) = (places(p), places(q));
        let at = |x: f64, y: f64| self.mean_over_trees(|tree| marginal(tree, &[p, q], &[x, y]));
        let values = second
            .iter()
            .map(|&y| first.iter().map(|&x| at(x, y)).collect())
            .collect();
        Contour {
            places: [first, second],
            values,
        }
    }
}

fn volume(leaf: &Leaf) -> f64 {
    leaf.sides.iter().map(|side| side.share()).product()
}

/// The tree's mean over all features but those of `fixed`, which are at `places`.
fn marginal(tree: &Tree, fixed: &[usize], places: &[f64]) -> f64 {
    let covers = |leaf: &&Leaf| fixed.iter().zip(places).all(|(&p, &x)| leaf.sides[p].covers(x));
    let share = |leaf: &Leaf| fixed.iter().map(|&p| leaf.sides[p].share()).product::<f64>();
    tree.iter()
        .filter(covers)
        .map(|leaf| leaf.value * volume(leaf) / share(leaf))
        .sum()
}

/// Pieces of a feature within which the tree does not change: a place in each, and its share.
fn pieces(tree: &Tree, feature: Feature, p: usize) -> Vec<(f64, f64)> {
    match feature {
        Feature::Choice(count) => (0..count).map(|choice| (choice as f64, 1.0 / count as f64)).collect(),
        Feature::Number => {
            let ends = tree.iter().map(|leaf| match leaf.sides[p] {
                Side::Range(low, _) => low,
                Side::Choices(..) => 0.0,
            });
            let mut ends: Vec<f64> = ends.chain([1.0]).collect();
            ends.sort_by(f64::total_cmp);
            ends.dedup();
            ends.windows(2).map(|ends| (ends[0], ends[1] - ends[0])).collect()
        }
    }
}

/// Var(E[f | these features]) over Var(f), of one tree.
fn explained(tree: &Tree, features: &[Feature], fixed: &[usize]) -> f64 {
    let mean: f64 = tree.iter().map(|leaf| leaf.value * volume(leaf)).sum();
    let variance: f64 = tree.iter().map(|leaf| (leaf.value - mean).powi(2) * volume(leaf)).sum();
    let mut cells: Vec<(Vec<f64>, f64)> = vec![(Vec::new(), 1.0)];
    for &p in fixed {
        let pieces = pieces(tree, features[p], p);
        let grown = cells.iter().flat_map(|(places, share)| {
            pieces
                .iter()
                .map(move |&(place, size)| ([&places[..], &[place]].concat(), share * size))
        });
        cells = grown.collect();
    }
    let deviation = |(places, share): &(Vec<f64>, f64)| (marginal(tree, fixed, places) - mean).powi(2) * share;
    cells.iter().map(deviation).sum::<f64>() / variance
}

#[cfg(test)]
mod tests {
    use super::super::sampler::Sampler;
    use super::super::space::{Configuration, Value};
    use super::super::trial::State;
    use super::*;

    fn space() -> Space {
        let float = |name: &str| Parameter {
            name: name.into(),
            domain: Domain::Float {
                low: 0.0,
                high: 1.0,
                log: false,
                step: None,
            },
            when: None,
        };
        let choice = Domain::Choice(["a", "b", "c"].map(|name| Value::Text(name.into())).into());
        Space::new(vec![
            float("x"),
            float("y"),
            Parameter {
                name: "z".into(),
                domain: choice,
                when: None,
            },
        ])
        .unwrap()
    }

    fn anova(value: impl Fn(f64, f64, &str) -> f64) -> Anova {
        let space = space();
        let trials = (0..300).map(|number| {
            let asked = super::super::Asked {
                trial: number,
                suggested: number,
                fixed: &Configuration::new(),
                seen: &[],
            };
            let configuration = Sampler::Random.suggest(&space, None, 1, asked).unwrap();
            let float = |name: &str| configuration[name].number().unwrap();
            let mut trial = Trial::new(number, State::Complete);
            trial.value = Some(value(float("x"), float("y"), &configuration["z"].to_string()));
            trial.configuration = configuration;
            trial
        });
        Anova::of(&space, &trials.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn shares_are_those_of_functions_with_known_ones() {
        // Var(x) = 1/12, Var(2 y) = 4/12.
        let anova = anova(|x, y, _| x + 2.0 * y);
        let alone = anova.alone();
        for (share, known) in alone.iter().zip([0.2, 0.8, 0.0]) {
            assert!((share - known).abs() < 0.05, "{alone:?}");
        }
        assert!(anova.together(0, 1) < 0.05);
    }

    #[test]
    fn what_only_a_pair_explains_is_the_pairs() {
        // sign(x - 1/2) sign(y - 1/2) has no mean along either.
        let anova = anova(|x, y, _| (x - 0.5).signum() * (y - 0.5).signum());
        let alone = anova.alone();
        assert!(alone.iter().all(|share| *share < 0.15), "{alone:?}");
        assert!(anova.together(0, 1) > 0.6, "{}", anova.together(0, 1));
        let contour = anova.contour(0, 1);
        let corner = |x: usize, y: usize| contour.values[y][x];
        assert!(corner(0, 0) > 0.5 && corner(15, 15) > 0.5 && corner(0, 15) < -0.5 && corner(15, 0) < -0.5);
    }

    #[test]
    fn a_choice_counts_as_one() {
        let anova = anova(|x, _, z| 0.1 * x + f64::from(z == "b"));
        let alone = anova.alone();
        assert!(alone[2] > 0.9 && alone[0] < 0.05, "{alone:?}");
        assert_eq!(anova.contour(2, 0).places[0], [0.0, 1.0, 2.0]);
    }
}
