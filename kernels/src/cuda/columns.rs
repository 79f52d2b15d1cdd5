//! Launches of `kernels/cuda/columns.cu`: sums over rows in two launches, and batch normalisation.

use super::call::length;
use super::rows::shape;
use super::{Call, CallError, Slice, geometry};

/// What is summed over the rows of each column.
#[derive(Debug, Clone, Copy)]
pub enum Summed {
    /// x
    Values(Slice<f32>),
    /// a b
    Products(Slice<f32>, Slice<f32>),
    /// (x - mean)^2, mean being one value a column.
    Squares(Slice<f32>, Slice<f32>),
}

/// Where sums go. Each may be [`Slice::none`].
#[derive(Debug, Clone, Copy)]
pub struct Into {
    /// Gets sum + accumulate * what it holds.
    pub total: Slice<f32>,
    /// One float in device memory; needed with `total`.
    pub accumulate: Slice<f32>,
    /// Gets the sum.
    pub fresh: Slice<f32>,
}

impl Into {
    /// The sum alone.
    pub fn fresh(fresh: Slice<f32>) -> Self {
        Self {
            total: Slice::none(),
            accumulate: Slice::none(),
            fresh,
        }
    }
}

/// Floats that [`sum`] needs as room for a matrix of this shape.
pub fn room(rows: usize, cols: usize) -> usize {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    geometry::row_parts(rows).1 as usize * cols
}

/// factor times the sum over the rows, in two launches: parts of the rows into `partials`, then these.
///
/// # Errors
/// Lengths that do not fit; `partials` with fewer than [`room`] floats.
pub fn sum(
    summed: Summed,
    rows_cols: (usize, usize),
    factor: f32,
    partials: Slice<f32>,
    into: Into,
) -> Result<[Call; 2], CallError> {
    let (kernel, x, second) = match summed {
        Summed::Values(x) => ("column_sum", x, None),
        Summed::Products(a, b) => ("column_dot", a, Some(b)),
        Summed::Squares(x, mean) => ("column_squares", x, Some(mean)),
    };
    let (rows, cols) = shape(kernel, "x", x, rows_cols)?;
    match (summed, second) {
        (Summed::Products(..), Some(b)) => drop(shape(kernel, "b", b, rows_cols)?),
        (_, Some(mean)) => length(kernel, "mean", mean, rows_cols.1)?,
        _ => {}
    }
    let (per_block, parts) = geometry::row_parts(rows);
    let room = parts as usize * rows_cols.1;
    if partials.len() < room {
        length(kernel, "partials", partials, room)?;
    }
    let tiles = cols.div_ceil(32).max(1);
    let blocks = parts.checked_mul(tiles).ok_or(CallError::Size {
        kernel,
        size: "columns",
        got: rows_cols.1,
        most: (u32::MAX / parts) as usize,
    })?;
    let mut args = vec![rows.into(), cols.into(), per_block.into(), x.into()];
    args.extend(second.map(super::Arg::from));
    args.push(partials.into());
    let first = Call::new(kernel, blocks, 256, args)?;

    const FINISH: &str = "column_finish";
    for (name, slice) in [("total", into.total), ("fresh", into.fresh)] {
        if slice.address() != 0 {
            length(FINISH, name, slice, rows_cols.1)?;
        }
    }
    if into.total.address() != 0 {
        length(FINISH, "accumulate", into.accumulate, 1)?;
    }
    let args = vec![
        parts.into(),
        cols.into(),
        partials.into(),
        factor.into(),
        into.accumulate.into(),
        into.total.into(),
        into.fresh.into(),
    ];
    let second = Call::new(FINISH, geometry::elements(cols.into(), 1), 256, args)?;
    Ok([first, second])
}

/// The statistics of a batch normalisation, one value a column each but for `batches`.
#[derive(Debug, Clone, Copy)]
pub struct Statistics {
    /// The batch's mean in training, else written.
    pub mean: Slice<f32>,
    /// The batch's biased variance in training; becomes 1 / sqrt(variance + eps).
    pub scale: Slice<f32>,
    /// Running mean.
    pub running_mean: Slice<f32>,
    /// Running variance.
    pub running_variance: Slice<f32>,
    /// One number: how many batches the running ones have seen.
    pub batches: Slice<f32>,
}

/// Moves the running statistics towards the batch's of `rows` rows, or takes them in its place.
///
/// # Errors
/// Lengths that do not fit.
pub fn batch_norm_statistics(
    rows: usize,
    training: bool,
    (momentum, epsilon): (f32, f32),
    statistics: Statistics,
) -> Result<Call, CallError> {
    const KERNEL: &str = "batch_norm_statistics";
    let cols = statistics.mean.len();
    for (name, slice) in [
        ("scale", statistics.scale),
        ("running mean", statistics.running_mean),
        ("running variance", statistics.running_variance),
    ] {
        length(KERNEL, name, slice, cols)?;
    }
    length(KERNEL, "batches", statistics.batches, 1)?;
    let (rows, cols) = (
        super::call::size(KERNEL, "rows", rows)?,
        super::call::size(KERNEL, "columns", cols)?,
    );
    let args = vec![
        rows.into(),
        cols.into(),
        u32::from(training).into(),
        momentum.into(),
        epsilon.into(),
        statistics.mean.into(),
        statistics.scale.into(),
        statistics.running_mean.into(),
        statistics.running_variance.into(),
        statistics.batches.into(),
    ];
    Call::new(KERNEL, geometry::elements(cols.into(), 1), 256, args)
}

/// normal = (x - mean) scale, out = gamma normal + beta; `by` is mean, scale, gamma and beta.
///
/// # Errors
/// Lengths that do not fit.
pub fn batch_norm(
    rows: usize,
    x: Slice<f32>,
    by: [Slice<f32>; 4],
    normal: Slice<f32>,
    out: Slice<f32>,
) -> Result<Call, CallError> {
    per_element("batch_norm", rows, &[x], &by, &[normal, out])
}

/// dx = gamma scale (dy - mean of dy - normal times the mean of dy normal); `by` is scale, gamma, the sum of dy and that of dy normal.
///
/// # Errors
/// Lengths that do not fit.
pub fn batch_norm_backward(
    rows: usize,
    dy: Slice<f32>,
    normal: Slice<f32>,
    by: [Slice<f32>; 4],
    dx: Slice<f32>,
) -> Result<Call, CallError> {
    per_element("batch_norm_backward", rows, &[dy, normal], &by, &[dx])
}

fn per_element(
    kernel: &'static str,
    rows: usize,
    inputs: &[Slice<f32>],
    by: &[Slice<f32>; 4],
    outputs: &[Slice<f32>],
) -> Result<Call, CallError> {
    let cols = by[0].len();
    for slice in by {
        length(kernel, "a value a column", *slice, cols)?;
    }
    let (rows, cols) = inputs
        .iter()
        .chain(outputs)
        .try_fold((0, 0), |_, slice| shape(kernel, "a matrix", *slice, (rows, cols)))?;
    let (blocks, threads) = geometry::by_row(rows, cols);
    let slices = inputs.iter().chain(by).chain(outputs);
    let args = [rows.into(), cols.into()]
        .into_iter()
        .chain(slices.map(|&slice| slice.into()))
        .collect();
    Call::new(kernel, blocks, threads, args)
}
