//! Statements -> instructions over slots. The families of instructions have files of their own.

mod collective;
mod convert;
mod floating;
pub(crate) mod integer;
mod memory;
mod predicate;

use std::collections::HashMap;

use crate::ParseError;
use crate::flow;
use crate::live;
use crate::module::{Kernel, Param, Placed, Variable};
use crate::op::{Address, Condition, Fixed, Instruction, Op, Predicate, Slot, Space, Strength};
use crate::opcode::Opcode;
use crate::statement::{Body, Declared, Operand, Register, Statement};
use crate::ty::{Ty, low};

/// Shared variables stand so far apart that an access past the end of one hits no other; a multiple of all banks.
const SHARED_GAP: usize = 128;

/// What names mean in the kernel that is decoded.
pub(crate) struct Decoder {
    symbols: HashMap<String, Fixed>,
    labels: HashMap<String, u32>,
    targets: HashMap<String, Vec<String>>,
    slots: u32,
    predicates: u32,
    fixed: HashMap<Fixed, Slot>,
    order: Vec<(Slot, Fixed)>,
}

/// Decodes a body into a kernel without a name.
pub(crate) fn kernel(
    mut body: Body,
    params: &[Param],
    module_shared: &[Declared],
    variables: &[Variable],
) -> Result<Kernel, ParseError> {
    let mut symbols = HashMap::new();
    for (index, variable) in variables.iter().enumerate() {
        symbols.insert(variable.name.clone(), Fixed::Variable(index));
    }
    for param in params {
        symbols.insert(param.name.clone(), Fixed::Value(param.offset as u64));
    }
    let mut shared = Vec::new();
    let (mut end, mut shared_bytes) = (0usize, 0usize);
    for variable in module_shared
        .iter()
        .filter(|variable| variable.bytes > 0)
        .chain(&body.shared)
    {
        let at = end.next_multiple_of(variable.align.max(1));
        symbols.insert(variable.name.clone(), Fixed::Value(at as u64));
        shared.push(Placed {
            at,
            bytes: variable.bytes,
        });
        end = at + variable.bytes.next_multiple_of(SHARED_GAP) + SHARED_GAP;
        shared_bytes = shared_bytes.next_multiple_of(variable.align.max(1)) + variable.bytes;
    }
    // All extern arrays begin where the static ones end.
    let dynamic_shared_at = end.next_multiple_of(SHARED_GAP);
    for variable in module_shared.iter().filter(|variable| variable.bytes == 0) {
        symbols.insert(variable.name.clone(), Fixed::Value(dynamic_shared_at as u64));
    }
    let mut local_bytes = 0usize;
    for variable in &body.local {
        let at = local_bytes.next_multiple_of(variable.align.max(1));
        symbols.insert(variable.name.clone(), Fixed::Value(at as u64));
        local_bytes = at + variable.bytes;
    }
    let mut decoder = Decoder {
        symbols,
        labels: std::mem::take(&mut body.labels),
        targets: std::mem::take(&mut body.targets),
        slots: body.slots,
        predicates: body.predicates,
        fixed: HashMap::new(),
        order: Vec::new(),
    };
    let mut code = Vec::with_capacity(body.statements.len() + 1);
    for statement in &body.statements {
        let op = decoder.op(statement)?;
        code.push(Instruction {
            guard: statement.guard,
            op,
            line: statement.line,
        });
    }
    // A body may end without ret.
    let line = body.statements.last().map_or(0, |statement| statement.line);
    code.push(Instruction {
        guard: None,
        op: Op::Exit,
        line,
    });
    let flow = flow::analyse(&code);
    Ok(Kernel {
        name: String::new(),
        params: Vec::new(),
        shared_bytes,
        local_bytes,
        max_threads: 0,
        live_registers: live::registers(&body.statements, &code, body.slots as usize),
        keeps_all: code.iter().any(|instruction| orders_a_few(&instruction.op)),
        shared,
        dynamic_shared_at,
        code,
        flow,
        slots: decoder.slots as usize,
        predicates: decoder.predicates as usize,
        fixed: decoder.order,
    })
}

/// Whether an instruction orders accesses of some threads of a block, or of some blocks.
fn orders_a_few(op: &Op) -> bool {
    match op {
        Op::Fence | Op::Atomic(_) => true,
        Op::Barrier(barrier) => barrier.threads.is_some(),
        Op::Load(transfer) | Op::Store(transfer) => transfer.strength == Strength::Strong,
        _ => false,
    }
}

