//! A kernel's body: scopes, registers, labels and statements, names resolved.

use std::collections::HashMap;

use crate::ParseError;
use crate::lex::Token;
use crate::op::Condition;
use crate::parse::{Reader, declared};
use crate::statement::{Body, Operand, Register, Statement};
use crate::ty::Ty;

/// The registers of one pair of braces.
#[derive(Default)]
struct Scope {
    registers: HashMap<String, Register>,
    /// Labels that the scope defines get this behind their name, so that two inline assemblies may use the same.
    suffix: String,
}

struct BodyReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    body: Body,
    scopes: Vec<Scope>,
    opened: usize,
}

/// Reads from the '{' of a body to its '}'.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Body, ParseError> {
    reader.expect('{')?;
    let mut this = BodyReader {
        reader,
        body: Body::default(),
        scopes: vec![Scope::default()],
        opened: 0,
    };
    while !this.scopes.is_empty() {
        this.item()?;
    }
    Ok(this.body)
}

impl BodyReader<'_, '_> {
    fn item(&mut self) -> Result<(), ParseError> {
        if self.reader.takes('{') {
            self.opened += 1;
            let suffix = format!("#{}", self.opened);
            self.scopes.push(Scope {
                suffix,
                ..Scope::default()
            });
            return Ok(());
        }
        if self.reader.takes('}') {
            self.scopes.pop();
            return Ok(());
        }
        if self.reader.takes(';') {
            return Ok(());
        }
        let guard = self.guard()?;
        let line = self.reader.line();
        let word = self.reader.word()?;
        if self.reader.takes(':') {
            return self.label(word);
        }
        match word {
            ".reg" => self.registers(),
            ".shared" | ".local" => {
                let variable = declared(self.reader)?;
                self.reader.expect(';')?;
                if word == ".shared" {
                    self.body.shared.push(variable)
                } else {
                    self.body.local.push(variable)
                }
                Ok(())
            }
            ".pragma" => self.reader.skip_statement(),
            ".loc" | ".file" => {
                self.reader.skip_line(line);
                Ok(())
            }
            _ if word.starts_with('.') => Err(ParseError::new(
                line,
                format!("the directive {word} in a body isn't supported"),
            )),
            _ => self.statement(word, guard, line),
        }
    }

    fn label(&mut self, name: &str) -> Result<(), ParseError> {
        if self.reader.peek() == Some(Token::Word(".branchtargets")) {
            self.reader.next()?;
            let mut labels = vec![self.reader.word()?.to_owned()];
            while self.reader.takes(',') {
                labels.push(self.reader.word()?.to_owned());
            }
            self.body.targets.insert(name.to_owned(), labels);
            return self.reader.expect(';');
        }
        let suffix = self.scopes.last().map_or("", |scope| &scope.suffix);
        self.body
            .labels
            .insert(format!("{name}{suffix}"), self.body.statements.len() as u32);
        Ok(())
    }

    /// `.reg .f32 %f<63>;` or `.reg .pred p, q;`
    fn registers(&mut self) -> Result<(), ParseError> {
        let word = self.reader.word()?;
        let ty = Ty::named(word.strip_prefix('.').unwrap_or(word))
            .ok_or_else(|| self.reader.error(format!("registers of type {word} aren't supported")))?;
        loop {
            let name = self.reader.word()?;
            if self.reader.takes('<') {
                for index in 0..self.reader.integer()? {
                    self.register(format!("{name}{index}"), ty);
                }
                self.reader.expect('>')?;
            } else {
                self.register(name.to_owned(), ty);
            }
            if !self.reader.takes(',') {
                return self.reader.expect(';');
            }
        }
    }

    fn register(&mut self, name: String, ty: Ty) {
        let register = if ty == Ty::Pred {
            self.body.predicates += 1;
            Register::Predicate(self.body.predicates - 1)
        } else {
            self.body.slots += 1;
            Register::Slot(self.body.slots - 1, ty.bits())
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.registers.insert(name, register);
        }
    }

    fn find(&self, name: &str) -> Option<Register> {
        self.scopes
            .iter()
            .rev()
            .find_map(|scope| scope.registers.get(name).copied())
    }

