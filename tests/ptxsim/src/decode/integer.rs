//! Integer and bit instructions.

use super::Decoder;
use crate::ParseError;
use crate::op::{Op, binary, ternary, unary};
use crate::opcode::Opcode;
use crate::statement::Operand;
use crate::ty::{Ty, low, signed};

impl Decoder {
    pub(super) fn integer(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let ty = opcode.ty()?;
        let bits = ty.bits();
        match opcode.name.as_str() {
            "add" | "sub" | "and" | "or" | "xor" | "shl" | "shr" | "div" | "rem" | "min" | "max" => {
                self.integer_pair(opcode, operands, ty)
            }
            "mul" | "mad" => self.integer_product(opcode, operands, ty),
            "not" => self.one(opcode, operands, ty, move |a| low(!a, bits)),
            "cnot" => self.one(opcode, operands, ty, move |a| (low(a, bits) == 0) as u64),
            "neg" => self.one(opcode, operands, ty, move |a| low(a.wrapping_neg(), bits)),
            "abs" => self.one(opcode, operands, ty, move |a| low(signed(a, bits).unsigned_abs(), bits)),
            "popc" => self.one(opcode, operands, ty, move |a| low(a, bits).count_ones() as u64),
            "clz" => self.one(opcode, operands, ty, move |a| {
                (low(a, bits) << (64 - bits) | bit_below(bits)).leading_zeros() as u64
            }),
            "brev" => self.one(opcode, operands, ty, move |a| {
                low(a, bits).reverse_bits() >> (64 - bits)
            }),
            "bfind" => {
                let shift_amount = opcode.take("shiftamt");
                self.one(opcode, operands, ty, move |a| {
                    let value = if ty.is_signed() && signed(a, bits) < 0 {
                        low(!a, bits)
                    } else {
                        low(a, bits)
                    };
                    match value {
                        0 => 0xffff_ffff,
                        _ if shift_amount => (bits - 1 - value.ilog2()) as u64,
                        _ => value.ilog2() as u64,
                    }
                })
            }
            "bfe" => self.three(opcode, operands, [ty, Ty::U32, Ty::U32], move |a, at, length| {
                extract(low(a, bits), (at & 0xff) as u32, (length & 0xff) as u32, ty)
            }),
            "bfi" => {
                let a = self.source(opcode, operands.get(1), ty)?;
                let b = self.source(opcode, operands.get(2), ty)?;
                let at = self.source(opcode, operands.get(3), Ty::U32)?;
                let length = self.source(opcode, operands.get(4), Ty::U32)?;
                Ok(Op::Insert {
                    d: self.target(opcode, operands.first())?,
                    a,
                    b,
                    at,
                    length,
                    bits,
                })
            }
            "prmt" => self.three(opcode, operands, [Ty::B32, Ty::B32, Ty::B32], |a, b, selector| {
                let bytes = a | b << 32;
                (0..4).fold(0, |result, index| {
                    let pick = selector >> (4 * index) & 0xf;
                    let byte = bytes >> (8 * (pick & 7)) & 0xff;
                    let byte = if pick & 8 == 0 { byte } else { 0xff * (byte >> 7) };
                    result | byte << (8 * index)
                })
            }),
            "shf" => {
                let left = opcode
                    .choose(&[("l", true), ("r", false)])
                    .ok_or_else(|| opcode.unsupported())?;
                let wrap = opcode
                    .choose(&[("wrap", true), ("clamp", false)])
                    .ok_or_else(|| opcode.unsupported())?;
                self.three(opcode, operands, [Ty::B32, Ty::B32, Ty::U32], move |a, b, n| {
                    let n = if wrap { n & 31 } else { n.min(32) };
                    let both = b << 32 | a;
                    if left {
                        low(both >> (32 - n), 32)
                    } else {
                        low(both >> n, 32)
                    }
                })
            }
            "lop3" => {
                let Some(Operand::Integer(table)) = operands.get(4) else {
                    return Err(opcode.error("the table must be a constant"));
                };
                let table = *table;
                self.three(opcode, operands, [Ty::B32, Ty::B32, Ty::B32], move |a, b, c| {
                    (0..8).filter(|row| table >> row & 1 == 1).fold(0, |result, row| {
                        let pick = |value: u64, bit: u32| if row >> bit & 1 == 1 { value } else { low(!value, 32) };
                        result | pick(a, 2) & pick(b, 1) & pick(c, 0)
                    })
                })
            }
            "sad" => self.three(opcode, operands, [ty, ty, ty], move |a, b, c| {
                let distance = if ty.is_signed() {
                    signed(a, bits).abs_diff(signed(b, bits))
                } else {
                    low(a, bits).abs_diff(low(b, bits))
                };
                low(c.wrapping_add(distance), bits)
            }),
            "dp4a" => {
                let types = opcode.types.clone();
                let &[first, second] = &types[..] else {
                    return Err(opcode.unsupported());
                };
                self.three(opcode, operands, [Ty::B32, Ty::B32, Ty::B32], move |a, b, c| {
                    let byte = |value: u64, index: u32, ty: Ty| {
                        let byte = value >> (8 * index) & 0xff;
                        if ty.is_signed() { signed(byte, 8) } else { byte as i64 }
                    };
                    let dot: i64 = (0..4).map(|i| byte(a, i, first) * byte(b, i, second)).sum();
                    low(c.wrapping_add_signed(dot), 32)
                })
            }
            _ => Err(opcode.unsupported()),
        }
    }

