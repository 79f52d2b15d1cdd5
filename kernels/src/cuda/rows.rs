//! Launches of `kernels/cuda/rows.cu`: loading a batch, bias, dropout, targets and their losses, the largest column, sums.

use super::call::{aligned, length, size};
use super::{Call, CallError, Slice, geometry};
use crate::Dropout;

/// Rows and columns of an array without gaps, as kernels count them.
pub(super) fn shape<T>(
    kernel: &'static str,
    operand: &'static str,
    data: Slice<T>,
    (rows, cols): (usize, usize),
) -> Result<(u32, u32), CallError> {
    length(kernel, operand, data, rows.saturating_mul(cols))?;
    Ok((size(kernel, "rows", rows)?, size(kernel, "columns", cols)?))
}

/// Where rows come from: those of these indices, or the first ones in their order.
fn indices(kernel: &'static str, indices: Option<Slice<u32>>, rows: usize) -> Result<Slice<u32>, CallError> {
    match indices {
        Some(indices) => length(kernel, "indices", indices, rows).map(|()| indices),
        None => Ok(Slice::none()),
    }
}

/// out (rows x cols) = scale * the rows `which` of bytes. The caller knows that every index is a row of `bytes`.
///
/// # Errors
/// Lengths that do not fit, or arrays off 16 bytes.
pub fn gather_bytes(
    bytes: Slice<u8>,
    which: Option<Slice<u32>>,
    scale: f32,
    out: Slice<f32>,
    rows_cols: (usize, usize),
) -> Result<Call, CallError> {
    const KERNEL: &str = "gather_bytes";
    let (rows, cols) = shape(KERNEL, "out", out, rows_cols)?;
    aligned(KERNEL, "bytes", bytes)?;
    aligned(KERNEL, "out", out)?;
    let which = indices(KERNEL, which, rows_cols.0)?;
    let reads = if cols % 4 == 0 { cols / 4 } else { cols };
    let (blocks, threads) = geometry::by_row(rows, reads);
    let args = vec![
        rows.into(),
        cols.into(),
        bytes.into(),
        which.into(),
        scale.into(),
        out.into(),
    ];
    Call::new(KERNEL, blocks, threads, args)
}

/// The same of real numbers, taken as they are.
///
/// # Errors
/// Lengths that do not fit.
pub fn gather_reals(
    values: Slice<f32>,
    which: Option<Slice<u32>>,
    out: Slice<f32>,
    rows_cols: (usize, usize),
) -> Result<Call, CallError> {
    const KERNEL: &str = "gather_reals";
    let (rows, cols) = shape(KERNEL, "out", out, rows_cols)?;
    let which = indices(KERNEL, which, rows_cols.0)?;
    let (blocks, threads) = geometry::by_row(rows, cols);
    let args = vec![rows.into(), cols.into(), values.into(), which.into(), out.into()];
    Call::new(KERNEL, blocks, threads, args)
}

/// out = the labels `which`.
///
/// # Errors
/// Lengths that do not fit.
pub fn gather_labels(labels: Slice<u8>, which: Option<Slice<u32>>, out: Slice<u8>) -> Result<Call, CallError> {
    const KERNEL: &str = "gather_labels";
    let rows = size(KERNEL, "rows", out.len())?;
    let which = indices(KERNEL, which, out.len())?;
    let args = vec![rows.into(), labels.into(), which.into(), out.into()];
    Call::new(KERNEL, geometry::elements(rows.into(), 1), 256, args)
}

/// out (a row a label): one-hot rows; a single column is the label itself.
///
/// # Errors
/// Lengths that do not fit.
pub fn targets(labels: Slice<u8>, out: Slice<f32>, cols: usize) -> Result<Call, CallError> {
    const KERNEL: &str = "targets";
    let (rows, cols) = shape(KERNEL, "out", out, (labels.len(), cols))?;
    let (blocks, threads) = geometry::by_row(rows, cols);
    Call::new(
        KERNEL,
        blocks,
        threads,
        vec![rows.into(), cols.into(), labels.into(), out.into()],
    )
}

/// x\[i, j\] += bias\[j\].
///
/// # Errors
/// A length that is no multiple of the bias'.
pub fn add_bias(bias: Slice<f32>, x: Slice<f32>) -> Result<Call, CallError> {
    const KERNEL: &str = "add_bias";
    let cols = bias.len();
    let (rows, cols) = shape(KERNEL, "x", x, (x.len().checked_div(cols).unwrap_or(0), cols))?;
    let (blocks, threads) = geometry::by_row(rows, cols);
    Call::new(
        KERNEL,
        blocks,
        threads,
        vec![rows.into(), cols.into(), bias.into(), x.into()],
    )
}

