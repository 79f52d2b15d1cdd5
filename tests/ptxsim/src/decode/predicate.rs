//! Comparisons, selections and logic on predicates.

use super::Decoder;
use crate::ParseError;
use crate::float::{flushed, from_bf16, from_f16};
use crate::op::{Compare, Condition, Fixed, Join, Op, compare};
use crate::opcode::Opcode;
use crate::statement::{Operand, Register};
use crate::ty::{Ty, low, signed};

impl Decoder {
    pub(super) fn predicate(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        match opcode.name.as_str() {
            "setp" => self.setp(opcode, operands),
            "selp" => {
                let ty = opcode.ty()?;
                let a = self.source(opcode, operands.get(1), ty)?;
                let b = self.source(opcode, operands.get(2), ty)?;
                let p = self.condition(opcode, operands.get(3))?;
                Ok(Op::Select {
                    d: self.target(opcode, operands.first())?,
                    a,
                    b,
                    p,
                })
            }
            "testp" => {
                let class = opcode
                    .choose(&[
                        ("finite", 0),
                        ("infinite", 1),
                        ("number", 2),
                        ("notanumber", 3),
                        ("normal", 4),
                    ])
                    .ok_or_else(|| opcode.unsupported())?;
                let a = self.source(opcode, operands.get(1), Ty::F32)?;
                let f = move |a: u64, _| {
                    let x = f32::from_bits(a as u32);
                    match class {
                        0 => x.is_finite(),
                        1 => x.is_infinite(),
                        2 => !x.is_nan(),
                        3 => x.is_nan(),
                        _ => x.is_normal(),
                    }
                };
                let p = self.predicate_target(opcode, operands.first())?;
                Ok(Op::Set {
                    f: compare(f),
                    p,
                    q: None,
                    a,
                    b: a,
                    join: None,
                })
            }
            name => {
                let d = self.predicate_target(opcode, operands.first())?;
                let a = self.condition(opcode, operands.get(1))?;
                let join = match name {
                    "not" => {
                        let a = Condition {
                            negated: !a.negated,
                            ..a
                        };
                        return Ok(Op::MovePredicate { d, a });
                    }
                    "and" => Join::And,
                    "or" => Join::Or,
                    "xor" => Join::Xor,
                    _ => return Err(opcode.unsupported()),
                };
                Ok(Op::Logic {
                    join,
                    d,
                    a,
                    b: self.condition(opcode, operands.get(2))?,
                })
            }
        }
    }

    fn setp(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let ty = opcode.ty()?;
        let ftz = opcode.take("ftz");
        let join = opcode.choose(&[("and", Join::And), ("or", Join::Or), ("xor", Join::Xor)]);
        let f = comparison(opcode, ty, ftz)?;
        let (p, q) = match operands.first() {
            Some(Operand::Pair(p, q)) => (
                self.predicate_target(opcode, Some(p))?,
                Some(self.predicate_target(opcode, Some(q))?),
            ),
            p => (self.predicate_target(opcode, p)?, None),
        };
        let a = self.source(opcode, operands.get(1), ty)?;
        let b = self.source(opcode, operands.get(2), ty)?;
        let join = match join {
            Some(join) => Some((join, self.condition(opcode, operands.get(3))?)),
            None => None,
        };
        Ok(Op::Set { f, p, q, a, b, join })
    }

    pub(super) fn mov(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let ty = opcode.ty()?;
        if ty == Ty::Pred {
            let d = self.predicate_target(opcode, operands.first())?;
            return match operands.get(1) {
                Some(Operand::Integer(value)) => Ok(Op::ConstantPredicate { d, value: *value != 0 }),
                a => Ok(Op::MovePredicate {
                    d,
                    a: self.condition(opcode, a)?,
                }),
            };
        }
        if let Some(Operand::Vector(parts)) = operands.get(1) {
            let bits = ty.bits() / parts.len() as u32;
            let part = part_type(opcode, bits)?;
            let parts = parts
                .iter()
                .map(|p| self.source(opcode, Some(p), part))
                .collect::<Result<_, _>>()?;
            return Ok(Op::Pack {
                d: self.target(opcode, operands.first())?,
                parts,
                bits,
            });
        }
        if let Some(Operand::Vector(parts)) = operands.first() {
            let bits = ty.bits() / parts.len() as u32;
            part_type(opcode, bits)?;
            let a = self.source(opcode, operands.get(1), ty)?;
            let slot = |part: &Operand| match part {
                Operand::Register(Register::Slot(slot, width)) if *width == bits => Ok(Some(*slot)),
                Operand::Sink => Ok(None),
                other => Err(opcode.error(format!("not a register of {bits} bits: {other:?}"))),
            };
            return Ok(Op::Unpack {
                parts: parts.iter().map(slot).collect::<Result<_, _>>()?,
                bits,
                a,
            });
        }
        let d = self.target(opcode, operands.first())?;
        if let Some(Operand::Name(name, _)) = operands.get(1) {
            match name.as_str() {
                "%clock64" => return Ok(Op::Clock { d, bits: 64 }),
                "%clock" => return Ok(Op::Clock { d, bits: 32 }),
                "%globaltimer" => return Ok(Op::Clock { d, bits: 64 }),
                _ => {}
            }
        }
        Ok(Op::Move {
            d,
            a: self.source(opcode, operands.get(1), ty)?,
        })
    }

