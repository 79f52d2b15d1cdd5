//! What flags take: widths, counts, finite numbers. What is wrong is said in the words that clap puts behind the flag.

use tilelab_kernels::Threads;

/// `784,256,10`. A type of its own: clap takes a Vec for repeated flags.
#[derive(Clone)]
pub(super) struct Layers(pub(super) Vec<usize>);

pub(super) fn layers(text: &str) -> Result<Layers, String> {
    let widths: Result<Vec<usize>, _> = text.split(',').map(|width| width.trim().parse()).collect();
    widths
        .map(Layers)
        .map_err(|_| "it must be whole numbers with commas between, such as 784,256,10".to_owned())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|&count| count > 0);
    count.ok_or_else(|| "it must be a whole number of at least 1".to_owned())
}

pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("it must be a whole number from 0 to {}", u64::MAX))
}

pub(super) fn above_zero(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0);
    value.ok_or_else(|| "it must be a finite number above 0, such as 0.1".to_owned())
}

pub(super) fn zero_or_above(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0);
    value.ok_or_else(|| "it must be a finite number of at least 0, such as 0.001".to_owned())
}

/// `--threads`, as every command takes it.
pub(super) fn threads(text: &str) -> Result<Threads, String> {
    let number = text
        .parse()
        .map_err(|_| format!("it must be a whole number from 1 to {}", Threads::MAX))?;
    Threads::new(number).map_err(|error| error.to_string())
}

/// Bytes: `512M`, `2G`, `1048576`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']);
    let unit = match &text[digits.len()..] {
        "" => Some(1u64),
        "K" | "k" => Some(1 << 10),
        "M" | "m" => Some(1 << 20),
        "G" | "g" => Some(1 << 30),
        _ => None,
    };
    let bytes = unit.and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
    bytes.ok_or_else(|| "it must be a size in bytes, such as 512M or 2G".to_owned())
}
