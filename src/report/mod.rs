//! Reports: [`Record`] -> [`Chart`] -> SVG, table and HTML. A report reads records and computes nothing but formats and axis
//! ranges.
//!
//! ```text
//! raw/*.json --load--> Record --sections--> Section { verdict, charts, tables } --html--> one self-contained page
//!                                            Chart --plot--> plotters --svg--> <svg> with marks that know their row
//! ```

pub mod chart;
pub mod drawing;
pub mod format;
mod html;
mod plot;
pub mod sections;
mod store;
mod svg;
pub mod ticks;

use crate::measure::Record;

pub use chart::Chart;
pub use sections::Section;
pub(crate) use store::write_whole;
pub use store::{Problem, file_name, load, read, save, write_html};

/// The page for these records, with a line for each problem met on loading them. It needs nothing but itself; links to raw
/// records are relative to it (`raw/<name>.json`).
pub fn render(records: &[Record], problems: &[Problem]) -> String {
    let sections = sections::all(records);
    html::page(records, &sections, problems)
}