    /// Addresses of global memory are generic ones; shared and local memory have windows of their own.
    pub(super) fn cvta(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let to = opcode.take("to");
        let window = opcode
            .choose(&[
                ("global", 0),
                ("const", 0),
                ("shared", crate::memory::SHARED_WINDOW),
                ("local", crate::memory::LOCAL_WINDOW),
            ])
            .ok_or_else(|| opcode.unsupported())?;
        let ty = opcode.ty()?;
        let a = self.source(opcode, operands.get(1), ty)?;
        let window = self.fixed(Fixed::Value(window));
        let f = crate::op::binary(move |a, window| {
            if to {
                a.wrapping_sub(window)
            } else {
                a.wrapping_add(window)
            }
        });
        Ok(Op::Binary {
            f,
            d: self.target(opcode, operands.first())?,
            a,
            b: window,
        })
    }
}

fn part_type(opcode: &Opcode, bits: u32) -> Result<Ty, ParseError> {
    match bits {
        8 => Ok(Ty::B8),
        16 => Ok(Ty::B16),
        32 => Ok(Ty::B32),
        _ => Err(opcode.unsupported()),
    }
}

/// Lanes where the comparison holds. With a NaN the ordered ones are false, the unordered ones (`.ltu`) true.
fn comparison(opcode: &mut Opcode, ty: Ty, ftz: bool) -> Result<Compare, ParseError> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    type Holds = fn(std::cmp::Ordering) -> bool;
    let ordered: [(&str, Holds); 10] = [
        ("eq", |o| o == Equal),
        ("ne", |o| o != Equal),
        ("lt", |o| o == Less),
        ("le", |o| o != Greater),
        ("gt", |o| o == Greater),
        ("ge", |o| o != Less),
        ("lo", |o| o == Less),
        ("ls", |o| o != Greater),
        ("hi", |o| o == Greater),
        ("hs", |o| o != Less),
    ];
    let bits = ty.bits();
    if !ty.is_float() {
        let holds = opcode.choose(&ordered).ok_or_else(|| opcode.unsupported())?;
        return Ok(if ty.is_signed() {
            compare(move |a, b| holds(signed(a, bits).cmp(&signed(b, bits))))
        } else {
            compare(move |a, b| holds(low(a, bits).cmp(&low(b, bits))))
        });
    }
    let value = move |a: u64| match ty {
        Ty::F64 => f64::from_bits(a),
        Ty::F16 => from_f16(a as u16) as f64,
        Ty::Bf16 => from_bf16(a as u16) as f64,
        _ if ftz => flushed(f32::from_bits(a as u32)) as f64,
        _ => f32::from_bits(a as u32) as f64,
    };
    if matches!(ty, Ty::F16x2 | Ty::Bf16x2 | Ty::Tf32) {
        return Err(opcode.unsupported());
    }
    if opcode.take("num") {
        return Ok(compare(move |a, b| !value(a).is_nan() && !value(b).is_nan()));
    }
    if opcode.take("nan") {
        return Ok(compare(move |a, b| value(a).is_nan() || value(b).is_nan()));
    }
    let unordered: [(&str, Holds); 6] = [
        ("equ", |o| o == Equal),
        ("neu", |o| o != Equal),
        ("ltu", |o| o == Less),
        ("leu", |o| o != Greater),
        ("gtu", |o| o == Greater),
        ("geu", |o| o != Less),
    ];
    if let Some(holds) = opcode.choose(&unordered) {
        return Ok(compare(move |a, b| value(a).partial_cmp(&value(b)).is_none_or(holds)));
    }
    let holds = opcode.choose(&ordered[..6]).ok_or_else(|| opcode.unsupported())?;
    Ok(compare(move |a, b| value(a).partial_cmp(&value(b)).is_some_and(holds)))
}
