//! Floating-point arithmetic of f32 and f64, and minimum and maximum of the packed 16-bit formats.

use super::Decoder;
use crate::ParseError;
use crate::approximate;
use crate::float::{self, Rounding, canonical, flushed, from_bf16, from_f16};
use crate::op::{Op, binary, ternary, unary};
use crate::opcode::Opcode;
use crate::statement::Operand;
use crate::ty::Ty;

#[inline(always)]
fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

#[inline(always)]
fn double(bits: u64) -> f64 {
    f64::from_bits(bits)
}

/// What surrounds an f32 operation: `.ftz` on what goes in and comes out, `.sat` on what comes out.
#[derive(Clone, Copy)]
struct Wrap {
    ftz: bool,
    sat: bool,
}

impl Wrap {
    fn of(opcode: &mut Opcode) -> Self {
        Self {
            ftz: opcode.take("ftz"),
            sat: opcode.take("sat"),
        }
    }

    #[inline(always)]
    fn input(self, bits: u64) -> f32 {
        if self.ftz { flushed(single(bits)) } else { single(bits) }
    }

    #[inline(always)]
    fn output(self, x: f32) -> u64 {
        let x = if self.ftz { flushed(x) } else { x };
        match self.sat {
            true if x.is_nan() => 0,
            true => x.clamp(0.0, 1.0).to_bits() as u64,
            false => canonical(x),
        }
    }
}

impl Decoder {
    pub(super) fn floating(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        match opcode.ty()? {
            Ty::F32 => self.f32(opcode, operands),
            Ty::F64 => self.f64(opcode, operands),
            _ => self.half(opcode, operands),
        }
    }

    fn f32(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let (one, two, three) = (Ty::F32, [Ty::F32; 2], [Ty::F32; 3]);
        let wrap = Wrap::of(opcode);
        let plain = !wrap.ftz && !wrap.sat;
        let rounding = opcode.rounding();
        let nearest = matches!(rounding, None | Some(Rounding::Nearest));
        let r = rounding.unwrap_or(Rounding::Nearest);
        let name = opcode.name.clone();
        match name.as_str() {
            "add" if plain && nearest => self.two(opcode, operands, two, |a, b| canonical(single(a) + single(b))),
            "sub" if plain && nearest => self.two(opcode, operands, two, |a, b| canonical(single(a) - single(b))),
            "mul" if plain && nearest => self.two(opcode, operands, two, |a, b| canonical(single(a) * single(b))),
            "add" => self.two(opcode, operands, two, move |a, b| {
                wrap.output(float::add(wrap.input(a), wrap.input(b), r))
            }),
            "sub" => self.two(opcode, operands, two, move |a, b| {
                wrap.output(float::add(wrap.input(a), -wrap.input(b), r))
            }),
            "mul" => self.two(opcode, operands, two, move |a, b| {
                wrap.output(float::product(wrap.input(a), wrap.input(b), r))
            }),
            "fma" | "mad" if plain && rounding == Some(Rounding::Nearest) => {
                let a = self.source(opcode, operands.get(1), one)?;
                let b = self.source(opcode, operands.get(2), one)?;
                let c = self.source(opcode, operands.get(3), one)?;
                Ok(Op::Fma {
                    d: self.target(opcode, operands.first())?,
                    a,
                    b,
                    c,
                })
            }
            "fma" | "mad" if rounding.is_some() => self.three(opcode, operands, three, move |a, b, c| {
                wrap.output(float::fused(wrap.input(a), wrap.input(b), wrap.input(c), r))
            }),
            "div" if rounding.is_some() => self.two(opcode, operands, two, move |a, b| {
                wrap.output(float::quotient(wrap.input(a), wrap.input(b), r))
            }),
            "div" => {
                let full = opcode.take("full");
                if !full && !opcode.take("approx") {
                    return Err(opcode.unsupported());
                }
                let a = self.source(opcode, operands.get(1), one)?;
                let b = self.source(opcode, operands.get(2), one)?;
                Ok(Op::DivideNearly {
                    full,
                    ftz: wrap.ftz,
                    d: self.target(opcode, operands.first())?,
                    a,
                    b,
                })
            }
            "rcp" if rounding.is_some() => self.one(opcode, operands, one, move |a| {
                wrap.output(float::quotient(1.0, wrap.input(a), r))
            }),
            "sqrt" if rounding.is_some() => self.one(opcode, operands, one, move |a| {
                wrap.output(float::root(wrap.input(a), r))
            }),
            "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" if opcode.take("approx") => {
                let f = approximate::named(&name).ok_or_else(|| opcode.unsupported())?;
                let a = self.source(opcode, operands.get(1), one)?;
                Ok(Op::Approximate {
                    f,
                    ftz: wrap.ftz,
                    d: self.target(opcode, operands.first())?,
                    a,
                })
            }
            // Sign operations keep the payload of a NaN.
            "neg" => self.one(opcode, operands, one, move |a| {
                (wrap.input(a).to_bits() ^ 1 << 31) as u64
            }),
            "abs" => self.one(opcode, operands, one, move |a| {
                (wrap.input(a).to_bits() & !(1 << 31)) as u64
            }),
            "min" | "max" => {
                let (nan, greater) = (opcode.take("NaN"), opcode.name == "max");
                let absolute = opcode.take("abs");
                if absolute || opcode.take("xorsign") {
                    return Err(opcode.unsupported());
                }
                self.two(opcode, operands, two, move |a, b| {
                    canonical(extreme(wrap.input(a) as f64, wrap.input(b) as f64, greater, nan) as f32)
                })
            }
            "copysign" => self.two(opcode, operands, two, |a, b| a & 1 << 31 | b & 0x7fff_ffff),
            "testp" => self.predicate(opcode, operands),
            _ => Err(opcode.unsupported()),
        }
    }

