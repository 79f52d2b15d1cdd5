//! `mma.sync`: fragments spread over a warp, and three models of how a tensor core adds.
//!
//! The layout of fragments is that of the manual: with g = lane / 4 and t = lane % 4, C and D hold rows g and g + 8 and
//! columns 2 t and 2 t + 1; A holds the same rows, B column g. How a tensor core rounds is not documented; what was
//! measured on cards [1] lies between the models: products are exact, sums are aligned to the greatest exponent and cut.
//!
//! 1. M. Fasi, N. J. Higham, M. Mikaitis, S. Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ CS 7:e330, 2021.

use crate::block::Block;
use crate::finding::{Fault, Kind};
use crate::float::{F32, Rounding, from_bf16, from_f16};
use crate::op::{Mma, MmaKind};
use crate::warp::Warp;

/// How the products of an mma are added to the accumulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MmaModel {
    /// All at once, rounded to nearest at the end: the best that a core could do.
    #[default]
    Exact,
    /// One after the other in f32, rounded to nearest each time.
    Sequential,
    /// Four (tf32) or eight products and the accumulator at a time, each cut below the last place of the greatest, the sum
    /// cut toward zero: what was measured.
    Truncating,
}

impl MmaModel {
    /// All models, for tests that must hold under each.
    pub const ALL: [MmaModel; 3] = [MmaModel::Exact, MmaModel::Sequential, MmaModel::Truncating];

    /// c + sum of the products.
    fn accumulate(self, c: f32, products: &[f64], at_once: usize) -> f32 {
        match self {
            MmaModel::Exact => {
                let (sum, below) = exact_sum(products.iter().copied().chain([c as f64]));
                F32.round(sum, below, Rounding::Nearest) as f32
            }
            MmaModel::Sequential => products.iter().fold(c, |sum, &product| (sum as f64 + product) as f32),
            MmaModel::Truncating => products.chunks(at_once).fold(c, truncated),
        }
    }
}

/// The sum of terms in f64, and the sign of what it leaves out: partial sums that do not overlap hold it exactly (J. R. Shewchuk, "Adaptive
/// precision floating-point arithmetic", 1997).
fn exact_sum(terms: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let plain: f64 = terms.clone().sum();
    if !plain.is_finite() {
        return (plain, 0.0);
    }
    let mut partials: Vec<f64> = Vec::new();
    for mut x in terms {
        let mut kept = Vec::new();
        for y in partials {
            let high = x + y;
            let part = high - x;
            let low = (x - (high - part)) + (y - part);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        if x != 0.0 || kept.is_empty() {
            kept.push(x);
        }
        partials = kept;
    }
    (partials.pop().unwrap_or(0.0), partials.pop().unwrap_or(0.0))
}

/// The terms cut to 24 bits below the greatest exponent, their sum cut to f32.
fn truncated(c: f32, products: &[f64]) -> f32 {
    let terms = || products.iter().copied().chain([c as f64]);
    let greatest = terms().fold(0.0f64, |greatest, term| greatest.max(term.abs()));
    if greatest == 0.0 || !terms().all(f64::is_finite) {
        return terms().sum::<f64>() as f32;
    }
    let exponent = (greatest.to_bits() >> 52) as i32 - 1023;
    let unit = f64::from_bits(((exponent - 23 + 1023).max(1) as u64) << 52);
    F32.round(
        terms().map(|term| (term / unit).trunc() * unit).sum(),
        0.0,
        Rounding::Zero,
    ) as f32
}

impl Warp {
    pub(crate) fn mma(&mut self, block: &mut Block<'_>, mma: &Mma, lanes: u32) -> Result<(), Fault> {
        self.whole(lanes)?;
        block.stats.mma += 1;
        let (k, tf32) = match mma.kind {
            MmaKind::Tf32K4 => (4, true),
            MmaKind::Tf32K8 => (8, true),
            MmaKind::Bf16K8 | MmaKind::F16K8 => (8, false),
            MmaKind::Bf16K16 | MmaKind::F16K16 => (16, false),
        };
        let half = |bits: u64| match mma.kind {
            MmaKind::F16K8 | MmaKind::F16K16 => from_f16(bits as u16) as f64,
            _ => from_bf16(bits as u16) as f64,
        };
        let (mut a, mut b) = ([[0.0f64; 16]; 16], [[0.0f64; 8]; 16]);
        for lane in 0..32 {
            let (g, t) = (lane / 4, lane % 4);
            for (index, &slot) in mma.a.iter().enumerate() {
                let (bits, row) = (self.get(slot)[lane], g + index % 2 * 8);
                if tf32 {
                    a[row][t + index / 2 * 4] = tf32_value(bits, "A").map_err(|fault| fault.at(lane))?;
                } else {
                    let column = 2 * t + index / 2 * 8;
                    (a[row][column], a[row][column + 1]) = (half(bits), half(bits >> 16));
                }
            }
            for (index, &slot) in mma.b.iter().enumerate() {
                let bits = self.get(slot)[lane];
                if tf32 {
                    b[t + index * 4][g] = tf32_value(bits, "B").map_err(|fault| fault.at(lane))?;
                } else {
                    let row = 2 * t + index * 8;
                    (b[row][g], b[row + 1][g]) = (half(bits), half(bits >> 16));
                }
            }
        }
        let mut results = [[0u64; 32]; 4];
        for lane in 0..32 {
            for (index, result) in results.iter_mut().enumerate() {
                let (row, column) = (lane / 4 + index / 2 * 8, 2 * (lane % 4) + index % 2);
                let c = f32::from_bits(self.get(mma.c[index])[lane] as u32);
                let mut products = [0.0; 16];
                for (p, product) in products[..k].iter_mut().enumerate() {
                    *product = a[row][p] * b[p][column];
                }
                let sum = block.mma_model.accumulate(c, &products[..k], if tf32 { 4 } else { 8 });
                result[lane] = crate::float::canonical(sum);
            }
        }
        for (slot, values) in mma.d.iter().zip(&results) {
            self.put(*slot, lanes, values);
        }
        Ok(())
    }
}

/// The low 13 bits of a tf32 operand must be zero: a card ignores them, which truncates instead of rounding.
fn tf32_value(bits: u64, operand: &str) -> Result<f64, Fault> {
    if bits & 0x1fff != 0 {
        let value = f32::from_bits(bits as u32);
        let detail =
            format!("the operand {operand} holds {value:e}, which isn't a tf32 number: cvt.rna.tf32.f32 is missing");
        return Err(Fault::new(Kind::NotTf32, detail));
    }
    Ok(f32::from_bits(bits as u32) as f64)
}
