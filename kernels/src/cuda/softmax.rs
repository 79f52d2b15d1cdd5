//! Launches of `kernels/cuda/softmax.cu`.

use super::call::length;
use super::rows::shape;
use super::{Call, CallError, Slice, geometry};

/// Rows beyond this many columns get a block each, shorter ones a warp.
const WARP_COLUMNS: u32 = 1024;

fn by_length(name: [&'static str; 2], rows: u32, cols: u32) -> (&'static str, u32, u32) {
    if cols > WARP_COLUMNS {
        (name[1], rows.max(1), 256)
    } else {
        (name[0], geometry::warp_by_row(rows), 128)
    }
}

/// y = softmax of each row of x.
///
/// # Errors
/// Lengths that do not fit.
pub fn softmax(x: Slice<f32>, y: Slice<f32>, rows_cols: (usize, usize)) -> Result<Call, CallError> {
    rowwise(["softmax_warp", "softmax_block"], x, y, rows_cols)
}

/// y = log(softmax) of each row of x.
///
/// # Errors
/// Lengths that do not fit.
pub fn log_softmax(x: Slice<f32>, y: Slice<f32>, rows_cols: (usize, usize)) -> Result<Call, CallError> {
    rowwise(["log_softmax_warp", "log_softmax_block"], x, y, rows_cols)
}

fn rowwise(
    names: [&'static str; 2],
    x: Slice<f32>,
    y: Slice<f32>,
    rows_cols: (usize, usize),
) -> Result<Call, CallError> {
    let (rows, cols) = shape(names[0], "x", x, rows_cols)?;
    shape(names[0], "y", y, rows_cols)?;
    let (kernel, blocks, threads) = by_length(names, rows, cols);
    Call::new(
        kernel,
        blocks,
        threads,
        vec![rows.into(), cols.into(), x.into(), y.into()],
    )
}

/// losses = -log softmax of each row at its label, and where `gradient` = (scale, into) is given,
/// into = scale (softmax - target). The caller knows that every label is a column.
///
/// # Errors
/// Lengths that do not fit.
pub fn softmax_cross_entropy(
    logits: Slice<f32>,
    labels: Slice<u8>,
    smoothing: f32,
    losses: Slice<f32>,
    gradient: Option<(Slice<f32>, Slice<f32>)>,
) -> Result<Call, CallError> {
    const NAMES: [&str; 2] = ["softmax_cross_entropy_warp", "softmax_cross_entropy_block"];
    let rows_cols = (labels.len(), logits.len().checked_div(labels.len()).unwrap_or(0));
    let (rows, cols) = shape(NAMES[0], "logits", logits, rows_cols)?;
    length(NAMES[0], "losses", losses, labels.len())?;
    let (scale, into) = gradient.unwrap_or((Slice::none(), Slice::none()));
    if gradient.is_some() {
        length(NAMES[0], "scale", scale, 1)?;
        shape(NAMES[0], "gradient", into, rows_cols)?;
    }
    let (kernel, blocks, threads) = by_length(NAMES, rows, cols);
    let args = vec![
        rows.into(),
        cols.into(),
        logits.into(),
        labels.into(),
        smoothing.into(),
        scale.into(),
        losses.into(),
        into.into(),
    ];
    Call::new(kernel, blocks, threads, args)
}
