//! Two measurements held against each other, figure by figure: faster, slower, the same, or not told apart.
//!
//! ```text
//! two records     --figures--> old, new             --judge--> Row { ratio, interval, verdict }
//! two executables --launches-> pairs of such figures --judge--> the same, from ratios pair by pair
//! ```
//!
//! A record is one launch, and the same program's median differs by a few percent from launch to launch (where its pages
//! lie, which core it got, what its neighbours do), which no interval within a launch shows. Two records therefore differ
//! only where the whole interval lies beyond a margin. Launches in turns show that variation themselves.

mod figures;
mod judge;
mod launches;

pub use figures::{Better, Figure, figures};
pub use judge::{Row, Verdict, records};
pub use launches::{Launches, executables};
