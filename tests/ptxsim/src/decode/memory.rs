//! Loads, stores, atomics, asynchronous copies, ldmatrix.

use super::Decoder;
use crate::ParseError;
use crate::op::{Address, AsyncCopy, Atomic, Op, Space, Strength, Transfer};
use crate::opcode::Opcode;
use crate::statement::Operand;
use crate::ty::{Ty, low, signed};

impl Decoder {
    pub(super) fn memory(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        match opcode.name.as_str() {
            "ld" | "ldu" | "st" => self.transfer(opcode, operands),
            "atom" | "red" => self.atomic(opcode, operands),
            "cp" => self.copy(opcode, operands),
            "ldmatrix" => self.load_matrix(opcode, operands),
            "prefetch" | "prefetchu" => {
                let space = space(opcode);
                opcode.choose(&[("L1", ()), ("L2", ())]);
                self.address(opcode, operands.first(), space)?;
                Ok(Op::Nothing)
            }
            _ => Err(opcode.unsupported()),
        }
    }

    fn transfer(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let space = space(opcode);
        let ty = opcode.ty()?;
        let store = opcode.name == "st";
        let read_only = opcode.take("nc") || opcode.name == "ldu";
        let strong = ["volatile", "relaxed", "acquire", "release"]
            .iter()
            .any(|part| opcode.take(part));
        hints(opcode);
        let count = opcode.choose(&[("v2", 2), ("v4", 4)]).unwrap_or(1usize);
        let (address, data) = if store {
            (operands.first(), operands.get(1))
        } else {
            (operands.get(1), operands.first())
        };
        let address = self.address(opcode, address, space)?;
        let parts = match data {
            Some(Operand::Vector(parts)) => &parts[..],
            Some(one) => std::slice::from_ref(one),
            None => return Err(opcode.unsupported()),
        };
        if parts.len() != count {
            return Err(opcode.error(format!("{} values where {count} are wanted", parts.len())));
        }
        let mut slots = [None; 4];
        for (slot, part) in slots.iter_mut().zip(parts) {
            *slot = match part {
                Operand::Sink if !store => None,
                part if store => Some(self.source(opcode, Some(part), ty)?),
                part => Some(self.target(opcode, Some(part))?),
            };
        }
        let strength = match (read_only, strong) {
            (true, _) => Strength::ReadOnly,
            (_, true) => Strength::Strong,
            _ => Strength::Weak,
        };
        let bytes = ty.bytes() as u8;
        // A register wider than the type is filled by its sign.
        let extend_to = (ty.is_signed() && !store).then(|| Self::width(parts.first()));
        let transfer = Transfer {
            address,
            slots,
            count: count as u8,
            bytes,
            extend_to,
            strength,
        };
        if store && matches!(space, Space::Param | Space::Constant) {
            return Err(opcode.unsupported());
        }
        Ok(if store { Op::Store(transfer) } else { Op::Load(transfer) })
    }

    fn atomic(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let space = space(opcode);
        let ty = opcode.ty()?;
        for part in ["relaxed", "acquire", "release", "acq_rel", "cta", "gpu", "sys", "noftz"] {
            opcode.take(part);
        }
        let operation = opcode
            .choose(&[
                ("add", "add"),
                ("min", "min"),
                ("max", "max"),
                ("and", "and"),
                ("or", "or"),
                ("xor", "xor"),
                ("exch", "exch"),
                ("cas", "cas"),
                ("inc", "inc"),
                ("dec", "dec"),
            ])
            .ok_or_else(|| opcode.unsupported())?;
        let apply = atomic_function(operation, ty).ok_or_else(|| opcode.unsupported())?;
        let returns = opcode.name == "atom";
        let at = returns as usize;
        let old = if returns {
            Some(self.target(opcode, operands.first())?)
        } else {
            None
        };
        let address = self.address(opcode, operands.get(at), space)?;
        let b = self.source(opcode, operands.get(at + 1), ty)?;
        let c = if operation == "cas" {
            self.source(opcode, operands.get(at + 2), ty)?
        } else {
            b
        };
        Ok(Op::Atomic(Atomic {
            address,
            old,
            bytes: ty.bytes() as u8,
            apply,
            b,
            c,
        }))
    }

