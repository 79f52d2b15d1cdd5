//! Sums in f64.

use tilelab_kernels::Float;

/// The sum of f(x), eight sums side by side: one alone would wait for each addition before the next.
pub(super) fn sum_of<T: Float>(x: &[T], f: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let (eights, rest) = x.as_chunks::<8>();
    for eight in eights {
        for (sum, x) in sums.iter_mut().zip(eight) {
            *sum += f(x.to_f64());
        }
    }
    let rest: f64 = rest.iter().map(|x| f(x.to_f64())).sum();
    sums.iter().sum::<f64>() + rest
}