    fn integer_pair(&mut self, opcode: &mut Opcode, operands: &[Operand], ty: Ty) -> Result<Op, ParseError> {
        let (bits, is_signed) = (ty.bits(), ty.is_signed());
        if opcode.take("sat") {
            if ty != Ty::S32 || !matches!(opcode.name.as_str(), "add" | "sub") {
                return Err(opcode.unsupported());
            }
            let sign = if opcode.name == "add" { 1 } else { -1 };
            return self.two(opcode, operands, [ty, ty], move |a, b| {
                let sum = signed(a, 32) + sign * signed(b, 32);
                sum.clamp(i32::MIN as i64, i32::MAX as i64) as u32 as u64
            });
        }
        let order = move |a: u64, b: u64| {
            if is_signed {
                signed(a, bits).cmp(&signed(b, bits))
            } else {
                low(a, bits).cmp(&low(b, bits))
            }
        };
        match opcode.name.as_str() {
            "add" => self.two(opcode, operands, [ty, ty], move |a, b| low(a.wrapping_add(b), bits)),
            "sub" => self.two(opcode, operands, [ty, ty], move |a, b| low(a.wrapping_sub(b), bits)),
            "and" => self.two(opcode, operands, [ty, ty], |a, b| a & b),
            "or" => self.two(opcode, operands, [ty, ty], |a, b| a | b),
            "xor" => self.two(opcode, operands, [ty, ty], |a, b| a ^ b),
            // Amounts beyond the width count as the width.
            "shl" => self.two(opcode, operands, [ty, Ty::U32], move |a, n| {
                let n = low(n, 32);
                if n >= bits as u64 { 0 } else { low(a << n, bits) }
            }),
            "shr" if is_signed => self.two(opcode, operands, [ty, Ty::U32], move |a, n| {
                low((signed(a, bits) >> low(n, 32).min(bits as u64 - 1)) as u64, bits)
            }),
            "shr" => self.two(opcode, operands, [ty, Ty::U32], move |a, n| {
                let n = low(n, 32);
                if n >= bits as u64 { 0 } else { low(a, bits) >> n }
            }),
            "min" => self.two(
                opcode,
                operands,
                [ty, ty],
                move |a, b| if order(b, a).is_lt() { b } else { a },
            ),
            "max" => self.two(
                opcode,
                operands,
                [ty, ty],
                move |a, b| if order(b, a).is_gt() { b } else { a },
            ),
            "div" => self.two(opcode, operands, [ty, ty], move |a, b| match low(b, bits) {
                // The manual leaves it open; cards give all ones.
                0 => low(u64::MAX, bits),
                _ if is_signed => low(signed(a, bits).wrapping_div(signed(b, bits)) as u64, bits),
                b => low(a, bits) / b,
            }),
            _ => self.two(opcode, operands, [ty, ty], move |a, b| match low(b, bits) {
                0 => low(a, bits),
                _ if is_signed => low(signed(a, bits).wrapping_rem(signed(b, bits)) as u64, bits),
                b => low(a, bits) % b,
            }),
        }
    }

