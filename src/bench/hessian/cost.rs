//! How the cost of second derivatives grows: seconds and bytes of a gradient and of a Hessian three ways, over parameters and over samples.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tilelab_kernels::{Activation, Context, Isa, Threads};

use crate::device::{Batch, Device, DeviceError, ProgramId, Set, available_bytes};
use crate::hessian::closed::Closed;
use crate::hessian::{Data, Directions, HessianError, Operator, Point, Products, Setup, dense};
use crate::mlp::{Init, Loss, Model};
use crate::program::footprint::Footprint;
use crate::program::lower::Lowering;
use crate::program::{Element, Program, StepArgs, fuse};

/// Samples of a time; the median counts.
const SAMPLES: usize = 5;

/// A sample takes at least this long, in as many calls as that needs.
const SAMPLE_S: f64 = 2e-3;

/// Up to so many parameters the double loop is run: it takes their square in products.
const LOOPED: usize = 200;

/// One size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// Hidden units of 10-h-5.
    pub hidden: usize,
    /// Samples.
    pub rows: usize,
    /// Parameters.
    pub parameters: usize,
    /// Of a gradient.
    pub gradient: Cost,
    /// Of a Hessian by a double loop; `None` where it was not run.
    pub double_loop: Option<Cost>,
    /// By products with unit vectors, 32 at once.
    pub products: Cost,
    /// In closed form.
    pub closed_form: Cost,
}

/// Seconds, and bytes of all buffers, the matrix among them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Median.
    pub seconds: f64,
    /// As allocated.
    pub bytes: u64,
}

/// A way to a derivative, and what a size says of it.
pub type Way = (&'static str, fn(&Size) -> Option<Cost>);

/// All ways.
pub const WAYS: [Way; 4] = [
    ("gradient", |size| Some(size.gradient)),
    ("double loop", |size| size.double_loop),
    ("products", |size| Some(size.products)),
    ("closed form", |size| Some(size.closed_form)),
];

/// Hidden units, samples.
pub fn sizes(quick: bool) -> Vec<(usize, usize)> {
    let widths: &[usize] = if quick {
        &[5, 10, 20, 40]
    } else {
        &[5, 10, 20, 40, 80, 160]
    };
    let rows: &[usize] = if quick { &[50, 200, 800] } else { &[50, 200, 800, 3200] };
    let by_width = widths.iter().map(|&hidden| (hidden, 100));
    by_width.chain(rows.iter().map(|&rows| (20, rows))).collect()
}

/// The exponent of `y` over `x`: slope of the least-squares line through their logarithms. NaN for fewer than two places.
pub fn exponent(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean = |f: fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
    let top: f64 = logs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let bottom: f64 = logs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    top / bottom
}

/// Parameters whose dense Hessian in f32 just fits what memory is free.
pub fn largest_that_fits() -> f64 {
    (available_bytes().unwrap_or(0) as f64 / 4.0).sqrt()
}

/// The median of a few samples of `call`.
fn seconds(mut call: impl FnMut() -> Result<(), HessianError>) -> Result<f64, HessianError> {
    let begun = Instant::now();
    call()?;
    let calls = (SAMPLE_S / begun.elapsed().as_secs_f64().max(1e-9))
        .ceil()
        .clamp(1.0, 1e5) as usize;
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        (0..calls).try_for_each(|_| call())?;
        samples.push(begun.elapsed().as_secs_f64() / calls as f64);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[SAMPLES / 2])
}

fn bytes<'p>(programs: impl IntoIterator<Item = &'p Program>, rows: usize) -> u64 {
    programs
        .into_iter()
        .map(|program| Footprint::of(program, rows).bytes())
        .sum()
}

