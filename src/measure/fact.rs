//! What is known, with its source, or why it is not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value with where it comes from, or no value with the reason. JSON has `null` and the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// The value, if known.
    pub value: Option<T>,
    /// Where it comes from; without a value, why it is unknown.
    pub source: String,
}

impl<T> Fact<T> {
    /// A value and its source.
    pub fn known(value: T, source: impl Into<String>) -> Self {
        Self {
            value: Some(value),
            source: source.into(),
        }
    }

    /// No value, and why.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self {
            value: None,
            source: reason.into(),
        }
    }

    /// A value if there is one, else the reason.
    pub fn of(value: Option<T>, source: &str, reason: &str) -> Self {
        let source = if value.is_some() { source } else { reason };
        Self {
            value,
            source: source.to_owned(),
        }
    }

    /// Another view of the value, from the same source.
    pub fn map<U>(&self, view: impl FnOnce(&T) -> U) -> Fact<U> {
        Fact {
            value: self.value.as_ref().map(view),
            source: self.source.clone(),
        }
    }
}

/// The value, or `unknown: reason`.
impl<T: fmt::Display> fmt::Display for Fact<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => value.fmt(f),
            None => write!(f, "unknown: {}", self.source),
        }
    }
}
