//! What a trained model says of the rows that it was tested on, class by class.

use serde::{Deserialize, Serialize};

/// The test set, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Names of the classes; their numbers where they have none.
    pub names: Vec<String>,
    /// Rows of label i that the model took for j, at \[i\]\[j\].
    pub confusion: Vec<Vec<u64>>,
    /// One entry a class.
    pub classes: Vec<ClassFigures>,
    /// Mean of the classes' F1, over those that have one.
    pub macro_f1: Option<f64>,
    /// How far the model's shares can be believed; `None` where its outputs are no probabilities.
    pub calibration: Option<Calibration>,
    /// The wrong rows with the largest loss, the worst first.
    pub worst: Vec<Mistaken>,
}

/// How well one class is told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Rows with this label.
    pub rows: u64,
    /// Right ones of those that were taken for it; `None` if none was.
    pub precision: Option<f64>,
    /// Right ones of those that are it; `None` if none is.
    pub recall: Option<f64>,
    /// 2 right / (taken for it + are it); `None` if both are 0.
    pub f1: Option<f64>,
}

/// Confidence beside the share that is right, in bins of equal width (Guo et al., "On calibration of modern neural
/// networks", 2017).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The bins that have rows.
    pub bins: Vec<CalibrationBin>,
    /// Expected calibration error: the mean over all rows of |share that is right - confidence| of their bin.
    pub error: f64,
}

/// Rows of about equal confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// How many.
    pub rows: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of them that is right.
    pub right: f64,
}

/// A row that the model got wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistaken {
    /// Its place in the test set.
    pub row: usize,
    /// What it is.
    pub label: usize,
    /// What it was taken for.
    pub said: usize,
    /// Its loss.
    pub loss: f64,
    /// The model's share for `said`; `None` where its outputs are no probabilities.
    pub confidence: Option<f64>,
    /// How it looks, if it is a picture.
    pub picture: Option<Thumbnail>,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// A PNG file in standard base64.
    pub png: String,
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, place| {
            word << 8 | u32::from(group.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            // n bytes fill n + 1 digits.
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_rfc_4648_does() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
