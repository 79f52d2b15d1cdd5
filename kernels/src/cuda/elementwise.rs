//! Launches of `kernels/cuda/elementwise.cu` and `update.cu`: functions of elements, and updates of parameters.

use super::activation::{derivative_code, function_code};
use super::call::{aligned, length};
use super::{Call, CallError, Slice, geometry};
use crate::{Activation, Adam, Momentum};

/// y = f(x). f's slope, alpha or beta is read from `parameter`, one float in device memory.
///
/// # Errors
/// Lengths that differ, or arrays off 16 bytes.
pub fn activate(f: Activation, parameter: Slice<f32>, x: Slice<f32>, y: Slice<f32>) -> Result<Call, CallError> {
    const KERNEL: &str = "activate_forward";
    length(KERNEL, "parameter", parameter, 1)?;
    length(KERNEL, "y", y, x.len())?;
    aligned(KERNEL, "x", x)?;
    aligned(KERNEL, "y", y)?;
    let (n, function) = (x.len() as u64, function_code(f).function);
    let args = vec![n.into(), function.into(), parameter.into(), x.into(), y.into()];
    Call::new(KERNEL, geometry::elements(n, 4), 256, args)
}

/// dx = dy f'(saved); `saved` as [`Activation::saves`] says.
///
/// # Errors
/// As [`activate`].
pub fn activate_backward(
    f: Activation,
    parameter: Slice<f32>,
    saved: Slice<f32>,
    dy: Slice<f32>,
    dx: Slice<f32>,
) -> Result<Call, CallError> {
    const KERNEL: &str = "activate_backward";
    length(KERNEL, "parameter", parameter, 1)?;
    for (name, slice) in [("dy", dy), ("dx", dx)] {
        length(KERNEL, name, slice, saved.len())?;
        aligned(KERNEL, name, slice)?;
    }
    aligned(KERNEL, "saved", saved)?;
    let (n, function) = (saved.len() as u64, derivative_code(f).function);
    let args = vec![
        n.into(),
        function.into(),
        parameter.into(),
        saved.into(),
        dy.into(),
        dx.into(),
    ];
    Call::new(KERNEL, geometry::elements(n, 4), 256, args)
}

/// slope = the sum of dy df/dp(x) + accumulate slope, p being f's learned parameter.
///
/// # Errors
/// Lengths that differ.
pub fn parameter_gradient(
    f: Activation,
    parameter: Slice<f32>,
    x: Slice<f32>,
    dy: Slice<f32>,
    accumulate: Slice<f32>,
    slope: Slice<f32>,
) -> Result<Call, CallError> {
    const KERNEL: &str = "parameter_gradient";
    for (name, slice) in [("parameter", parameter), ("accumulate", accumulate), ("slope", slope)] {
        length(KERNEL, name, slice, 1)?;
    }
    length(KERNEL, "dy", dy, x.len())?;
    let args = vec![
        (x.len() as u64).into(),
        function_code(f).function.into(),
        parameter.into(),
        x.into(),
        dy.into(),
        accumulate.into(),
        slope.into(),
    ];
    Call::new(KERNEL, 1, 1024, args)
}

/// x = by x; `by` is one float in device memory.
///
/// # Errors
/// As [`activate`].
pub fn scale(by: Slice<f32>, x: Slice<f32>) -> Result<Call, CallError> {
    const KERNEL: &str = "scale";
    length(KERNEL, "by", by, 1)?;
    aligned(KERNEL, "x", x)?;
    let n = x.len() as u64;
    Call::new(
        KERNEL,
        geometry::elements(n, 4),
        256,
        vec![n.into(), by.into(), x.into()],
    )
}

/// out = 1 where x is above the threshold, else 0.
///
/// # Errors
/// Lengths that differ.
pub fn above(x: Slice<f32>, threshold: f32, out: Slice<u32>) -> Result<Call, CallError> {
    const KERNEL: &str = "above";
    length(KERNEL, "out", out, x.len())?;
    let n = x.len() as u64;
    let args = vec![n.into(), x.into(), threshold.into(), out.into()];
    Call::new(KERNEL, geometry::elements(n, 1), 256, args)
}

/// weights = decay weights - lr gradient; `decay` and `lr` are single floats in device memory.
///
/// # Errors
/// As [`activate`].
pub fn sgd(decay: Slice<f32>, lr: Slice<f32>, gradient: Slice<f32>, weights: Slice<f32>) -> Result<Call, CallError> {
    const KERNEL: &str = "sgd";
    length(KERNEL, "decay", decay, 1)?;
    length(KERNEL, "lr", lr, 1)?;
    let n = update(KERNEL, gradient, &[("weights", weights)])?;
    let args = vec![n.into(), decay.into(), lr.into(), gradient.into(), weights.into()];
    Call::new(KERNEL, geometry::elements(n, 4), 256, args)
}

/// What [`momentum`] reads as its rule.
pub fn momentum_rule(rule: Momentum) -> [f32; 3] {
    [rule.lr as f32, rule.momentum as f32, rule.l2 as f32]
}

/// SGD with momentum by [`momentum_rule`], which lies in device memory.
///
/// # Errors
/// As [`activate`].
pub fn momentum(
    rule: Slice<f32>,
    nesterov: bool,
    gradient: Slice<f32>,
    weights: Slice<f32>,
    velocity: Slice<f32>,
) -> Result<Call, CallError> {
    const KERNEL: &str = "momentum";
    length(KERNEL, "rule", rule, 3)?;
    let n = update(KERNEL, gradient, &[("weights", weights), ("velocity", velocity)])?;
    let args = vec![
        n.into(),
        rule.into(),
        u32::from(nesterov).into(),
        gradient.into(),
        weights.into(),
        velocity.into(),
    ];
    Call::new(KERNEL, geometry::elements(n, 4), 256, args)
}

/// What [`adam`] reads as its rule: all that does not depend on the weight, computed in f64.
pub fn adam_rule(rule: Adam) -> [f32; 9] {
    let power = |beta: f64| 1.0 - beta.powf(rule.step as f64);
    [
        1.0 - rule.lr * rule.weight_decay,
        rule.l2,
        rule.beta1,
        1.0 - rule.beta1,
        rule.beta2,
        1.0 - rule.beta2,
        rule.lr / power(rule.beta1),
        1.0 / power(rule.beta2).sqrt(),
        rule.epsilon,
    ]
    .map(|x| x as f32)
}

/// Adam or AdamW by [`adam_rule`], which lies in device memory.
///
/// # Errors
/// As [`activate`].
pub fn adam(
    rule: Slice<f32>,
    gradient: Slice<f32>,
    weights: Slice<f32>,
    (first, second): (Slice<f32>, Slice<f32>),
) -> Result<Call, CallError> {
    const KERNEL: &str = "adam";
    length(KERNEL, "rule", rule, 9)?;
    let n = update(
        KERNEL,
        gradient,
        &[("weights", weights), ("first", first), ("second", second)],
    )?;
    let args = vec![
        n.into(),
        rule.into(),
        gradient.into(),
        weights.into(),
        first.into(),
        second.into(),
    ];
    Call::new(KERNEL, geometry::elements(n, 4), 256, args)
}

/// The elements of an update, whose arrays are as long as the gradient and begin on 16 bytes.
fn update(kernel: &'static str, gradient: Slice<f32>, arrays: &[(&'static str, Slice<f32>)]) -> Result<u64, CallError> {
    aligned(kernel, "gradient", gradient)?;
    for &(name, array) in arrays {
        length(kernel, name, array, gradient.len())?;
        aligned(kernel, name, array)?;
    }
    Ok(gradient.len() as u64)
}
