//! JSON as Python writes it: NaN, Infinity and -Infinity are numbers there, and `serde_json` knows none of them. Within this program they
//! are strings with a mark in front.

use serde_json::Value as Json;

const MARK: &str = "\u{1}";
/// The mark as it stands in JSON text.
const ESCAPED: &str = "\\u0001";
const NAMES: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// A number, finite or not.
pub fn number(x: f64) -> Json {
    if x.is_finite() {
        return x.into();
    }
    let name = if x.is_nan() {
        "NaN"
    } else if x > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    format!("{MARK}{name}").into()
}

/// The number of [`number`].
pub fn as_number(json: &Json) -> Option<f64> {
    match json {
        Json::String(text) => match text.strip_prefix(MARK)? {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }
}

/// One line, without its end.
pub fn write(json: &Json) -> String {
    let mut line = json.to_string();
    for name in NAMES {
        line = line.replace(&format!("\"{ESCAPED}{name}\""), name);
    }
    line
}

/// A line.
pub fn read(line: &str) -> Result<Json, serde_json::Error> {
    serde_json::from_str(line).or_else(|_| serde_json::from_str(&marked(line)))
}

/// The line with each of the three names outside of strings as a marked string.
fn marked(line: &str) -> String {
    let (mut out, mut rest, mut inside) = (String::new(), line, false);
    while let Some(next) = rest.chars().next() {
        let name = NAMES.into_iter().find(|name| !inside && rest.starts_with(name));
        let taken = if let Some(name) = name {
            out.push_str(&format!("\"{ESCAPED}{name}\""));
            name.len()
        } else if inside && next == '\\' {
            let escape = rest.chars().nth(1).map_or(1, |escaped| 1 + escaped.len_utf8());
            out.push_str(&rest[..escape]);
            escape
        } else {
            inside ^= next == '"';
            out.push(next);
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_survives() {
        for x in [1.5, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324] {
            let line = write(&serde_json::json!({"v": [number(x)], "t": "NaN \\\" Infinity"}));
            let back = read(&line).unwrap();
            assert_eq!(as_number(&back["v"][0]).unwrap().to_bits(), x.to_bits(), "{line}");
            assert_eq!(back["t"], "NaN \\\" Infinity");
        }
        // As Python writes them.
        let line = r#"{"a":NaN,"b":[Infinity, -Infinity],"c":"-Infinity"}"#;
        assert_eq!(write(&read(line).unwrap()), line.replace(", ", ","));
        assert!(read(r#"{"a":Nan}"#).is_err());
    }
}
