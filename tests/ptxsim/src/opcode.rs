//! The parts of an opcode. Each must be asked for: what is left over is an error, so that no modifier is ignored.

use crate::ParseError;
use crate::float::Rounding;
use crate::statement::Statement;
use crate::ty::Ty;

/// An opcode: its name, its types in order, its other parts.
pub(crate) struct Opcode {
    pub name: String,
    pub types: Vec<Ty>,
    parts: Vec<String>,
    written: String,
    line: u32,
}

impl Opcode {
    pub fn of(statement: &Statement) -> Self {
        let mut types = Vec::new();
        let mut parts = Vec::new();
        for part in &statement.opcode[1..] {
            match Ty::named(part) {
                Some(ty) => types.push(ty),
                None => parts.push(part.clone()),
            }
        }
        let name = statement.opcode[0].clone();
        Self {
            name,
            types,
            parts,
            written: statement.written(),
            line: statement.line,
        }
    }

    /// Takes the part out; whether it was there.
    pub fn take(&mut self, part: &str) -> bool {
        let found = self.parts.iter().position(|p| p == part);
        found.map(|index| self.parts.remove(index)).is_some()
    }

    /// Takes out the one of `choices` that is there.
    pub fn choose<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        choices
            .iter()
            .find(|(name, _)| self.take(name))
            .map(|&(_, value)| value)
    }

    /// Takes out a floating-point rounding mode.
    pub fn rounding(&mut self) -> Option<Rounding> {
        self.choose(&[
            ("rn", Rounding::Nearest),
            ("rna", Rounding::NearestAway),
            ("rz", Rounding::Zero),
            ("rm", Rounding::Down),
            ("rp", Rounding::Up),
        ])
    }

    /// Takes out a mode that rounds to an integer.
    pub fn integer_rounding(&mut self) -> Option<Rounding> {
        self.choose(&[
            ("rni", Rounding::Nearest),
            ("rzi", Rounding::Zero),
            ("rmi", Rounding::Down),
            ("rpi", Rounding::Up),
        ])
    }

    /// The last type: that of the operands.
    pub fn ty(&self) -> Result<Ty, ParseError> {
        self.types.last().copied().ok_or_else(|| self.unsupported())
    }

    pub fn unsupported(&self) -> ParseError {
        ParseError::new(self.line, format!("the instruction {} isn't supported", self.written))
    }

    pub fn error(&self, message: impl std::fmt::Display) -> ParseError {
        ParseError::new(self.line, format!("{}: {message}", self.written))
    }

    /// Every part was asked for.
    pub fn finish(&self) -> Result<(), ParseError> {
        match self.parts.first() {
            None => Ok(()),
            Some(part) => Err(self.error(format!("the modifier .{part} isn't supported"))),
        }
    }
}
