//! The figures that the notebook printed: `assets/notebook/results.json`, one run each.

use std::sync::OnceLock;

use serde_json::Value;

/// Its figures as they lie in the file.
fn figures() -> &'static Value {
    static FIGURES: OnceLock<Value> = OnceLock::new();
    FIGURES
        .get_or_init(|| serde_json::from_str(include_str!("../../assets/notebook/results.json")).unwrap_or(Value::Null))
}

/// The figure at this JSON pointer, such as `/batch_norm/eps`; NaN where there is none, which no check passes.
pub fn figure(pointer: &str) -> f64 {
    figures().pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// A table of epochs: train loss, test loss, train accuracy, test accuracy.
pub type Epochs = Vec<[f64; 4]>;

/// The epochs at this pointer, such as `/mlp_from_scratch` or `/depth/0`.
pub fn epochs(pointer: &str) -> Epochs {
    let rows = figures().pointer(pointer).and_then(|run| run["epochs"].as_array());
    let row = |row: &Value| [0, 1, 2, 3].map(|at| row[at].as_f64().unwrap_or(f64::NAN));
    rows.map_or(Vec::new(), |rows| rows.iter().map(row).collect())
}

/// The layer widths at this pointer.
pub fn layers(pointer: &str) -> Vec<usize> {
    let widths = figures().pointer(pointer).and_then(|run| run["layers"].as_array());
    let width = |width: &Value| width.as_u64().unwrap_or(0) as usize;
    widths.map_or(Vec::new(), |widths| widths.iter().map(width).collect())
}

/// How many entries the list at this pointer has.
pub fn count(pointer: &str) -> usize {
    figures().pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_experiments_read() {
        assert_eq!(epochs("/mlp_from_scratch").len(), 10);
        assert_eq!(epochs("/mlp_from_scratch")[0], [1.0427, 0.6936, 0.763, 0.7563]);
        assert_eq!(count("/hidden_units"), 8);
        assert_eq!(layers("/depth/2"), [784, 512, 256, 128, 64, 10]);
        assert_eq!(
            (count("/learning_rate_10_epochs"), count("/learning_rate_20_epochs")),
            (6, 6)
        );
        assert_eq!(figure("/sigmoid_derivative/0"), 0.25);
        assert!(figure("/no/such").is_nan() && epochs("/no").is_empty());
    }
}
