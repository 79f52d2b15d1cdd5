//! Instructions in which lanes or warps meet.

use super::Decoder;
use crate::ParseError;
use crate::op::{Barrier, BarrierMode, Condition, Fixed, Mma, MmaKind, Op, Shuffle, ShuffleMode, Slot, VoteMode};
use crate::opcode::Opcode;
use crate::statement::Operand;
use crate::ty::{Ty, signed};

impl Decoder {
    pub(super) fn collective(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let name = opcode.name.clone();
        match name.as_str() {
            "membar" | "fence" => {
                for part in ["cta", "gl", "gpu", "sys", "sc", "acq_rel"] {
                    opcode.take(part);
                }
                Ok(Op::Fence)
            }
            "activemask" => Ok(Op::ActiveMask {
                d: self.target(opcode, operands.first())?,
            }),
            "bar" | "barrier" => self.barrier(opcode, operands),
            "mma" => self.mma(opcode, operands),
            _ if !opcode.take("sync") => Err(opcode.error("without .sync it isn't supported: it is gone since sm_70")),
            "shfl" => self.shuffle(opcode, operands),
            "vote" => self.vote(opcode, operands),
            "match" => {
                let all = opcode
                    .choose(&[("any", false), ("all", true)])
                    .ok_or_else(|| opcode.unsupported())?;
                let ty = opcode.ty()?;
                let (d, p) = match operands.first() {
                    Some(Operand::Pair(d, p)) => (
                        self.target(opcode, Some(d))?,
                        Some(self.predicate_target(opcode, Some(p))?),
                    ),
                    d => (self.target(opcode, d)?, None),
                };
                let a = self.source(opcode, operands.get(1), ty)?;
                Ok(Op::Match {
                    all,
                    d,
                    p,
                    a,
                    bits: ty.bits(),
                    members: self.source(opcode, operands.get(2), Ty::B32)?,
                })
            }
            "redux" => {
                let ty = opcode.ty()?;
                type Join = fn(u64, u64) -> u64;
                let choices: [(&str, Join, Join); 6] = [
                    ("add", |x, y| (x + y) & 0xffff_ffff, |x, y| (x + y) & 0xffff_ffff),
                    (
                        "min",
                        u64::min,
                        |x, y| if signed(y, 32) < signed(x, 32) { y } else { x },
                    ),
                    (
                        "max",
                        u64::max,
                        |x, y| if signed(y, 32) > signed(x, 32) { y } else { x },
                    ),
                    ("and", |x, y| x & y, |x, y| x & y),
                    ("or", |x, y| x | y, |x, y| x | y),
                    ("xor", |x, y| x ^ y, |x, y| x ^ y),
                ];
                let found = choices.into_iter().find(|(name, ..)| opcode.take(name));
                let (_, unsigned, signed) = found.ok_or_else(|| opcode.unsupported())?;
                let f = if ty.is_signed() { signed } else { unsigned };
                let a = self.source(opcode, operands.get(1), Ty::B32)?;
                let members = self.source(opcode, operands.get(2), Ty::B32)?;
                Ok(Op::Reduce {
                    f,
                    d: self.target(opcode, operands.first())?,
                    a,
                    members,
                })
            }
            "elect" => {
                let Some(Operand::Pair(d, p)) = operands.first() else {
                    return Err(opcode.unsupported());
                };
                let (d, p) = (self.target(opcode, Some(d))?, self.predicate_target(opcode, Some(p))?);
                Ok(Op::Elect {
                    d: Some(d),
                    p,
                    members: self.source(opcode, operands.get(1), Ty::B32)?,
                })
            }
            _ => Err(opcode.unsupported()),
        }
    }

    fn shuffle(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let mode = opcode
            .choose(&[
                ("up", ShuffleMode::Up),
                ("down", ShuffleMode::Down),
                ("bfly", ShuffleMode::Butterfly),
                ("idx", ShuffleMode::Index),
            ])
            .ok_or_else(|| opcode.unsupported())?;
        let (d, valid) = match operands.first() {
            Some(Operand::Pair(d, p)) => (
                self.target(opcode, Some(d))?,
                Some(self.predicate_target(opcode, Some(p))?),
            ),
            d => (self.target(opcode, d)?, None),
        };
        let mut source = |index| self.source(opcode, operands.get(index), Ty::B32);
        let (a, lane, clamp, members) = (source(1)?, source(2)?, source(3)?, source(4)?);
        Ok(Op::Shuffle(Shuffle {
            mode,
            d,
            valid,
            a,
            lane,
            clamp,
            members,
        }))
    }

    fn vote(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        let mode = opcode
            .choose(&[
                ("all", VoteMode::All),
                ("any", VoteMode::Any),
                ("uni", VoteMode::Uniform),
                ("ballot", VoteMode::Ballot),
            ])
            .ok_or_else(|| opcode.unsupported())?;
        let (mut result, mut ballot) = (None, None);
        if mode == VoteMode::Ballot {
            ballot = Some(self.target(opcode, operands.first())?);
        } else {
            result = Some(self.predicate_target(opcode, operands.first())?);
        }
        // A ballot may ask for a constant condition.
        let given = match operands.get(1) {
            Some(Operand::Integer(value)) => {
                let predicate = self.constant_predicate();
                Condition {
                    predicate,
                    negated: *value != 0,
                }
            }
            given => self.condition(opcode, given)?,
        };
        Ok(Op::Vote {
            mode,
            result,
            ballot,
            given,
            members: self.source(opcode, operands.get(2), Ty::B32)?,
        })
    }

