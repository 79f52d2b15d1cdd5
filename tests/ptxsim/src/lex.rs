//! PTX text -> tokens with their line.

use crate::ParseError;

/// One token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name, a register, a directive or an opcode with its dots: `%f1`, `.reg`, `ld.global.f32`.
    Word(&'a str),
    /// An integer, its 64 bits.
    Integer(u64),
    /// `0f` and eight hexadecimal digits: the bits of an f32.
    Single(u32),
    /// `0d` and sixteen of them, or a decimal fraction.
    Double(f64),
    /// A string in quotes.
    Text,
    /// One character of punctuation.
    Mark(char),
}

/// Splits `text` into tokens, each with its line (from 1).
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token<'_>, u32)>, ParseError> {
    let bytes = text.as_bytes();
    let (mut at, mut line) = (0, 1);
    let mut found = Vec::new();
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest[0] {
            b'\n' => {
                line += 1;
                at += 1;
            }
            b if b.is_ascii_whitespace() || b == 0 => at += 1,
            b'/' if rest.starts_with(b"//") => {
                at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            }
            b'/' if rest.starts_with(b"/*") => {
                let end = text[at..]
                    .find("*/")
                    .ok_or_else(|| ParseError::new(line, "a comment has no end"))?;
                line += text[at..at + end].matches('\n').count() as u32;
                at += end + 2;
            }
            b'"' => {
                let end = text[at + 1..]
                    .find('"')
                    .ok_or_else(|| ParseError::new(line, "a string has no end"))?;
                found.push((Token::Text, line));
                at += end + 2;
            }
            b if b.is_ascii_digit() => {
                let end = length_of(rest, |b| b.is_ascii_alphanumeric() || b == b'.');
                // 1.5e-3: the sign belongs to the number.
                let mut word = &text[at..at + end];
                if word.contains('.') && word.ends_with(['e', 'E']) && matches!(rest.get(end), Some(b'-' | b'+')) {
                    word = &text[at..at + end + 1 + length_of(&rest[end + 1..], |b| b.is_ascii_digit())];
                }
                found.push((
                    number(word).ok_or_else(|| ParseError::new(line, format!("not a number: {word}")))?,
                    line,
                ));
                at += word.len();
            }
            b if b.is_ascii_alphabetic() || matches!(b, b'_' | b'$' | b'%' | b'.') => {
                // cvt.f32.f16 and ::-qualifiers (ld.global.L2::128B) are one word.
                let in_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'%' | b'.');
                let mut end = length_of(rest, in_word);
                while rest[end..].starts_with(b"::") {
                    end += 2 + length_of(&rest[end + 2..], in_word);
                }
                found.push((Token::Word(&text[at..at + end]), line));
                at += end;
            }
            b if b.is_ascii() => {
                found.push((Token::Mark(b as char), line));
                at += 1;
            }
            _ => return Err(ParseError::new(line, "a character outside ASCII")),
        }
    }
    Ok(found)
}

fn length_of(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !holds(b)).unwrap_or(bytes.len())
}

fn number(word: &str) -> Option<Token<'static>> {
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    if let Some(digits) = word.strip_prefix("0f").or(word.strip_prefix("0F")) {
        return Some(Token::Single(u32::try_from(hex(digits)?).ok()?));
    }
    if let Some(digits) = word.strip_prefix("0d").or(word.strip_prefix("0D")) {
        return Some(Token::Double(f64::from_bits(hex(digits)?)));
    }
    if word.contains('.') {
        return Some(Token::Double(word.parse().ok()?));
    }
    let digits = word.strip_suffix('U').unwrap_or(word);
    let value = if let Some(digits) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        hex(digits)?
    } else if let Some(digits) = digits.strip_prefix("0b") {
        u64::from_str_radix(digits, 2).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(Token::Integer(value))
}
