//! Activations as the kernels number them (`kernels/cuda/functions.cuh`).

use crate::Activation;
use crate::activation::Saves;

/// An activation's number and its slope, alpha or beta.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Code {
    /// As `enum Function` counts.
    pub function: u32,
    /// 0 where it has none.
    pub parameter: f32,
}

/// The function itself.
pub fn function_code(activation: Activation) -> Code {
    let (function, parameter) = match activation {
        Activation::Identity => (0, 0.0),
        Activation::Relu => (1, 0.0),
        Activation::LeakyRelu { slope } => (2, slope),
        Activation::PRelu { alpha } => (3, alpha),
        Activation::Elu { alpha } => (4, alpha),
        Activation::Sigmoid => (6, 0.0),
        Activation::Tanh => (7, 0.0),
        Activation::Swish { beta } => (8, beta),
        Activation::Gelu => (9, 0.0),
        Activation::GeluTanh => (10, 0.0),
    };
    Code {
        function,
        parameter: parameter as f32,
    }
}

/// Its derivative, from what [`Activation::saves`] says.
pub fn derivative_code(activation: Activation) -> Code {
    let code = function_code(activation);
    match activation {
        Activation::Elu { .. } if activation.saves() == Saves::Input => Code { function: 5, ..code },
        _ => code,
    }
}