impl Decoder {
    fn op(&mut self, statement: &Statement) -> Result<Op, ParseError> {
        let mut opcode = Opcode::of(statement);
        let operands = &statement.operands[..];
        let op = match opcode.name.as_str() {
            "mov" => self.mov(&mut opcode, operands)?,
            "cvta" => self.cvta(&mut opcode, operands)?,
            "ld" | "ldu" | "st" | "atom" | "red" | "cp" | "ldmatrix" | "prefetch" | "prefetchu" | "isspacep" => {
                self.memory(&mut opcode, operands)?
            }
            "bra" | "brx" => self.branch(&mut opcode, operands)?,
            "ret" | "exit" => {
                opcode.take("uni");
                Op::Exit
            }
            "trap" | "brkpt" => Op::Trap,
            "nanosleep" => Op::Nothing,
            "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" | "bar" | "barrier" | "mma" | "membar"
            | "fence" => self.collective(&mut opcode, operands)?,
            "setp" | "set" | "selp" | "slct" => self.predicate(&mut opcode, operands)?,
            "and" | "or" | "xor" | "not" if opcode.types == [Ty::Pred] => self.predicate(&mut opcode, operands)?,
            "cvt" => self.convert(&mut opcode, operands)?,
            _ if opcode.types.last().is_some_and(|ty| ty.is_float()) => self.floating(&mut opcode, operands)?,
            _ => self.integer(&mut opcode, operands)?,
        };
        opcode.finish()?;
        Ok(op)
    }

    /// The slot that always holds `fixed`.
    pub fn fixed(&mut self, fixed: Fixed) -> Slot {
        if let Some(&slot) = self.fixed.get(&fixed) {
            return slot;
        }
        let slot = self.slots;
        self.slots += 1;
        self.fixed.insert(fixed, slot);
        self.order.push((slot, fixed));
        slot
    }

    /// The slot of an operand that is read as `ty`.
    pub fn source(&mut self, opcode: &Opcode, operand: Option<&Operand>, ty: Ty) -> Result<Slot, ParseError> {
        let value = match operand {
            Some(Operand::Register(Register::Slot(slot, bits))) => {
                if *bits < ty.bits() {
                    return Err(opcode.error(format!("a register of {bits} bits is read as {ty:?}")));
                }
                return Ok(*slot);
            }
            Some(Operand::Integer(value)) => match ty {
                Ty::F32 => (*value as i64 as f32).to_bits() as u64,
                Ty::F64 => (*value as i64 as f64).to_bits(),
                _ => low(*value, ty.bits()),
            },
            Some(Operand::Single(bits)) if ty.bits() == 32 => *bits as u64,
            Some(Operand::Double(value)) if ty == Ty::F32 => (*value as f32).to_bits() as u64,
            Some(Operand::Double(value)) if ty.bits() == 64 => value.to_bits(),
            Some(Operand::Name(name, offset)) => return self.name(opcode, name, *offset),
            other => return Err(opcode.error(format!("an operand can't be used here: {other:?}"))),
        };
        Ok(self.fixed(Fixed::Value(value)))
    }

    fn name(&mut self, opcode: &Opcode, name: &str, offset: i64) -> Result<Slot, ParseError> {
        let fixed = match self.symbols.get(name) {
            Some(Fixed::Value(value)) => Fixed::Value(value.wrapping_add_signed(offset)),
            Some(&fixed) if offset == 0 => fixed,
            Some(_) => return Err(opcode.error(format!("{name}+{offset}: a sum with a variable's address"))),
            None => special(name).ok_or_else(|| opcode.error(format!("the name {name} is not known")))?,
        };
        Ok(self.fixed(fixed))
    }

    /// The slot that is written.
    pub fn target(&mut self, opcode: &Opcode, operand: Option<&Operand>) -> Result<Slot, ParseError> {
        match operand {
            Some(Operand::Register(Register::Slot(slot, _))) => Ok(*slot),
            // Something must be written: a slot that nobody reads.
            Some(Operand::Sink) => {
                self.slots += 1;
                Ok(self.slots - 1)
            }
            other => Err(opcode.error(format!("can't write to {other:?}"))),
        }
    }

    /// The bits of the register that is written.
    pub fn width(operand: Option<&Operand>) -> u32 {
        match operand {
            Some(Operand::Register(Register::Slot(_, bits))) => *bits,
            _ => 64,
        }
    }

