//! What plotters places and our backend draws: marks and the legend's entries.

use std::convert::Infallible;

use plotters::element::{Drawable, PointCollection};
use plotters_backend::{BackendCoord, DrawingErrorKind};

use super::{FONT, LINE, SIZE, ink};
use crate::report::chart::{Chart, Join};
use crate::report::svg::{Ink, MarkText, SUB, Svg, shorten, text_width};

/// Half the length of a legend's line, and what follows its text.
const SWATCH: (i32, i32) = (11, 18);
/// The same half for points that are not joined.
const BARE: i32 = 6;
/// From the swatch to its name.
const GAP: i32 = 5;

/// A mark, placed by plotters and drawn by [`Svg::mark`].
pub struct Mark<'a> {
    /// The point, then the ends of its interval; or the ends of a rule.
    pub places: Vec<(f64, f64)>,
    /// Shift to the right, so that separate cases at one x stand side by side.
    pub dodge: i32,
    /// Of the marker.
    pub radius: f64,
    /// Of its series.
    pub ink: Ink,
    /// What it says.
    pub text: MarkText<'a>,
}

impl<'a> PointCollection<'a, (f64, f64)> for &'a Mark<'_> {
    type Point = &'a (f64, f64);
    type IntoIter = &'a [(f64, f64)];
    fn point_iter(self) -> &'a [(f64, f64)] {
        &self.places
    }
}

impl Drawable<Svg<'_>> for Mark<'_> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        places: I,
        backend: &mut Svg<'_>,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let places: Vec<BackendCoord> = places.map(|(x, y)| (x + self.dodge, y)).collect();
        backend.mark(self.ink, &places, self.radius, &self.text);
        Ok(())
    }
}

/// A legend's entry.
pub struct Entry {
    /// Its name, cut to the picture's width.
    pub name: String,
    ink: Ink,
    join: Join,
    /// Middle of its swatch.
    at: (i32, i32),
}

impl Entry {
    /// Where its name starts.
    pub fn name_at(&self) -> BackendCoord {
        (self.at.0 + (half(self.join) + GAP) * SUB, self.at.1)
    }

    /// Lower end, in units of the picture.
    pub fn bottom(&self) -> i32 {
        self.at.1 / SUB + LINE / 2
    }
}

/// Half the width of a swatch.
fn half(join: Join) -> i32 {
    if join == Join::Line { SWATCH.0 } else { BARE }
}

impl PointCollection<'_, (i32, i32)> for &Entry {
    type Point = (i32, i32);
    type IntoIter = [(i32, i32); 1];
    fn point_iter(self) -> [(i32, i32); 1] {
        [self.at]
    }
}

impl Drawable<Svg<'_>> for Entry {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        places: I,
        backend: &mut Svg<'_>,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let half = if self.join == Join::Line { SWATCH.0 * SUB } else { 0 };
        places.for_each(|at| backend.swatch(self.ink, at, half));
        Ok(())
    }
}

/// Entries with their places, row under row. One series alone needs none: the title and the axis name it.
pub fn legend(chart: &Chart) -> Vec<Entry> {
    if chart.series.len() < 2 {
        return Vec::new();
    }
    let (mut x, mut y) = (0, LINE / 2);
    let mut entries = Vec::new();
    for (number, series) in chart
        .series
        .iter()
        .enumerate()
        .filter(|(_, series)| !matches!(series.join, Join::Like(_)))
    {
        let (join, half) = (series.join, half(series.join));
        let name = shorten(&series.name, f64::from(SIZE.0 - 2 * half - GAP) / FONT - 1.0);
        let width = 2 * half + GAP + (text_width(&name) * FONT).ceil() as i32;
        if x > 0 && x + width > SIZE.0 {
            (x, y) = (0, y + LINE);
        }
        let at = ((x + half) * SUB, y * SUB);
        let ink = ink(chart, number);
        entries.push(Entry { name, ink, join, at });
        x += width + SWATCH.1;
    }
    entries
}
