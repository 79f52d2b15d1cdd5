//! What a trained model says of a test set, from its logits: confusion, precision and recall, calibration, the worst mistakes.

use super::Loss;
use crate::data::fashion_mnist::CLASSES;
use crate::data::png::{Grey, encode};
use crate::data::{Dataset, Values};
use crate::measure::{Calibration, CalibrationBin, ClassFigures, Classification, Mistaken, Thumbnail, base64};

/// Bins of the reliability curve, as Guo et al. have them.
const BINS: usize = 15;
/// Mistakes that are kept to look at.
const WORST: usize = 24;

/// One row's verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Said {
    class: usize,
    confidence: Option<f64>,
    loss: f64,
}

/// Judges a test set, batch by batch.
#[derive(Debug)]
pub(super) struct Classifier {
    loss: Loss,
    classes: usize,
    said: Vec<Said>,
}

impl Classifier {
    /// For a model of `outputs` units.
    pub(super) fn new(loss: Loss, outputs: usize, data: &Dataset) -> Self {
        let labels = data.test.labels.iter().map(|&label| usize::from(label) + 1);
        Self {
            loss,
            // One output tells two classes apart.
            classes: labels.fold(outputs.max(2), usize::max),
            said: Vec::with_capacity(data.test.rows),
        }
    }

    /// The next rows of the set: their logits, row-major, and their labels.
    pub(super) fn add(&mut self, logits: &[f64], labels: &[u8]) {
        let outputs = logits.len() / labels.len().max(1);
        let rows = logits.chunks_exact(outputs.max(1)).zip(labels);
        let loss = self.loss;
        self.said
            .extend(rows.map(|(row, &label)| said(loss, row, usize::from(label))));
    }

    /// The verdict on all rows.
    pub(super) fn finish(self, data: &Dataset) -> Classification {
        let labels = || data.test.labels.iter().map(|&label| usize::from(label));
        let mut confusion = vec![vec![0u64; self.classes]; self.classes];
        for (said, label) in self.said.iter().zip(labels()) {
            confusion[label][said.class] += 1;
        }
        let classes: Vec<ClassFigures> = (0..self.classes).map(|class| figures(&confusion, class)).collect();
        let f1: Vec<f64> = classes.iter().filter_map(|class| class.f1).collect();
        let named = (data.name == "Fashion-MNIST").then_some(&CLASSES);
        let name = |class: usize| named.and_then(|names| names.get(class)).map(|name| (*name).to_owned());
        Classification {
            names: (0..self.classes)
                .map(|class| name(class).unwrap_or_else(|| class.to_string()))
                .collect(),
            confusion,
            classes,
            macro_f1: (!f1.is_empty()).then(|| f1.iter().sum::<f64>() / f1.len() as f64),
            calibration: calibration(self.said.iter().zip(labels())),
            worst: worst(&self.said, data),
        }
    }
}

/// What the logits of one row say. The first of equals wins, as where the accuracy is counted.
fn said(loss: Loss, logits: &[f64], label: usize) -> Said {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = logits.iter().position(|&x| x >= largest).unwrap_or(0);
    // log(1 + e^x) without overflow: -log sigmoid(-x).
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let sigmoid = |x: f64| (-softplus(-x)).exp();
    let target = |j: usize| f64::from(u8::from(if logits.len() == 1 { label == 1 } else { label == j }));
    let mean = |of: &dyn Fn(usize, f64) -> f64| {
        logits.iter().enumerate().map(|(j, &x)| of(j, x)).sum::<f64>() / logits.len() as f64
    };
    match loss {
        Loss::CrossEntropy { .. } => {
            let sum: f64 = logits.iter().map(|x| (x - largest).exp()).sum();
            Said {
                class: first,
                confidence: Some(1.0 / sum),
                loss: largest + sum.ln() - logits.get(label).copied().unwrap_or(f64::NEG_INFINITY),
            }
        }
        Loss::BinaryCrossEntropy => {
            let class = if logits.len() == 1 {
                usize::from(logits[0] > 0.0)
            } else {
                first
            };
            let share = sigmoid(largest);
            Said {
                class,
                confidence: Some(if logits.len() == 1 {
                    share.max(1.0 - share)
                } else {
                    share
                }),
                loss: mean(&|j, x| softplus(x) - target(j) * x),
            }
        }
        Loss::SquaredError => {
            let number = |j| if logits.len() == 1 { label as f64 } else { target(j) };
            Said {
                class: if logits.len() == 1 {
                    usize::from(logits[0] > 0.5)
                } else {
                    first
                },
                confidence: None,
                loss: mean(&|j, x| (x - number(j)).powi(2)),
            }
        }
    }
}

fn figures(confusion: &[Vec<u64>], class: usize) -> ClassFigures {
    let right = confusion[class][class];
    let rows: u64 = confusion[class].iter().sum();
    let taken: u64 = confusion.iter().map(|row| row[class]).sum();
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    ClassFigures {
        rows,
        precision: share(right, taken),
        recall: share(right, rows),
        f1: share(2 * right, rows + taken),
    }
}

