//! A function's assembly (Intel syntax, as LLVM prints it) as blocks and loops, and what a hot loop may not hold.

use std::collections::{BTreeSet, HashMap};

/// One instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    pub mnemonic: String,
    pub operands: Vec<String>,
}

impl Instruction {
    fn parse(line: &str) -> Self {
        let (mnemonic, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (mut operands, mut depth) = (vec![String::new()], 0);
        for c in rest.chars() {
            match c {
                '[' | '{' | '(' => depth += 1,
                ']' | '}' | ')' => depth -= 1,
                ',' if depth == 0 => {
                    operands.push(String::new());
                    continue;
                }
                _ => {}
            }
            operands.last_mut().unwrap().push(c);
        }
        Self {
            mnemonic: mnemonic.to_owned(),
            operands: operands
                .iter()
                .map(|o| o.trim().to_owned())
                .filter(|o| !o.is_empty())
                .collect(),
        }
    }

    pub fn is_fma(&self) -> bool {
        self.mnemonic.starts_with("vfmadd")
    }

    fn is_call(&self) -> bool {
        self.mnemonic.starts_with("call")
    }

    /// Where it may go besides the next instruction.
    fn jumps(&self) -> bool {
        self.mnemonic.starts_with('j')
    }

    /// Whether the next instruction can follow.
    fn falls_through(&self) -> bool {
        !matches!(self.mnemonic.as_str(), "jmp" | "ret" | "ud2")
    }

    /// Registers that its memory operand's address is made of. An address that is only computed is none.
    fn address(&self) -> Option<Vec<&str>> {
        if self.mnemonic == "lea" {
            return None;
        }
        let operand = self.operands.iter().find(|operand| operand.contains('['))?;
        let inside = &operand[operand.find('[')? + 1..operand.find(']')?];
        Some(
            inside
                .split(|c: char| !c.is_alphanumeric())
                .filter(|part| part.starts_with('r'))
                .collect(),
        )
    }

    /// Whether it reads or writes the stack, into which the registers in `stack` may point.
    fn touches(&self, stack: &BTreeSet<&str>) -> bool {
        matches!(self.mnemonic.as_str(), "push" | "pop")
            || self
                .address()
                .is_some_and(|address| address.iter().any(|register| stack.contains(register)))
    }

    /// Whether it writes a vector to memory.
    fn stores_vector(&self) -> bool {
        (self.mnemonic.starts_with("vmov") || self.mnemonic.starts_with("vmaskmov"))
            && self.operands.first().is_some_and(|first| first.contains('['))
    }

    /// Registers that may point into the stack once it is done, from those that may have before.
    fn stack_after<'a>(&'a self, mut stack: BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        let Some(to) = self.operands.first().map(String::as_str) else {
            return stack;
        };
        let from = self.operands.get(1).map_or("", String::as_str);
        let from_stack = match self.mnemonic.as_str() {
            // A mov from memory fetches a value, whatever its address is made of.
            "mov" | "add" => stack.contains(from),
            "lea" => from
                .split(|c: char| !c.is_alphanumeric())
                .any(|part| stack.contains(part)),
            name => name.starts_with("cmov") && stack.contains(from),
        };
        if from_stack {
            stack.insert(to);
        } else if matches!(self.mnemonic.as_str(), "mov" | "lea" | "pop") && to != "rsp" {
            stack.remove(to);
        }
        stack
    }
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.mnemonic, self.operands.join(", "))
    }
}

/// A function's blocks and where each can go.
#[derive(Debug, Default)]
pub struct Function {
    blocks: Vec<Vec<Instruction>>,
    successors: Vec<Vec<usize>>,
}

/// Name and body of every function of an assembly file whose name `wanted` accepts.
pub fn functions(assembly: &str, wanted: impl Fn(&str) -> bool) -> Vec<(&str, Function)> {
    let mut found = Vec::new();
    let mut lines = assembly.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line
            .strip_suffix(':')
            .filter(|name| !name.starts_with('.') && wanted(name))
        {
            let body: Vec<_> = lines
                .by_ref()
                .take_while(|line| line.trim() != ".cfi_endproc")
                .collect();
            found.push((name, Function::parse(body)));
        }
    }
    found
}

