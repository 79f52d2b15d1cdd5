//! The notebook's answer to "compute the memory footprint for training and prediction" (exercise 3 of its section 5.3).
//!
//! With d inputs, h hidden units and q outputs it lists
//!
//! | what | numbers |
//! |---|---|
//! | parameters W1, b1, W2, b2 | hd + h + qh + q |
//! | x, z, h, o | d + 2h + q |
//! | training only: a gradient for each parameter | hd + h + qh + q |
//! | training only: dJ/do, dJ/dh, dJ/dz | q + 2h |
//!
//! and adds up to hd + qh + 3h + 2q + d for prediction, which is the sum of its list, and to 2(hd + h + qh + q) + d + 3h + q
//! for training, which is not: the list has d + 4h + 2q behind the parameters and gradients. For 100-50-10 the formula gives
//! 11,380 numbers, the list 11,440: the formula drops h + q.
//!
//! The notebook has one hidden layer and one row. Here each hidden layer counts its own z, h, dJ/dz and dJ/dh, and
//! everything that a row has of its own is counted for every row of the batch.

use super::Sum;
use crate::mlp::Model;
use crate::program::lower::{bias_name, weights_name};

/// Bytes of the notebook's numbers.
const FLOAT: u64 = 4;

/// Every entry of the notebook's list, by the name of the buffer that it is here.
pub fn listed(model: &Model, rows: usize, training: bool) -> Sum {
    let (rows, depth) = (rows as u64, model.depth());
    let mut items = Vec::new();
    let mut list = |name: String, numbers: u64| items.push((name, FLOAT * numbers));
    list("x".to_owned(), rows * model.inputs() as u64);
    for l in 1..=depth {
        let layer = model.layer(l);
        let (inputs, outputs) = (layer.inputs as u64, layer.outputs as u64);
        for gradient in if training { &["", "d"][..] } else { &[""] } {
            list(format!("{gradient}{}", weights_name(l)), inputs * outputs);
            list(format!("{gradient}{}", bias_name(l)), outputs);
            let units = if l == depth {
                vec!["o".to_owned()]
            } else {
                vec![format!("z{l}"), format!("h{l}")]
            };
            for name in units {
                list(format!("{gradient}{name}"), rows * outputs);
            }
        }
    }
    let title = if training {
        "the notebook's list for training"
    } else {
        "the notebook's list for prediction"
    };
    Sum::new(title, items)
}

/// What the notebook's formula gives. For training it lacks h + q of the list: dJ/do, and one of dJ/dh and dJ/dz; which one
/// it does not say, so dJ/dh is left out here.
pub fn formula(model: &Model, rows: usize, training: bool) -> Sum {
    let mut sum = listed(model, rows, training);
    if training {
        sum.items.retain(|(name, _)| name != "do" && !name.starts_with("dh"));
    }
    let title = if training {
        "the notebook's formula 2(hd + h + qh + q) + d + 3h + q"
    } else {
        "the notebook's formula hd + qh + 3h + 2q + d"
    };
    sum.title = title.to_owned();
    sum
}