fn calibration<'a>(rows: impl Iterator<Item = (&'a Said, usize)>) -> Option<Calibration> {
    let mut sums = [(0u64, 0.0, 0u64); BINS];
    for (said, label) in rows {
        let confidence = said.confidence?;
        // The last bin holds 1; what is no number falls into the first.
        let bin = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + u64::from(said.class == label));
    }
    let full = sums.iter().filter(|(rows, ..)| *rows > 0);
    let bins: Vec<CalibrationBin> = full
        .map(|&(rows, confidence, right)| CalibrationBin {
            rows,
            confidence: confidence / rows as f64,
            right: right as f64 / rows as f64,
        })
        .collect();
    let all: u64 = bins.iter().map(|bin| bin.rows).sum();
    let gap = |bin: &CalibrationBin| bin.rows as f64 * (bin.right - bin.confidence).abs();
    let error = bins.iter().map(gap).sum::<f64>() / all as f64;
    (all > 0).then_some(Calibration { bins, error })
}

fn worst(said: &[Said], data: &Dataset) -> Vec<Mistaken> {
    let label = |row: usize| usize::from(data.test.labels[row]);
    let mut wrong: Vec<usize> = (0..said.len()).filter(|&row| said[row].class != label(row)).collect();
    // Equals stay in the order of the set.
    wrong.sort_by(|&a, &b| said[b].loss.total_cmp(&said[a].loss));
    wrong.truncate(WORST);
    let mistaken = wrong.into_iter().map(|row| Mistaken {
        row,
        label: label(row),
        said: said[row].class,
        loss: said[row].loss,
        confidence: said[row].confidence,
        picture: picture(data, row),
    });
    mistaken.collect()
}

/// A row of pixels as a picture; none where a row is no picture.
fn picture(data: &Dataset, row: usize) -> Option<Thumbnail> {
    let (height, width) = data.shape;
    let pictured = matches!(data.test.values, Values::Bytes(_)) && height > 1 && width > 1;
    if !pictured || height * width != data.test.columns {
        return None;
    }
    let size = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let pixels = data.test.image(row).to_vec();
    let png = encode(&Grey { size, pixels }).ok()?;
    Some(Thumbnail {
        width: size.0,
        height: size.1,
        png: base64(&png),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Source, Split};

    fn data(labels: &[u8]) -> Dataset {
        let split = Split {
            values: Values::Bytes((0..labels.len() * 4).map(|i| i as u8).collect()),
            rows: labels.len(),
            columns: 4,
            labels: labels.to_vec(),
        };
        Dataset {
            name: "four pixels".to_owned(),
            source: Source::Drawn,
            shape: (2, 2),
            classes: 3,
            train: split.clone(),
            test: split,
        }
    }

    /// By hand: logits are logs of shares.
    #[test]
    fn shares_that_are_known_give_figures_that_are_known() {
        let data = data(&[0, 0, 1, 2]);
        let mut classifier = Classifier::new(Loss::default(), 3, &data);
        let ln = |shares: [f64; 3]| shares.map(f64::ln);
        classifier.add(&[ln([0.8, 0.1, 0.1]), ln([0.2, 0.7, 0.1])].concat(), &[0, 0]);
        classifier.add(&[ln([0.1, 0.8, 0.1]), ln([0.3, 0.6, 0.1])].concat(), &[1, 2]);
        let found = classifier.finish(&data);
        assert_eq!(found.confusion, [[1, 1, 0], [0, 1, 0], [0, 1, 0]]);
        let one = found.classes[1];
        assert_eq!((one.rows, one.recall), (1, Some(1.0)));
        assert!((one.precision.unwrap() - 1.0 / 3.0).abs() < 1e-15 && one.f1 == Some(0.5));
        assert_eq!((found.classes[2].precision, found.classes[2].f1), (None, Some(0.0)));
        // (2 * |1 - 0.8| + |0 - 0.7| + |0 - 0.6|) / 4, the bins being 1/15 wide.
        let calibration = found.calibration.unwrap();
        assert!((calibration.error - 1.7 / 4.0).abs() < 1e-12, "{calibration:?}");
        assert_eq!(
            calibration.bins.iter().map(|bin| bin.rows).collect::<Vec<_>>(),
            [1, 1, 2]
        );
        let rows: Vec<_> = found
            .worst
            .iter()
            .map(|mistaken| (mistaken.row, mistaken.said))
            .collect();
        assert_eq!(rows, [(3, 1), (1, 1)], "-ln 0.1 is worse than -ln 0.2");
        assert!((found.worst[0].loss - -(0.1f64.ln())).abs() < 1e-12);
        let picture = found.worst[1].picture.as_ref().unwrap();
        assert!((picture.width, picture.height) == (2, 2) && picture.png.starts_with("iVBORw0KGgo"));
    }

    #[test]
    fn one_output_tells_two_classes_apart() {
        let data = data(&[0, 1, 1, 0]);
        let mut classifier = Classifier::new(Loss::BinaryCrossEntropy, 1, &data);
        classifier.add(&[-2.0, 2.0, -1.0, 800.0], &[0, 1, 1, 0]);
        let found = classifier.finish(&data);
        assert_eq!(found.confusion, [[1, 1], [1, 1]]);
        assert_eq!((found.worst[0].row, found.worst[0].loss), (3, 800.0));
        assert!((found.worst[1].confidence.unwrap() - 1.0 / (1.0 + (-1.0f64).exp())).abs() < 1e-12);
        let mut numbers = Classifier::new(Loss::SquaredError, 1, &data);
        numbers.add(&[0.4, 0.6, 0.5, 2.0], &[0, 1, 1, 0]);
        let found = numbers.finish(&data);
        assert_eq!((found.calibration, found.worst[0].loss), (None, 4.0));
    }
}