    fn copy(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        if !opcode.take("async") {
            return Err(opcode.unsupported());
        }
        if opcode.take("commit_group") {
            return Ok(Op::AsyncCommit);
        }
        if opcode.take("wait_all") {
            return Ok(Op::AsyncWait(None));
        }
        if opcode.take("wait_group") {
            let Some(Operand::Integer(groups)) = operands.first() else {
                return Err(opcode.unsupported());
            };
            return Ok(Op::AsyncWait(Some(*groups)));
        }
        let around = opcode
            .choose(&[("ca", false), ("cg", true)])
            .ok_or_else(|| opcode.unsupported())?;
        if !(opcode.take("shared") || opcode.take("shared::cta")) || !opcode.take("global") {
            return Err(opcode.unsupported());
        }
        hints(opcode);
        let Some(&Operand::Integer(bytes)) = operands.get(2) else {
            return Err(opcode.unsupported());
        };
        if !(bytes == 16 || !around && matches!(bytes, 4 | 8)) {
            return Err(opcode.error(format!("{bytes} bytes can't be copied")));
        }
        let to = self.address(opcode, operands.first(), Space::Shared)?;
        let from = self.address(opcode, operands.get(1), Space::Global)?;
        let (mut read, mut ignore) = (None, None);
        match operands.get(3) {
            None => {}
            Some(Operand::Register(crate::statement::Register::Predicate(_)) | Operand::Not(_)) => {
                ignore = Some(self.condition(opcode, operands.get(3))?);
            }
            size => read = Some(self.source(opcode, size, Ty::U32)?),
        }
        Ok(Op::AsyncCopy(AsyncCopy {
            to,
            from,
            bytes: bytes as u8,
            read,
            ignore,
        }))
    }

    fn load_matrix(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        if opcode.types != [Ty::B16] || !opcode.take("sync") || !opcode.take("aligned") || !opcode.take("m8n8") {
            return Err(opcode.unsupported());
        }
        let count = opcode
            .choose(&[("x1", 1), ("x2", 2), ("x4", 4)])
            .ok_or_else(|| opcode.unsupported())?;
        let transposed = opcode.take("trans");
        let shared = opcode.take("shared") || opcode.take("shared::cta");
        let space = if shared { Space::Shared } else { Space::Generic };
        let parts = match operands.first() {
            Some(Operand::Vector(parts)) => &parts[..],
            Some(one) => std::slice::from_ref(one),
            None => return Err(opcode.unsupported()),
        };
        if parts.len() != count {
            return Err(opcode.error(format!("{} registers where {count} are wanted", parts.len())));
        }
        let d = parts
            .iter()
            .map(|part| self.target(opcode, Some(part)))
            .collect::<Result<_, _>>()?;
        let address: Address = self.address(opcode, operands.get(1), space)?;
        Ok(Op::LoadMatrix { address, d, transposed })
    }
}

fn space(opcode: &mut Opcode) -> Space {
    opcode
        .choose(&[
            ("global", Space::Global),
            ("shared", Space::Shared),
            ("shared::cta", Space::Shared),
            ("local", Space::Local),
            ("param", Space::Param),
            ("const", Space::Constant),
        ])
        .unwrap_or(Space::Generic)
}

/// Scopes and cache hints change nothing in what is read or written.
fn hints(opcode: &mut Opcode) {
    for part in [
        "cta",
        "gpu",
        "sys",
        "weak",
        "ca",
        "cg",
        "cs",
        "lu",
        "cv",
        "wb",
        "wt",
        "L1::evict_normal",
        "L1::evict_first",
        "L1::evict_last",
        "L1::no_allocate",
        "L1::evict_unchanged",
        "L2::64B",
        "L2::128B",
        "L2::256B",
    ] {
        opcode.take(part);
    }
}

/// The new value from the old one, the operand and the second operand.
fn atomic_function(operation: &str, ty: Ty) -> Option<fn(u64, u64, u64) -> u64> {
    Some(match (operation, ty) {
        ("add", Ty::U32 | Ty::S32) => |old, b, _| low(old.wrapping_add(b), 32),
        ("add", Ty::U64 | Ty::S64) => |old, b, _| old.wrapping_add(b),
        ("add", Ty::F32) => |old, b, _| crate::float::canonical(f32::from_bits(old as u32) + f32::from_bits(b as u32)),
        ("add", Ty::F64) => |old, b, _| (f64::from_bits(old) + f64::from_bits(b)).to_bits(),
        ("min", Ty::U32 | Ty::U64) => |old, b, _| old.min(b),
        ("max", Ty::U32 | Ty::U64) => |old, b, _| old.max(b),
        ("min", Ty::S32) => |old, b, _| if signed(b, 32) < signed(old, 32) { b } else { old },
        ("max", Ty::S32) => |old, b, _| if signed(b, 32) > signed(old, 32) { b } else { old },
        ("min", Ty::S64) => |old, b, _| (old as i64).min(b as i64) as u64,
        ("max", Ty::S64) => |old, b, _| (old as i64).max(b as i64) as u64,
        ("and", Ty::B32 | Ty::B64) => |old, b, _| old & b,
        ("or", Ty::B32 | Ty::B64) => |old, b, _| old | b,
        ("xor", Ty::B32 | Ty::B64) => |old, b, _| old ^ b,
        ("exch", Ty::B32 | Ty::B64) => |_, b, _| b,
        ("cas", Ty::B16 | Ty::B32 | Ty::B64) => |old, b, c| if old == b { c } else { old },
        ("inc", Ty::U32) => |old, b, _| if old >= b { 0 } else { old + 1 },
        ("dec", Ty::U32) => |old, b, _| if old == 0 || old > b { b } else { old - 1 },
        _ => return None,
    })
}
