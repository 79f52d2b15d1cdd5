//! Text in a picture: how wide it is, cut to a width, and escaped.

/// Width of a text in ems of a common sans serif. On the wide side: a gap is better than an overlap.
pub fn text_width(text: &str) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | ' ' | 'I' => 0.34,
        'f' | 't' | 'r' | '-' | '(' | ')' | '/' | '[' | ']' => 0.42,
        '⁰' | '¹' | '²' | '³' | '⁴' | '⁵' | '⁶' | '⁷' | '⁸' | '⁹' | '⁻' => 0.45,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.0,
        'A'..='Z' | '×' | '−' | '+' | '=' => 0.78,
        c if c.is_ascii() => 0.64,
        c if (c as u32) < 0x1100 => 0.7,
        _ => 1.1,
    };
    text.chars().map(width).sum()
}

/// A text cut to a width in ems, with an ellipsis where something is missing.
pub fn shorten(text: &str, ems: f64) -> String {
    if text_width(text) <= ems {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if text_width(&short) + text_width("…") > ems {
            short.pop();
            break;
        }
    }
    format!("{}…", short.trim_end())
}

/// Text for an attribute or element. Control characters are not allowed in markup, so they go.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_fits_and_says_that_it_was_cut() {
        let long = "a name that is much too long for its place";
        let short = shorten(long, 10.0);
        assert!(text_width(&short) <= 10.0 && short.ends_with('…') && long.starts_with(short.trim_end_matches('…')));
        assert_eq!(shorten("short", 10.0), "short");
        assert_eq!(shorten(long, 0.0), "…");
    }
}