/// out = x where kept, divided by the probability of that, else 0. `key` is [`Dropout::key_words`] in device memory.
///
/// # Errors
/// Lengths that do not fit.
pub fn dropout(
    probability: f64,
    key: Slice<u64>,
    x: Slice<f32>,
    out: Slice<f32>,
    rows_cols: (usize, usize),
) -> Result<Call, CallError> {
    const KERNEL: &str = "dropout";
    length(KERNEL, "key", key, 2)?;
    let (rows, cols) = shape(KERNEL, "x", x, rows_cols)?;
    shape(KERNEL, "out", out, rows_cols)?;
    let dropout = Dropout {
        probability,
        seed: 0,
        step: 0,
        layer: 0,
        first_row: 0,
    };
    let (threshold, factor) = (dropout.threshold(), (1.0 / (1.0 - probability)) as f32);
    let (blocks, threads) = geometry::by_row(rows, cols);
    let args = vec![
        rows.into(),
        cols.into(),
        key.into(),
        threshold.into(),
        factor.into(),
        x.into(),
        out.into(),
    ];
    Call::new(KERNEL, blocks, threads, args)
}

/// A loss against targets that are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetLoss {
    /// (output - target)^2
    SquaredError,
    /// Binary cross-entropy of logits.
    BinaryCrossEntropy,
}

/// losses = the mean of a loss over each row, and gradient = scale / columns times its derivative.
///
/// # Errors
/// Lengths that do not fit.
pub fn target_loss(
    loss: TargetLoss,
    outputs: Slice<f32>,
    targets: Slice<f32>,
    losses: Slice<f32>,
    gradient: Option<(Slice<f32>, Slice<f32>)>,
) -> Result<Call, CallError> {
    const KERNEL: &str = "target_loss";
    let rows_cols = (losses.len(), outputs.len().checked_div(losses.len()).unwrap_or(0));
    let (rows, cols) = shape(KERNEL, "outputs", outputs, rows_cols)?;
    shape(KERNEL, "targets", targets, rows_cols)?;
    let (scale, into) = gradient.unwrap_or((Slice::none(), Slice::none()));
    if gradient.is_some() {
        length(KERNEL, "scale", scale, 1)?;
        shape(KERNEL, "gradient", into, rows_cols)?;
    }
    let loss = match loss {
        TargetLoss::SquaredError => 0u32,
        TargetLoss::BinaryCrossEntropy => 1,
    };
    let args = vec![
        rows.into(),
        cols.into(),
        loss.into(),
        outputs.into(),
        targets.into(),
        scale.into(),
        losses.into(),
        into.into(),
    ];
    Call::new(KERNEL, geometry::warp_by_row(rows), 128, args)
}

/// out = the column of each row's largest element: the first of equals, NaN passed over.
///
/// # Errors
/// Lengths that do not fit.
pub fn row_argmax(x: Slice<f32>, out: Slice<u32>) -> Result<Call, CallError> {
    const KERNEL: &str = "row_argmax";
    let cols = x.len().checked_div(out.len()).unwrap_or(0);
    let (rows, cols) = shape(KERNEL, "x", x, (out.len(), cols))?;
    let args = vec![rows.into(), cols.into(), x.into(), out.into()];
    Call::new(KERNEL, geometry::warp_by_row(rows), 128, args)
}

/// metric += the sum of x, in f64.
///
/// # Errors
/// A metric that is not one number.
pub fn add_sum(x: Slice<f32>, metric: Slice<f64>) -> Result<Call, CallError> {
    length("add_sum", "metric", metric, 1)?;
    Call::new(
        "add_sum",
        1,
        1024,
        vec![(x.len() as u64).into(), x.into(), metric.into()],
    )
}

/// metric += the sum of x^2, in f64.
///
/// # Errors
/// A metric that is not one number.
pub fn add_squares(x: Slice<f32>, metric: Slice<f64>) -> Result<Call, CallError> {
    length("add_squares", "metric", metric, 1)?;
    let args = vec![(x.len() as u64).into(), x.into(), metric.into()];
    Call::new("add_squares", 1, 1024, args)
}

/// metric += rows whose index is the label.
///
/// # Errors
/// Lengths that differ.
pub fn add_matches(indices: Slice<u32>, labels: Slice<u8>, metric: Slice<f64>) -> Result<Call, CallError> {
    const KERNEL: &str = "add_matches";
    length(KERNEL, "metric", metric, 1)?;
    length(KERNEL, "labels", labels, indices.len())?;
    let args = vec![
        (indices.len() as u64).into(),
        indices.into(),
        labels.into(),
        metric.into(),
    ];
    Call::new(KERNEL, 1, 1024, args)
}