/// Measures one size on one thread, in f32.
///
/// # Errors
/// A device that is not there.
pub fn measure(hidden: usize, rows: usize) -> Result<Size, HessianError> {
    let model =
        Model::new(&[10, hidden, 5], Activation::Relu).map_err(|error| HessianError::Argument(error.to_string()))?;
    let model = model.with_loss(Loss::SquaredError);
    let all = Directions::of(&model, "all")?;
    let (point, n) = (Point::first(&model, Init::Torch, 1), all.size());
    let values: Vec<f32> = super::contestants::inputs(rows * 10).collect();
    let labels: Vec<u8> = (0..rows).map(|i| (i % 5) as u8).collect();
    let set = Set::of_reals(&values, &labels, 10)?;
    let data = || Data::first(set, rows);
    let matrix = 4 * (n * n) as u64;

    let plain = Lowering {
        model: &model,
        float: Element::F32,
        rows,
        byte_scale: 1.0,
    }
    .gradients()?;
    let program = fuse(&plain)?;
    let mut session = Device::Cpu.open(std::slice::from_ref(&program), &[set], Threads::one())?;
    point
        .iter()
        .try_for_each(|(name, values)| session.write(name, values))?;
    let (some, args) = (
        data().rows,
        StepArgs {
            inverse_rows: 1.0 / rows as f64,
            ..StepArgs::default()
        },
    );
    let batch = Batch::of_set(&program, &[set], 0, &some)?;
    let gradient = Cost {
        seconds: seconds(|| {
            session.run(ProgramId(0), &batch, &args);
            Ok(())
        })?,
        bytes: bytes([&program], rows),
    };

    let mut out = vec![0.0f32; n * n];
    let setup = |together| Setup {
        together,
        threads: Threads::one(),
        ..Setup::new(&model, &all)
    };
    let by = setup(32.min(n));
    let mut products = Products::new(&by, &point, data())?;
    let (linearise, tangent) = by.programs(rows, 1.0)?;
    let by_products = Cost {
        seconds: seconds(|| {
            products.move_to(&point)?;
            dense::by_products(&mut products, &mut out)
        })?,
        bytes: matrix + bytes([&linearise, &tangent], rows),
    };
    let double_loop = if n > LOOPED {
        None
    } else {
        let mut one = Products::new(&setup(1), &point, data())?;
        let (linearise, tangent) = setup(1).programs(rows, 1.0)?;
        let (unit, mut product) = (vec![1.0; n], vec![0.0; n]);
        let each = seconds(|| {
            one.move_to(&point)?;
            one.multiply(&unit, &mut product)
        })?;
        // Every element takes as long as every other: one is timed, and there are the square.
        Some(Cost {
            seconds: each * (n * n) as f64,
            bytes: matrix + bytes([&linearise, &tangent], rows),
        })
    };

    let isa = Isa::selected().map_err(DeviceError::from)?;
    let context = Context::new(isa, Threads::one()).map_err(DeviceError::from)?;
    let mut closed = Closed::<f32>::new(&context, &model, &all, &values, &labels)?;
    closed.move_to(&point);
    let closed_seconds = seconds(|| {
        closed.hessian(&mut out);
        Ok(())
    })?;
    let closed_form = Cost {
        seconds: closed_seconds,
        bytes: matrix + closed.bytes(),
    };
    Ok(Size {
        hidden,
        rows,
        parameters: n,
        gradient,
        double_loop,
        products: by_products,
        closed_form,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_of_powers_are_their_own() {
        let powers = |e: f64| {
            (1..6)
                .map(|i| (f64::from(i), 3.0 * f64::from(i).powf(e)))
                .collect::<Vec<_>>()
        };
        for e in [0.0, 1.0, 2.0, 2.5] {
            assert!((exponent(&powers(e)) - e).abs() < 1e-12);
        }
        assert!(exponent(&[(1.0, 1.0)]).is_nan());
    }

    #[test]
    fn a_small_size_is_measured_whole() {
        let size = measure(3, 20).unwrap();
        assert_eq!(size.parameters, 53);
        let matrix = 4 * 53 * 53;
        assert!(
            size.double_loop
                .is_some_and(|cost| cost.seconds > size.products.seconds && cost.bytes > matrix)
        );
        assert!(size.closed_form.bytes > matrix && size.gradient.bytes < matrix);
        assert!(
            [size.gradient, size.products, size.closed_form]
                .iter()
                .all(|cost| cost.seconds > 0.0)
        );
    }
}