    fn guard(&mut self) -> Result<Option<Condition>, ParseError> {
        if !self.reader.takes('@') {
            return Ok(None);
        }
        let negated = self.reader.takes('!');
        let name = self.reader.word()?;
        match self.find(name) {
            Some(Register::Predicate(predicate)) => Ok(Some(Condition { predicate, negated })),
            _ => Err(self.reader.error(format!("the guard {name} isn't a predicate"))),
        }
    }

    fn statement(&mut self, opcode: &str, guard: Option<Condition>, line: u32) -> Result<(), ParseError> {
        let opcode: Vec<String> = opcode.split('.').map(str::to_owned).collect();
        let branches = matches!(opcode[0].as_str(), "bra" | "brx");
        let mut operands = Vec::new();
        while !self.reader.takes(';') {
            if !operands.is_empty() {
                self.reader.expect(',')?;
            }
            let operand = self.operand()?;
            operands.push(match operand {
                Operand::Name(name, 0) if branches => Operand::Name(self.target(name), 0),
                other => other,
            });
        }
        self.body.statements.push(Statement {
            guard,
            opcode,
            operands,
            line,
        });
        Ok(())
    }

    /// A label of an inner scope is used inside that scope only, before or behind its place: it is looked up by its
    /// plain name at the end, so the innermost suffix is tried there. Inner labels exist in inline assembly alone.
    fn target(&self, name: String) -> String {
        let suffixes: Vec<&str> = self.scopes.iter().rev().map(|scope| scope.suffix.as_str()).collect();
        suffixes
            .iter()
            .fold(name, |joined, suffix| format!("{joined}|{suffix}"))
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        if self.reader.takes('[') {
            let base = self.operand()?;
            let (base, mut offset) = match base {
                Operand::Name(name, offset) => (Operand::Name(name, 0), offset),
                Operand::Integer(value) => (Operand::Integer(value), 0),
                register @ Operand::Register(_) => (register, 0),
                other => return Err(self.reader.error(format!("not an address: {other:?}"))),
            };
            while self.reader.takes('+') {
                offset = offset.wrapping_add(self.reader.integer()? as i64);
            }
            self.reader.expect(']')?;
            return Ok(Operand::Address(Box::new(base), offset));
        }
        if self.reader.takes('{') {
            let mut parts = vec![self.operand()?];
            while self.reader.takes(',') {
                parts.push(self.operand()?);
            }
            self.reader.expect('}')?;
            return Ok(Operand::Vector(parts));
        }
        if self.reader.takes('!') {
            let name = self.reader.word()?;
            return match self.find(name) {
                Some(Register::Predicate(predicate)) => Ok(Operand::Not(predicate)),
                _ => Err(self.reader.error(format!("{name} isn't a predicate"))),
            };
        }
        if matches!(self.reader.peek(), Some(Token::Word(_))) {
            let first = self.named()?;
            if self.reader.takes('|') {
                let second = self.named()?;
                return Ok(Operand::Pair(Box::new(first), Box::new(second)));
            }
            return Ok(first);
        }
        let negative = self.reader.takes('-');
        Ok(match self.reader.next()? {
            Token::Integer(value) => Operand::Integer(if negative { value.wrapping_neg() } else { value }),
            Token::Single(bits) => Operand::Single(if negative { bits ^ 1 << 31 } else { bits }),
            Token::Double(value) => Operand::Double(if negative { -value } else { value }),
            other => return Err(self.reader.error(format!("not an operand: {other:?}"))),
        })
    }

    fn named(&mut self) -> Result<Operand, ParseError> {
        let name = self.reader.word()?;
        if name == "_" {
            return Ok(Operand::Sink);
        }
        if name == "WARP_SZ" {
            return Ok(Operand::Integer(32));
        }
        if let Some(register) = self.find(name) {
            return Ok(Operand::Register(register));
        }
        let mut offset = 0i64;
        while self.reader.peek() == Some(Token::Mark('+')) && matches!(self.reader.second(), Some(Token::Integer(_))) {
            self.reader.next()?;
            offset += self.reader.integer()? as i64;
        }
        Ok(Operand::Name(name.to_owned(), offset))
    }
}