impl Function {
    /// From the lines of its body.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut function = Self::default();
        let mut labels = HashMap::new();
        function.blocks.push(Vec::new());
        for line in lines {
            // No operand holds either of these: a comment starts there.
            let line = line.split('#').next().and_then(|line| line.split("/*").next());
            let line = line.unwrap_or_default().trim();
            if let Some(label) = line.strip_suffix(':') {
                function.blocks.push(Vec::new());
                labels.insert(label.to_owned(), function.blocks.len() - 1);
            } else if !line.is_empty() && !line.starts_with('.') {
                let instruction = Instruction::parse(line);
                let ends = instruction.jumps() || !instruction.falls_through();
                function.blocks.last_mut().unwrap().push(instruction);
                if ends {
                    function.blocks.push(Vec::new());
                }
            }
        }
        for (i, block) in function.blocks.iter().enumerate() {
            let mut next = Vec::new();
            let last = block.last();
            if last.is_none_or(Instruction::falls_through) && i + 1 < function.blocks.len() {
                next.push(i + 1);
            }
            if let Some(jump) = last.filter(|last| last.jumps()) {
                next.extend(labels.get(&jump.operands[0]));
            }
            function.successors.push(next);
        }
        function
    }

    /// Its loops: blocks that reach each other.
    pub fn loops(&self) -> Vec<Loop<'_>> {
        let reach: Vec<Vec<bool>> = (0..self.blocks.len()).map(|block| self.reachable(block)).collect();
        let stack = self.stack_registers();
        let mut seen = vec![false; self.blocks.len()];
        let mut loops = Vec::new();
        for head in 0..self.blocks.len() {
            if seen[head] || !reach[head][head] {
                continue;
            }
            let body: Vec<usize> = (0..self.blocks.len())
                .filter(|&b| reach[head][b] && reach[b][head])
                .collect();
            body.iter().for_each(|&b| seen[b] = true);
            let mut instructions = Vec::new();
            for &block in &body {
                let mut stack = stack[block].clone();
                for instruction in &self.blocks[block] {
                    instructions.push((instruction, instruction.touches(&stack)));
                    stack = instruction.stack_after(stack);
                }
            }
            loops.push(Loop { body: instructions });
        }
        loops
    }

    /// Blocks that can follow `from`, itself only if it can come back.
    fn reachable(&self, from: usize) -> Vec<bool> {
        let mut reached = vec![false; self.blocks.len()];
        let mut open = self.successors[from].clone();
        while let Some(block) = open.pop() {
            if !reached[block] {
                reached[block] = true;
                open.extend(&self.successors[block]);
            }
        }
        reached
    }

    /// Registers that may point into the stack where each block begins. rbp is a register like any other unless it
    /// comes from rsp.
    fn stack_registers(&self) -> Vec<BTreeSet<&str>> {
        let mut known = vec![BTreeSet::new(); self.blocks.len()];
        let mut open = vec![(0, BTreeSet::from(["rsp"]))];
        while let Some((block, stack)) = open.pop() {
            if stack.is_subset(&known[block]) {
                continue;
            }
            known[block].extend(stack);
            let after = self.blocks[block]
                .iter()
                .fold(known[block].clone(), |stack, i| i.stack_after(stack));
            open.extend(self.successors[block].iter().map(|&next| (next, after.clone())));
        }
        known
    }
}

/// One loop of a function: its instructions, and whether each reads or writes the stack.
#[derive(Debug)]
pub struct Loop<'a> {
    body: Vec<(&'a Instruction, bool)>,
}

impl Loop<'_> {
    /// FMA instructions in one turn.
    pub fn fmas(&self) -> usize {
        self.body.iter().filter(|(i, _)| i.is_fma()).count()
    }

    /// Whether it writes vectors to memory that is not the stack: an epilogue. A loop over k only reads.
    pub fn writes_results(&self) -> bool {
        self.body.iter().any(|(i, stack)| i.stores_vector() && !stack)
    }

    /// Instructions that a hot loop may not hold.
    pub fn offences(&self) -> Vec<String> {
        let mut offences = Vec::new();
        for (instruction, stack) in &self.body {
            if instruction.is_call() {
                offences.push(format!("a call: {instruction}"));
            } else if *stack {
                offences.push(format!("stack traffic: {instruction}"));
            }
        }
        offences
    }
}