    fn f64(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let (one, two, three) = (Ty::F64, [Ty::F64; 2], [Ty::F64; 3]);
        match opcode.rounding() {
            None | Some(Rounding::Nearest) => {}
            Some(_) => return Err(opcode.unsupported()),
        }
        let name = opcode.name.clone();
        match name.as_str() {
            "add" => self.two(opcode, operands, two, |a, b| (double(a) + double(b)).to_bits()),
            "sub" => self.two(opcode, operands, two, |a, b| (double(a) - double(b)).to_bits()),
            "mul" => self.two(opcode, operands, two, |a, b| (double(a) * double(b)).to_bits()),
            "fma" | "mad" => self.three(opcode, operands, three, |a, b, c| {
                double(a).mul_add(double(b), double(c)).to_bits()
            }),
            "div" => self.two(opcode, operands, two, |a, b| (double(a) / double(b)).to_bits()),
            "rcp" => self.one(opcode, operands, one, |a| (1.0 / double(a)).to_bits()),
            "sqrt" => self.one(opcode, operands, one, |a| double(a).sqrt().to_bits()),
            "neg" => self.one(opcode, operands, one, |a| a ^ 1 << 63),
            "abs" => self.one(opcode, operands, one, |a| a & !(1 << 63)),
            "min" | "max" => {
                let greater = opcode.name == "max";
                self.two(opcode, operands, two, move |a, b| {
                    extreme(double(a), double(b), greater, false).to_bits()
                })
            }
            "copysign" => self.two(opcode, operands, two, |a, b| a & 1 << 63 | b & !(1 << 63)),
            _ => Err(opcode.unsupported()),
        }
    }

    /// f16, bf16 and their pairs: sums, products and extremes, computed exactly and rounded once.
    fn half(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let ty = opcode.ty()?;
        let pair = matches!(ty, Ty::F16x2 | Ty::Bf16x2);
        let bfloat = matches!(ty, Ty::Bf16 | Ty::Bf16x2);
        match opcode.rounding() {
            None | Some(Rounding::Nearest) => {}
            Some(_) => return Err(opcode.unsupported()),
        }
        let nan = opcode.take("NaN");
        let value = move |bits: u64| {
            (if bfloat {
                from_bf16(bits as u16)
            } else {
                from_f16(bits as u16)
            }) as f64
        };
        let rounded = move |x: f64| {
            (if bfloat {
                float::to_bf16(x, Rounding::Nearest)
            } else {
                float::to_f16(x, Rounding::Nearest)
            }) as u64
        };
        let each = move |f: &dyn Fn(u32) -> u64| if pair { f(0) | f(16) << 16 } else { f(0) };
        let sign = if pair { 0x8000_8000 } else { 0x8000 };
        let source = |this: &mut Self, index| this.source(opcode, operands.get(index), ty);
        let a = source(self, 1)?;
        let d = self.target(opcode, operands.first())?;
        let name = opcode.name.clone();
        match name.as_str() {
            "neg" => {
                return Ok(Op::Unary {
                    f: unary(move |a| a ^ sign),
                    d,
                    a,
                });
            }
            "abs" => {
                return Ok(Op::Unary {
                    f: unary(move |a| a & !sign),
                    d,
                    a,
                });
            }
            _ => {}
        }
        let b = source(self, 2)?;
        let f: fn(f64, f64, bool) -> f64 = match opcode.name.as_str() {
            "fma" => {
                let c = source(self, 3)?;
                // Half products and sums of 2 x 11 bits fit an f64 for all but far-apart exponents; fma rounds once.
                let f = move |a: u64, b: u64, c: u64| {
                    each(&|at| rounded(value(a >> at).mul_add(value(b >> at), value(c >> at))))
                };
                return Ok(Op::Ternary {
                    f: ternary(f),
                    d,
                    a,
                    b,
                    c,
                });
            }
            "add" => |x, y, _| x + y,
            "sub" => |x, y, _| x - y,
            "mul" => |x, y, _| x * y,
            "min" => |x, y, nan| extreme(x, y, false, nan),
            "max" => |x, y, nan| extreme(x, y, true, nan),
            _ => return Err(opcode.unsupported()),
        };
        let f = move |a: u64, b: u64| each(&|at| rounded(f(value(a >> at), value(b >> at), nan)));
        Ok(Op::Binary { f: binary(f), d, a, b })
    }
}

/// Minimum or maximum: a NaN loses against a number unless `.NaN` asks for it; -0 is less than +0.
fn extreme(x: f64, y: f64, greater: bool, nan: bool) -> f64 {
    if x.is_nan() || y.is_nan() {
        return match (nan, x.is_nan()) {
            (true, _) => f64::NAN,
            (_, true) => y,
            (_, false) => x,
        };
    }
    if x.total_cmp(&y).is_gt() == greater { x } else { y }
}