    /// A predicate that nobody sets: false in every lane.
    fn constant_predicate(&mut self) -> u32 {
        self.predicates += 1;
        self.predicates - 1
    }

    fn barrier(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        opcode.take("cta");
        opcode.take("aligned");
        if opcode.take("warp") {
            if !opcode.take("sync") {
                return Err(opcode.unsupported());
            }
            return Ok(Op::WarpBarrier {
                members: self.source(opcode, operands.first(), Ty::B32)?,
            });
        }
        let mut barrier = Barrier {
            mode: BarrierMode::Sync,
            id: 0,
            threads: None,
            given: None,
            count: None,
            result: None,
        };
        let mut rest = operands;
        let mut given = None;
        if opcode.take("red") {
            barrier.mode = opcode
                .choose(&[
                    ("popc", BarrierMode::Popc),
                    ("and", BarrierMode::And),
                    ("or", BarrierMode::Or),
                ])
                .ok_or_else(|| opcode.unsupported())?;
            if barrier.mode == BarrierMode::Popc {
                barrier.count = Some(self.target(opcode, operands.first())?);
            } else {
                barrier.result = Some(self.predicate_target(opcode, operands.first())?);
            }
            (given, rest) = match operands {
                [_, middle @ .., last] => (Some(last), middle),
                _ => return Err(opcode.unsupported()),
            };
        } else if opcode.take("arrive") {
            barrier.mode = BarrierMode::Arrive;
        } else if !opcode.take("sync") {
            return Err(opcode.unsupported());
        }
        if given.is_some() {
            barrier.given = Some(self.condition(opcode, given)?);
        }
        barrier.id = match rest.first() {
            None => self.fixed(Fixed::Value(0)),
            id => self.source(opcode, id, Ty::U32)?,
        };
        if rest.len() > 1 {
            barrier.threads = Some(self.source(opcode, rest.get(1), Ty::U32)?);
        }
        Ok(Op::Barrier(barrier))
    }

    fn mma(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        if !opcode.take("sync") || !opcode.take("aligned") || !opcode.take("row") || !opcode.take("col") {
            return Err(opcode.unsupported());
        }
        let shape = opcode.choose(&[("m16n8k4", 4), ("m16n8k8", 8), ("m16n8k16", 16)]);
        let kind = match (&opcode.types[..], shape) {
            ([Ty::F32, Ty::Tf32, Ty::Tf32, Ty::F32], Some(4)) => MmaKind::Tf32K4,
            ([Ty::F32, Ty::Tf32, Ty::Tf32, Ty::F32], Some(8)) => MmaKind::Tf32K8,
            ([Ty::F32, Ty::Bf16, Ty::Bf16, Ty::F32], Some(8)) => MmaKind::Bf16K8,
            ([Ty::F32, Ty::Bf16, Ty::Bf16, Ty::F32], Some(16)) => MmaKind::Bf16K16,
            ([Ty::F32, Ty::F16, Ty::F16, Ty::F32], Some(8)) => MmaKind::F16K8,
            ([Ty::F32, Ty::F16, Ty::F16, Ty::F32], Some(16)) => MmaKind::F16K16,
            _ => return Err(opcode.unsupported()),
        };
        let (a_count, b_count) = match kind {
            MmaKind::Tf32K4 | MmaKind::Bf16K8 | MmaKind::F16K8 => (2, 1),
            MmaKind::Tf32K8 | MmaKind::Bf16K16 | MmaKind::F16K16 => (4, 2),
        };
        let fragment = |index: usize, count: usize| match operands.get(index) {
            Some(Operand::Vector(parts)) if parts.len() == count => Ok(&parts[..]),
            Some(one) if count == 1 && !matches!(one, Operand::Vector(_)) => Ok(std::slice::from_ref(one)),
            other => Err(opcode.error(format!("a fragment of {count} registers is wanted, not {other:?}"))),
        };
        let mut d = [0; 4];
        for (slot, part) in d.iter_mut().zip(fragment(0, 4)?) {
            *slot = self.target(opcode, Some(part))?;
        }
        let mut slots = |index, count, ty| -> Result<Vec<Slot>, ParseError> {
            fragment(index, count)?
                .iter()
                .map(|part| self.source(opcode, Some(part), ty))
                .collect()
        };
        let (a, b) = (slots(1, a_count, Ty::B32)?, slots(2, b_count, Ty::B32)?);
        let c = slots(3, 4, Ty::F32)?;
        Ok(Op::Mma(Mma {
            kind,
            d,
            a,
            b,
            c: [c[0], c[1], c[2], c[3]],
        }))
    }
}
