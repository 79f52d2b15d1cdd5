//! `cvt`: between integers, between floats, and from one to the other.

use super::Decoder;
use crate::ParseError;
use crate::float::{self, F32, Rounding, TF32, canonical, flushed, from_bf16, from_f16, to_bf16, to_f16};
use crate::op::{Op, binary, unary};
use crate::opcode::Opcode;
use crate::statement::Operand;
use crate::ty::{Ty, low, signed};

impl Decoder {
    pub(super) fn convert(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let &[to, from] = &opcode.types[..] else {
            return Err(opcode.unsupported());
        };
        let (ftz, sat, relu) = (opcode.take("ftz"), opcode.take("sat"), opcode.take("relu"));
        let to_integer = opcode.integer_rounding();
        let rounding = opcode.rounding();
        let d = self.target(opcode, operands.first())?;
        let d_bits = Self::width(operands.first());
        if matches!(to, Ty::F16x2 | Ty::Bf16x2) {
            // d = (first operand high, second low).
            let rounding = rounding.ok_or_else(|| opcode.error("a rounding mode is wanted"))?;
            let (a, b) = (
                self.source(opcode, operands.get(1), from)?,
                self.source(opcode, operands.get(2), from)?,
            );
            let part = move |bits: u64| {
                let x = f32::from_bits(bits as u32);
                let x = if relu && x < 0.0 { 0.0 } else { x };
                (if to == Ty::F16x2 {
                    to_f16(x as f64, rounding)
                } else {
                    to_bf16(x as f64, rounding)
                }) as u64
            };
            return Ok(Op::Binary {
                f: binary(move |a, b| part(a) << 16 | part(b)),
                d,
                a,
                b,
            });
        }
        let a = self.source(opcode, operands.get(1), from)?;
        let f = match (from.is_float(), to.is_float()) {
            (false, false) => integer_to_integer(from, to, sat, d_bits),
            (false, true) => integer_to_float(opcode, from, to, rounding)?,
            (true, false) => {
                let rounding = to_integer.ok_or_else(|| opcode.error("a rounding mode is wanted"))?;
                return Ok(Op::Unary {
                    f: unary(float_to_integer(from, to, rounding, ftz, d_bits)),
                    d,
                    a,
                });
            }
            (true, true) => {
                let narrows = to.bits() < from.bits() || matches!(to, Ty::Tf32);
                if narrows && rounding.is_none() {
                    return Err(opcode.error("a rounding mode is wanted"));
                }
                let rounding = rounding.unwrap_or(Rounding::Nearest);
                return Ok(Op::Unary {
                    f: unary(move |a| {
                        let x = value(a, from, ftz);
                        let x = to_integer.map_or(x, |mode| float::to_integer(x, mode));
                        let x = if sat {
                            if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) }
                        } else {
                            x
                        };
                        encode(if relu && x < 0.0 { 0.0 } else { x }, to, rounding, ftz)
                    }),
                    d,
                    a,
                });
            }
        };
        Ok(Op::Unary { f, d, a })
    }
}

fn value(bits: u64, ty: Ty, ftz: bool) -> f64 {
    match ty {
        Ty::F64 => f64::from_bits(bits),
        Ty::F16 => from_f16(bits as u16) as f64,
        Ty::Bf16 => from_bf16(bits as u16) as f64,
        _ if ftz => flushed(f32::from_bits(bits as u32)) as f64,
        _ => f32::from_bits(bits as u32) as f64,
    }
}

fn encode(x: f64, ty: Ty, rounding: Rounding, ftz: bool) -> u64 {
    match ty {
        Ty::F64 => x.to_bits(),
        Ty::F16 => to_f16(x, rounding) as u64,
        Ty::Bf16 => to_bf16(x, rounding) as u64,
        Ty::Tf32 => canonical(TF32.round(x, 0.0, rounding) as f32),
        _ => {
            let y = F32.round(x, 0.0, rounding) as f32;
            canonical(if ftz { flushed(y) } else { y })
        }
    }
}

/// A destination wider than the type is filled by the sign or by zeros.
fn widened(value: u64, ty: Ty, d_bits: u32) -> u64 {
    if ty.is_signed() {
        low(signed(value, ty.bits()) as u64, d_bits)
    } else {
        low(value, ty.bits())
    }
}

fn integer_to_integer(from: Ty, to: Ty, sat: bool, d_bits: u32) -> crate::op::Unary {
    unary(move |a| {
        let x = if from.is_signed() {
            signed(a, from.bits()) as i128
        } else {
            low(a, from.bits()) as i128
        };
        let x = if sat { x.clamp(least(to), greatest(to)) } else { x };
        widened(x as u64, to, d_bits)
    })
}

fn integer_to_float(
    opcode: &Opcode,
    from: Ty,
    to: Ty,
    rounding: Option<Rounding>,
) -> Result<crate::op::Unary, ParseError> {
    let rounding = rounding.ok_or_else(|| opcode.error("a rounding mode is wanted"))?;
    if from.bits() == 64 && to == Ty::F64 && rounding != Rounding::Nearest {
        return Err(opcode.unsupported());
    }
    Ok(unary(move |a| {
        let x = if from.is_signed() {
            signed(a, from.bits()) as i128
        } else {
            low(a, from.bits()) as i128
        };
        if to == Ty::F64 {
            return (x as f64).to_bits();
        }
        // 64 bits do not fit an f64: the sign of what is left over decides.
        let high = x as f64;
        let below = (x - high as i128) as f64;
        match to {
            Ty::F32 => (F32.round(high, below, rounding) as f32).to_bits() as u64,
            _ => encode(high, to, rounding, false),
        }
    }))
}

/// Out of range gives the nearest value of the type; NaN gives 0, but the top bit alone where f64 or 64 bits are involved.
fn float_to_integer(from: Ty, to: Ty, rounding: Rounding, ftz: bool, d_bits: u32) -> impl Fn(u64) -> u64 {
    move |a| {
        let x = value(a, from, ftz);
        let integer = if x.is_nan() {
            if from == Ty::F64 || to.bits() == 64 {
                1i128 << (to.bits() - 1)
            } else {
                0
            }
        } else {
            (float::to_integer(x, rounding) as i128).clamp(least(to), greatest(to))
        };
        widened(integer as u64, to, d_bits)
    }
}

fn least(ty: Ty) -> i128 {
    if ty.is_signed() { -(1 << (ty.bits() - 1)) } else { 0 }
}

fn greatest(ty: Ty) -> i128 {
    if ty.is_signed() {
        (1 << (ty.bits() - 1)) - 1
    } else {
        (1 << ty.bits()) - 1
    }
}
