//! A warp: its registers, the stack of its parted lanes, and the loop that executes it.

use crate::approximate::{divided, near};
use crate::block::Block;
use crate::copies::Copy;
use crate::decode::integer::insert;
use crate::finding::{Fault, Kind};
use crate::float::{canonical, flushed};
use crate::flow::END;
use crate::op::{Condition, Fixed, Join, Lanes, Op, Slot};
use crate::ty::low;

/// Lanes that run together, until they reach the instruction where others wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub at: u32,
    pub lanes: u32,
    pub meets: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// At the barrier with this number.
    Waiting(usize),
    Done,
}

/// One warp of a block.
pub(crate) struct Warp {
    pub index: usize,
    pub registers: Vec<Lanes>,
    pub predicates: Vec<u32>,
    pub stack: Vec<Frame>,
    /// Lanes that exist and haven't ended.
    pub live: u32,
    pub state: State,
    /// Copies under way, and each lane's number of the group that is still open.
    pub copies: Vec<Copy>,
    pub groups: [u64; 32],
    /// Local memory, lane after lane, and whether each byte was written.
    pub local: Vec<u8>,
    pub local_written: Vec<u8>,
    /// The order in which lanes take effect within an instruction.
    pub order: [u8; 32],
}

impl Warp {
    #[inline(always)]
    pub fn get(&self, slot: Slot) -> &Lanes {
        &self.registers[slot as usize]
    }

    #[inline(always)]
    pub fn put(&mut self, slot: Slot, lanes: u32, values: &Lanes) {
        let target = &mut self.registers[slot as usize];
        if lanes == u32::MAX {
            *target = *values;
        } else {
            for (lane, (old, new)) in target.iter_mut().zip(values).enumerate() {
                if lanes >> lane & 1 == 1 {
                    *old = *new;
                }
            }
        }
    }

    #[inline(always)]
    pub fn put_predicate(&mut self, predicate: u32, lanes: u32, values: u32) {
        let target = &mut self.predicates[predicate as usize];
        *target = *target & !lanes | values & lanes;
    }

    /// Lanes where the condition holds.
    #[inline(always)]
    pub fn holds(&self, condition: Condition) -> u32 {
        let lanes = self.predicates[condition.predicate as usize];
        if condition.negated { !lanes } else { lanes }
    }

    /// Sets the slots whose value is known from the start.
    pub fn prepare(&mut self, block: &Block<'_>) {
        let threads = block.launch.threads();
        let of_lane = |lane: usize| (self.index * 32 + lane) as u32;
        for &(slot, fixed) in &block.kernel.fixed {
            let [width, height, _] = block.launch.block;
            self.registers[slot as usize] = match fixed {
                Fixed::Value(value) => [value; 32],
                Fixed::Variable(index) => [block.variables[index]; 32],
                Fixed::Thread(axis) => std::array::from_fn(|lane| {
                    let thread = of_lane(lane);
                    let part = match axis {
                        0 => thread % width,
                        1 => thread / width % height,
                        _ => thread / (width * height),
                    };
                    part as u64
                }),
                Fixed::Threads(axis) => [block.launch.block[axis as usize] as u64; 32],
                Fixed::Block(axis) => [block.place[axis as usize] as u64; 32],
                Fixed::Blocks(axis) => [block.launch.grid[axis as usize] as u64; 32],
                Fixed::Lane => std::array::from_fn(|lane| lane as u64),
                Fixed::Warp => [self.index as u64; 32],
                Fixed::Warps => [threads.div_ceil(32) as u64; 32],
                Fixed::Processor => [0; 32],
                Fixed::Mask(which) => std::array::from_fn(|lane| {
                    let equal = 1u32 << lane;
                    let mask = match which {
                        0 => equal,
                        1 => equal | (equal - 1),
                        2 => equal - 1,
                        3 => !(equal - 1),
                        _ => !(equal | (equal - 1)),
                    };
                    mask as u64
                }),
                Fixed::DynamicShared => [block.launch.shared_bytes as u64; 32],
            };
        }
    }

    /// Lanes end: no frame waits for them any more.
    fn end(&mut self, lanes: u32) {
        self.live &= !lanes;
        for frame in &mut self.stack {
            frame.lanes &= !lanes;
        }
        self.stack.retain(|frame| frame.lanes != 0);
    }

