//! Tokens -> module: directives, variables and kernels. The statements of a kernel's body are read in `body`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ParseError;
use crate::body;
use crate::decode;
use crate::lex::{Token, tokens};
use crate::module::{Module, Param, Variable};
use crate::statement::Declared;
use crate::ty::Ty;

/// A place in the tokens.
pub(crate) struct Reader<'a> {
    tokens: Vec<(Token<'a>, u32)>,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|&(token, _)| token)
    }

    pub fn second(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at + 1).map(|&(token, _)| token)
    }

    pub fn line(&self) -> u32 {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(1, |&(_, line)| line)
    }

    pub fn next(&mut self) -> Result<Token<'a>, ParseError> {
        let token = self.peek().ok_or_else(|| self.error("the text ends too early"))?;
        self.at += 1;
        Ok(token)
    }

    pub fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.line(), message)
    }

    /// Takes the mark if it comes next.
    pub fn takes(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(Token::Mark(mark));
        self.at += found as usize;
        found
    }

    pub fn expect(&mut self, mark: char) -> Result<(), ParseError> {
        if self.takes(mark) {
            return Ok(());
        }
        Err(self.error(format!("expected '{mark}', found {:?}", self.peek())))
    }

    pub fn word(&mut self) -> Result<&'a str, ParseError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            other => Err(self.error(format!("expected a name, found {other:?}"))),
        }
    }

    pub fn integer(&mut self) -> Result<u64, ParseError> {
        let negative = self.takes('-');
        match self.next()? {
            Token::Integer(value) => Ok(if negative { value.wrapping_neg() } else { value }),
            other => Err(self.error(format!("expected an integer, found {other:?}"))),
        }
    }

    /// Skips what stays on the line of the last token (`.loc`, `.file`).
    pub fn skip_line(&mut self, line: u32) {
        while self.at < self.tokens.len() && self.line() == line {
            self.at += 1;
        }
    }

    /// Skips until behind the next ';'.
    pub fn skip_statement(&mut self) -> Result<(), ParseError> {
        while self.next()? != Token::Mark(';') {}
        Ok(())
    }
}

/// Numbers the modules of this process.
static NEXT_MODULE: AtomicU64 = AtomicU64::new(1);

pub(crate) fn module(text: &str) -> Result<Module, ParseError> {
    let mut reader = Reader {
        tokens: tokens(text)?,
        at: 0,
    };
    let mut module = Module {
        kernels: Vec::new(),
        target: String::new(),
        version: (0, 0),
        variables: Vec::new(),
        id: NEXT_MODULE.fetch_add(1, Ordering::Relaxed),
    };
    let mut dynamic_shared: Vec<Declared> = Vec::new();
    while reader.peek().is_some() {
        let line = reader.line();
        match reader.word()? {
            ".version" => {
                let Token::Double(version) = reader.next()? else {
                    return Err(reader.error(".version wants a number like 8.0"));
                };
                module.version = (version as u32, (version.fract() * 10.0).round() as u32);
            }
            ".target" => {
                module.target = reader.word()?.to_owned();
                while reader.takes(',') {
                    reader.word()?;
                }
            }
            ".address_size" => {
                if reader.integer()? != 64 {
                    return Err(reader.error("addresses of 32 bits aren't supported"));
                }
            }
            ".file" | ".loc" => reader.skip_line(line),
            ".visible" | ".weak" | ".extern" => {}
            space @ (".global" | ".const") => {
                let variable = declared(&mut reader)?;
                reader.expect(';')?;
                module.variables.push(Variable {
                    name: variable.name,
                    bytes: variable.bytes,
                    initial: variable.initial,
                    constant: space == ".const",
                });
            }
            ".shared" => {
                dynamic_shared.push(declared(&mut reader)?);
                reader.expect(';')?;
            }
            ".entry" => {
                let name = reader.word()?.to_owned();
                let params = parameters(&mut reader)?;
                let max_threads = tuning(&mut reader)?;
                let body = body::read(&mut reader)?;
                let mut kernel = decode::kernel(body, &params, &dynamic_shared, &module.variables)?;
                (kernel.name, kernel.params, kernel.max_threads) = (name, params, max_threads);
                module.kernels.push(kernel);
            }
            other => return Err(ParseError::new(line, format!("the directive {other} isn't supported"))),
        }
    }
    if module.target.is_empty() {
        return Err(ParseError::new(1, "no .target: this is not a PTX module"));
    }
    Ok(module)
}

/// `.align 8 .b8 name[24] = {..}`: what follows the space, up to the ';'.
pub(crate) fn declared(reader: &mut Reader<'_>) -> Result<Declared, ParseError> {
    let mut align = None;
    let ty = loop {
        match reader.word()? {
            ".align" => align = Some(reader.integer()? as usize),
            ".attribute" | ".ptr" => return Err(reader.error("attributes of variables aren't supported")),
            word => {
                let name = word.strip_prefix('.').unwrap_or(word);
                break Ty::named(name).ok_or_else(|| reader.error(format!("not a type: {word}")))?;
            }
        }
    };
    let name = reader.word()?.to_owned();
    let mut count = 1;
    while reader.takes('[') {
        if reader.takes(']') {
            count = 0;
            break;
        }
        count *= reader.integer()? as usize;
        reader.expect(']')?;
    }
    let mut initial = Vec::new();
    if reader.takes('=') {
        let braces = reader.takes('{');
        loop {
            let negative = reader.takes('-');
            let bits = match reader.next()? {
                Token::Integer(value) => value,
                Token::Single(bits) => bits as u64,
                Token::Double(value) if ty == Ty::F32 => (value as f32).to_bits() as u64,
                Token::Double(value) => value.to_bits(),
                other => return Err(reader.error(format!("an initial value that isn't a number: {other:?}"))),
            };
            let bits = if negative { bits.wrapping_neg() } else { bits };
            initial.extend_from_slice(&bits.to_le_bytes()[..ty.bytes()]);
            if !reader.takes(',') {
                break;
            }
        }
        if braces {
            reader.expect('}')?;
        }
    }
    Ok(Declared {
        name,
        bytes: count * ty.bytes(),
        align: align.unwrap_or(ty.bytes()),
        initial,
    })
}

fn parameters(reader: &mut Reader<'_>) -> Result<Vec<Param>, ParseError> {
    let mut params: Vec<Param> = Vec::new();
    let mut offset = 0usize;
    if !reader.takes('(') || reader.takes(')') {
        return Ok(params);
    }
    loop {
        if reader.word()? != ".param" {
            return Err(reader.error("expected .param"));
        }
        let declared = declared(reader)?;
        offset = offset.next_multiple_of(declared.align.max(1));
        params.push(Param {
            name: declared.name,
            bytes: declared.bytes,
            offset,
        });
        offset += declared.bytes;
        if !reader.takes(',') {
            reader.expect(')')?;
            return Ok(params);
        }
    }
}

/// `.maxntid 256, 1, 1` and the like, between the parameters and the body; the most threads of a block.
fn tuning(reader: &mut Reader<'_>) -> Result<u32, ParseError> {
    let mut threads = 0;
    while let Some(Token::Word(word)) = reader.peek() {
        reader.next()?;
        let mut product = reader.integer()?;
        while reader.takes(',') {
            product *= reader.integer()?;
        }
        match word {
            ".maxntid" | ".reqntid" => threads = product as u32,
            ".minnctapersm" | ".maxnreg" => {}
            other => return Err(reader.error(format!("the directive {other} isn't supported"))),
        }
    }
    Ok(threads)
}
