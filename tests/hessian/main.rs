//! Second derivatives: exact, symmetric, the same however they are computed, and estimates within their own errors.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod closed;
mod differences;
mod golden;
mod large;
mod newton;
mod products;
mod spectrum;
mod support;