    /// The lanes in `taken` go to `target`, the others go on; both meet where the flow says.
    fn part(&mut self, taken: u32, target: u32, meets: u32, taken_last: bool) {
        let Some(top) = self.stack.last_mut() else { return };
        let next = top.at + 1;
        let rest = top.lanes & !taken;
        if taken == 0 {
            top.at = next;
        } else if rest == 0 {
            top.at = target;
        } else {
            if meets == END {
                self.stack.pop();
            } else {
                top.at = meets;
            }
            let sides = [
                Frame {
                    at: target,
                    lanes: taken,
                    meets,
                },
                Frame {
                    at: next,
                    lanes: rest,
                    meets,
                },
            ];
            let order = if taken_last { [0, 1] } else { [1, 0] };
            self.stack.extend(
                order
                    .map(|side: usize| sides[side])
                    .iter()
                    .filter(|side| side.at != meets),
            );
        }
    }

    /// Executes up to `budget` instructions, or until the warp ends or waits.
    pub fn run(&mut self, block: &mut Block<'_>, budget: u64) -> Result<(), (u32, Fault)> {
        let kernel = block.kernel;
        for _ in 0..budget {
            let Some(&Frame {
                at,
                lanes: active,
                meets,
            }) = self.stack.last()
            else {
                self.state = State::Done;
                return Ok(());
            };
            if at == meets {
                self.stack.pop();
                continue;
            }
            let instruction = &kernel.code[at as usize];
            let lanes = match instruction.guard {
                Some(guard) => active & self.holds(guard),
                None => active,
            };
            block.stats.instructions += 1;
            block.stats.lane_instructions += lanes.count_ones() as u64;
            match &instruction.op {
                Op::Branch { target } => {
                    let taken_last = block.coin();
                    self.part(lanes, *target, kernel.flow.meets[at as usize], taken_last);
                    continue;
                }
                Op::BranchIndexed { index, targets } => {
                    self.part_many(*index, targets, lanes, kernel.flow.meets[at as usize])
                        .map_err(|fault| (instruction.line, fault))?;
                    continue;
                }
                Op::Exit => {
                    if let Some(top) = self.stack.last_mut() {
                        top.at += 1;
                    }
                    self.end(lanes);
                    continue;
                }
                _ => {}
            }
            if let Some(top) = self.stack.last_mut() {
                top.at += 1;
            }
            if lanes != 0 {
                self.execute(block, &instruction.op, lanes, instruction.line)
                    .map_err(|fault| (instruction.line, fault))?;
                if self.state != State::Ready {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn part_many(&mut self, index: Slot, targets: &[u32], lanes: u32, meets: u32) -> Result<(), Fault> {
        let index = *self.get(index);
        let Some(top) = self.stack.last_mut() else {
            return Ok(());
        };
        let rest = top.lanes & !lanes;
        let mut sides = vec![Frame {
            at: top.at + 1,
            lanes: rest,
            meets,
        }];
        for (value, &target) in targets.iter().enumerate() {
            let here = (0..32)
                .filter(|&lane| index[lane] == value as u64)
                .fold(0, |mask, lane| mask | 1 << lane)
                & lanes;
            sides.push(Frame {
                at: target,
                lanes: here,
                meets,
            });
        }
        let named = sides.iter().fold(0, |all, side| all | side.lanes);
        if named != top.lanes {
            return Err(Fault::new(Kind::OutOfBounds, "an index beyond the branch targets"));
        }
        if meets == END {
            self.stack.pop();
        } else {
            top.at = meets;
        }
        self.stack
            .extend(sides.into_iter().filter(|side| side.lanes != 0 && side.at != meets));
        Ok(())
    }

    #[inline]
    fn execute(&mut self, block: &mut Block<'_>, op: &Op, lanes: u32, line: u32) -> Result<(), Fault> {
        match op {
            Op::Move { d, a } => {
                let values = *self.get(*a);
                self.put(*d, lanes, &values);
            }
            Op::Unary { f, d, a } => {
                let values = f(self.get(*a));
                self.put(*d, lanes, &values);
            }
            Op::Binary { f, d, a, b } => {
                let values = f(self.get(*a), self.get(*b));
                self.put(*d, lanes, &values);
            }
            Op::Ternary { f, d, a, b, c } => {
                let values = f(self.get(*a), self.get(*b), self.get(*c));
                self.put(*d, lanes, &values);
            }
            Op::Fma { d, a, b, c } => {
                block.stats.fma += lanes.count_ones() as u64;
                let values = fused(self.get(*a), self.get(*b), self.get(*c));
                self.put(*d, lanes, &values);
            }
            Op::Insert {
                d,
                a,
                b,
                at,
                length,
                bits,
            } => {
                let (a, b, at, length) = (self.get(*a), self.get(*b), self.get(*at), self.get(*length));
                let values = std::array::from_fn(|lane| insert(a[lane], b[lane], at[lane], length[lane], *bits));
                self.put(*d, lanes, &values);
            }
            Op::Approximate { f, ftz, d, a } => {
                let seed = block.seed;
                let values = self.get(*a).map(|bits| {
                    let x = f32::from_bits(bits as u32);
                    let x = if *ftz { flushed(x) } else { x };
                    let exact = (f.f)(x);
                    near(exact, (f.error)(f64::from(x), exact), *ftz, seed, bits)
                });
                self.put(*d, lanes, &values);
            }
            Op::DivideNearly { full, ftz, d, a, b } => {
                let (a, b, seed) = (self.get(*a), self.get(*b), block.seed);
                let read = |bits: u64| {
                    let x = f32::from_bits(bits as u32);
                    (if *ftz { flushed(x) } else { x }) as f64
                };
                let values = std::array::from_fn(|lane| {
                    let (exact, error) = divided(read(a[lane]), read(b[lane]), *full);
                    near(exact, error, *ftz, seed, a[lane] ^ b[lane] << 32)
                });
                self.put(*d, lanes, &values);
            }
            Op::Set { f, p, q, a, b, join } => {
                let found = f(self.get(*a), self.get(*b));
                let other = join.map_or(u32::MAX, |(_, condition)| self.holds(condition));
                let kind = join.map_or(Join::And, |(kind, _)| kind);
                self.put_predicate(*p, lanes, joined(kind, found, other));
                if let Some(q) = q {
                    self.put_predicate(*q, lanes, joined(kind, !found, other));
                }
            }
            Op::Select { d, a, b, p } => {
                let chosen = self.holds(*p);
                let (a, b) = (self.get(*a), self.get(*b));
                let values = std::array::from_fn(|lane| if chosen >> lane & 1 == 1 { a[lane] } else { b[lane] });
                self.put(*d, lanes, &values);
            }
            Op::Logic { join, d, a, b } => {
                let value = joined(*join, self.holds(*a), self.holds(*b));
                self.put_predicate(*d, lanes, value);
            }
            Op::MovePredicate { d, a } => {
                let value = self.holds(*a);
                self.put_predicate(*d, lanes, value);
            }
            Op::ConstantPredicate { d, value } => self.put_predicate(*d, lanes, if *value { u32::MAX } else { 0 }),
            Op::Pack { d, parts, bits } => {
                let mut values = [0; 32];
                for (index, &part) in parts.iter().enumerate() {
                    let part = self.get(part);
                    for (value, part) in values.iter_mut().zip(part) {
                        *value |= low(*part, *bits) << (index as u32 * bits);
                    }
                }
                self.put(*d, lanes, &values);
            }
            Op::Unpack { parts, bits, a } => {
                let whole = *self.get(*a);
                for (index, part) in parts.iter().enumerate() {
                    if let Some(slot) = part {
                        self.put(
                            *slot,
                            lanes,
                            &whole.map(|value| low(value >> (index as u32 * bits), *bits)),
                        );
                    }
                }
            }
            Op::Clock { d, bits } => {
                let now = low(block.stats.instructions, *bits);
                self.put(*d, lanes, &[now; 32]);
            }
            Op::ActiveMask { d } => self.put(*d, lanes, &[lanes as u64; 32]),
            Op::Load(transfer) => self.load(block, transfer, lanes)?,
            Op::Store(transfer) => self.store(block, transfer, lanes)?,
            Op::Atomic(atomic) => self.atomic(block, atomic, lanes)?,
            Op::AsyncCopy(copy) => self.issue(block, copy, lanes)?,
            Op::AsyncCommit => self.commit(lanes),
            Op::AsyncWait(groups) => self.wait(block, *groups, lanes)?,
            Op::LoadMatrix { address, d, transposed } => self.load_matrix(block, address, d, *transposed, lanes)?,
            Op::Mma(mma) => self.mma(block, mma, lanes)?,
            Op::Fence => block.fence(self.index)?,
            Op::Trap => return Err(Fault::new(Kind::Trap, "the kernel executed trap")),
            Op::Nothing | Op::Branch { .. } | Op::BranchIndexed { .. } | Op::Exit => {}
            collective => self.collective(block, collective, lanes, line)?,
        }
        Ok(())
    }
}

#[inline(always)]
fn joined(join: Join, a: u32, b: u32) -> u32 {
    match join {
        Join::And => a & b,
        Join::Or => a | b,
        Join::Xor => a ^ b,
    }
}

fn fused(a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
    let x = |bits: u64| f32::from_bits(bits as u32);
    std::array::from_fn(|lane| canonical(x(a[lane]).mul_add(x(b[lane]), x(c[lane]))))
}