    fn integer_product(&mut self, opcode: &mut Opcode, operands: &[Operand], ty: Ty) -> Result<Op, ParseError> {
        let (bits, is_signed) = (ty.bits(), ty.is_signed());
        let part = opcode
            .choose(&[("lo", 0), ("hi", 1), ("wide", 2)])
            .ok_or_else(|| opcode.unsupported())?;
        let product = move |a: u64, b: u64| {
            let both = if is_signed {
                (signed(a, bits) as i128 * signed(b, bits) as i128) as u128
            } else {
                low(a, bits) as u128 * low(b, bits) as u128
            };
            if part == 1 { (both >> bits) as u64 } else { both as u64 }
        };
        if part == 2 && bits > 32 {
            return Err(opcode.unsupported());
        }
        let (wide, result_bits) = match (part, bits) {
            (2, 16) => (Ty::B32, 32),
            (2, _) => (Ty::B64, 64),
            _ => (ty, bits),
        };
        if opcode.name == "mul" {
            return self.two(opcode, operands, [ty, ty], move |a, b| low(product(a, b), result_bits));
        }
        self.three(opcode, operands, [ty, ty, wide], move |a, b, c| {
            low(product(a, b).wrapping_add(c), result_bits)
        })
    }

    /// d = f(a).
    pub(super) fn one(
        &mut self,
        opcode: &Opcode,
        operands: &[Operand],
        from: Ty,
        f: impl Fn(u64) -> u64 + Send + Sync + 'static,
    ) -> Result<Op, ParseError> {
        let a = self.source(opcode, operands.get(1), from)?;
        Ok(Op::Unary {
            f: unary(f),
            d: self.target(opcode, operands.first())?,
            a,
        })
    }

    /// d = f(a, b).
    pub(super) fn two(
        &mut self,
        opcode: &Opcode,
        operands: &[Operand],
        types: [Ty; 2],
        f: impl Fn(u64, u64) -> u64 + Send + Sync + 'static,
    ) -> Result<Op, ParseError> {
        let a = self.source(opcode, operands.get(1), types[0])?;
        let b = self.source(opcode, operands.get(2), types[1])?;
        Ok(Op::Binary {
            f: binary(f),
            d: self.target(opcode, operands.first())?,
            a,
            b,
        })
    }

    /// d = f(a, b, c).
    pub(super) fn three(
        &mut self,
        opcode: &Opcode,
        operands: &[Operand],
        types: [Ty; 3],
        f: impl Fn(u64, u64, u64) -> u64 + Send + Sync + 'static,
    ) -> Result<Op, ParseError> {
        let a = self.source(opcode, operands.get(1), types[0])?;
        let b = self.source(opcode, operands.get(2), types[1])?;
        let c = self.source(opcode, operands.get(3), types[2])?;
        Ok(Op::Ternary {
            f: ternary(f),
            d: self.target(opcode, operands.first())?,
            a,
            b,
            c,
        })
    }
}

/// A one just below the lowest of the top `bits` bits, so that leading zeros stop there.
fn bit_below(bits: u32) -> u64 {
    if bits == 64 { 0 } else { 1 << (63 - bits) }
}

/// Bits at..at+length of `a`; beyond its end comes the sign of the field's last bit.
fn extract(a: u64, at: u32, length: u32, ty: Ty) -> u64 {
    let bits = ty.bits();
    let sign = if ty.is_signed() && length > 0 {
        a >> (at + length - 1).min(bits - 1) & 1
    } else {
        0
    };
    (0..bits).fold(0, |result, bit| {
        let inside = bit < length && at + bit < bits;
        result | (if inside { a >> (at + bit) & 1 } else { sign }) << bit
    })
}

/// b with `length` bits from `at` on replaced by the low ones of a.
pub(crate) fn insert(a: u64, b: u64, at: u64, length: u64, bits: u32) -> u64 {
    let (at, length) = ((at & 0xff) as u32, (length & 0xff) as u32);
    if at >= bits {
        return b;
    }
    let field = low(u64::MAX, length.min(64)) << at;
    low(b & !field | a << at & field, bits)
}