    /// The predicate that is written.
    pub fn predicate_target(&mut self, opcode: &Opcode, operand: Option<&Operand>) -> Result<Predicate, ParseError> {
        match operand {
            Some(Operand::Register(Register::Predicate(predicate))) => Ok(*predicate),
            Some(Operand::Sink) => {
                self.predicates += 1;
                Ok(self.predicates - 1)
            }
            other => Err(opcode.error(format!("not a predicate: {other:?}"))),
        }
    }

    /// A predicate that is read, or its opposite.
    pub fn condition(&mut self, opcode: &Opcode, operand: Option<&Operand>) -> Result<Condition, ParseError> {
        match operand {
            Some(Operand::Register(Register::Predicate(predicate))) => Ok(Condition {
                predicate: *predicate,
                negated: false,
            }),
            Some(Operand::Not(predicate)) => Ok(Condition {
                predicate: *predicate,
                negated: true,
            }),
            other => Err(opcode.error(format!("not a predicate: {other:?}"))),
        }
    }

    /// `[register + offset]`, `[name + offset]` or `[constant]`.
    pub fn address(&mut self, opcode: &Opcode, operand: Option<&Operand>, space: Space) -> Result<Address, ParseError> {
        let Some(Operand::Address(base, offset)) = operand else {
            return Err(opcode.error(format!("not an address: {operand:?}")));
        };
        // Addresses of shared, local and parameter memory may have 32 bits.
        let ty = match **base {
            Operand::Register(Register::Slot(_, bits)) if bits == 32 && space != Space::Global => Ty::B32,
            _ => Ty::B64,
        };
        Ok(Address {
            space,
            base: self.source(opcode, Some(base), ty)?,
            offset: *offset,
        })
    }

    fn branch(&mut self, opcode: &mut Opcode, operands: &[Operand]) -> Result<Op, ParseError> {
        opcode.take("uni");
        if opcode.name == "bra" {
            let Some(Operand::Name(name, _)) = operands.first() else {
                return Err(opcode.unsupported());
            };
            return Ok(Op::Branch {
                target: self.label(opcode, name)?,
            });
        }
        if !opcode.take("idx") {
            return Err(opcode.unsupported());
        }
        let index = self.source(opcode, operands.first(), Ty::U32)?;
        let Some(Operand::Name(list, _)) = operands.get(1) else {
            return Err(opcode.unsupported());
        };
        let list = list.split('|').next().unwrap_or(list);
        let labels = self
            .targets
            .get(list)
            .ok_or_else(|| opcode.error(format!("no .branchtargets {list}")))?;
        let targets = labels
            .iter()
            .map(|label| self.label(opcode, label))
            .collect::<Result<_, _>>()?;
        Ok(Op::BranchIndexed { index, targets })
    }

    /// `name|#2|#1|`: the label in the innermost of these scopes.
    fn label(&self, opcode: &Opcode, name: &str) -> Result<u32, ParseError> {
        let mut parts = name.split('|');
        let plain = parts.next().unwrap_or(name);
        let found = parts
            .chain([""])
            .find_map(|suffix| self.labels.get(&format!("{plain}{suffix}")).copied());
        found.ok_or_else(|| opcode.error(format!("no label {plain}")))
    }
}

fn special(name: &str) -> Option<Fixed> {
    let part = |axis: &str| ["x", "y", "z"].iter().position(|&a| a == axis).map(|index| index as u8);
    if let Some((register, axis)) = name.split_once('.') {
        return Some(match register {
            "%tid" => Fixed::Thread(part(axis)?),
            "%ntid" => Fixed::Threads(part(axis)?),
            "%ctaid" => Fixed::Block(part(axis)?),
            "%nctaid" => Fixed::Blocks(part(axis)?),
            _ => return None,
        });
    }
    Some(match name {
        "%laneid" => Fixed::Lane,
        "%warpid" => Fixed::Warp,
        "%nwarpid" => Fixed::Warps,
        "%smid" => Fixed::Processor,
        "%lanemask_eq" => Fixed::Mask(0),
        "%lanemask_le" => Fixed::Mask(1),
        "%lanemask_lt" => Fixed::Mask(2),
        "%lanemask_ge" => Fixed::Mask(3),
        "%lanemask_gt" => Fixed::Mask(4),
        "%dynamic_smem_size" => Fixed::DynamicShared,
        _ => return None,
    })
}
