//! A plotters backend that writes SVG for a styled page: classes instead of colours, `data-row` on marks, text that
//! inherits the page's font. plotters' own SVG backend writes fixed colours and none of the rest.
//!
//! plotters knows only colours, so [`Ink`] travels as one: what plotters draws by itself (grid, axis, labels, lines) comes
//! back with the code of its ink, and leaves as a class. Marks are elements of ours and call [`Svg::mark`] directly.
//!
//! plotters places everything on whole pixels; [`SUB`] units to a pixel keep curves smooth. It has no fonts here
//! (feature `ttf` off), and then takes 0.56 em for every *byte* of a label; [`text_width`] estimates by character.

mod text;

use std::convert::Infallible;

use plotters::style::RGBColor;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};

pub use text::{escape, shorten, text_width};

/// Side of a cell, in backend units.
const CELL: i32 = 12 * SUB;

/// Backend units in one unit of the picture's `viewBox`.
pub const SUB: i32 = 16;

/// What something is drawn with; the style sheet decides how that looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ink {
    /// Lines behind the data.
    Grid,
    /// The horizontal axis.
    Axis,
    /// Labels of ticks.
    Tick,
    /// Names of axes.
    Name,
    /// Names in the legend.
    Legend,
    /// A series, by its number.
    Series(usize),
    /// A square, by how full it is: above 0, at most 1.
    Cell(f64),
    /// A line to compare with.
    Rule,
}

/// How many series look different; more repeat in turn. The page's colours and [`shape`] follow it.
pub const LOOKS: usize = 6;

impl Ink {
    /// The colour that carries it through plotters.
    pub fn color(self) -> RGBColor {
        match self {
            Self::Grid => RGBColor(0, 0, 0),
            Self::Axis => RGBColor(1, 0, 0),
            Self::Tick => RGBColor(2, 0, 0),
            Self::Name => RGBColor(3, 0, 0),
            Self::Legend => RGBColor(4, 0, 0),
            Self::Rule => RGBColor(5, 0, 0),
            Self::Series(series) => RGBColor(6, (series % LOOKS) as u8, 0),
            Self::Cell(_) => RGBColor(6, 0, 0),
        }
    }

    /// Its class, from the colour.
    fn class_of(color: BackendColor) -> String {
        let (role, series, _) = color.rgb;
        let name = ["grid", "axis", "tick", "name", "legend", "rule"].get(usize::from(role));
        name.map_or_else(|| format!("line s{series}"), |name| (*name).to_owned())
    }

    /// Class of a mark.
    fn class(self) -> String {
        match self {
            Self::Series(series) => format!("s{}", series % LOOKS),
            Self::Cell(_) => "s0".to_owned(),
            _ => Self::class_of(BackendColor {
                alpha: 1.0,
                rgb: (self.color().0, 0, 0),
            }),
        }
    }
}

/// What a mark says about itself.
pub struct MarkText<'a> {
    /// Its row in the chart's table.
    pub row: usize,
    /// Name of its series.
    pub series: &'a str,
    /// What stands beside a rule or an edge.
    pub name: &'a str,
    /// x, as the table shows it.
    pub x: &'a str,
    /// y, as the table shows it.
    pub value: &'a str,
    /// The row in words.
    pub spoken: &'a str,
    /// Whether tab reaches it; the arrow keys go on from there.
    pub first: bool,
}

/// The backend. Writes the children of an `<svg>` element into `out`.
pub struct Svg<'a> {
    out: &'a mut String,
    size: (u32, u32),
}

/// Outline of the marker of a series round (0, 0), in units of the picture.
fn shape(series: usize, r: f64) -> String {
    let (d, t) = (r * 1.3, r * 1.15);
    match series % LOOKS {
        0 => format!(
            "M{:.1} 0a{r:.1} {r:.1} 0 1 0 {:.1} 0a{r:.1} {r:.1} 0 1 0 -{:.1} 0z",
            -r,
            2.0 * r,
            2.0 * r
        ),
        1 => format!("M0 -{d:.1}L{d:.1} 0 0 {d:.1} -{d:.1} 0z"),
        2 => format!("M0 -{t:.1}L{t:.1} {:.1}H-{t:.1}z", r * 0.9),
        3 => format!("M-{0:.1} -{0:.1}H{0:.1}V{0:.1}H-{0:.1}z", r * 0.9),
        4 => format!("M0 {t:.1}L{t:.1} -{0:.1}H-{t:.1}z", r * 0.9),
        _ => {
            let (a, b) = (r * 0.4, r * 1.15);
            format!(
                "M-{a:.1} -{b:.1}H{a:.1}V-{a:.1}H{b:.1}V{a:.1}H{a:.1}V{b:.1}H-{a:.1}V{a:.1}H-{b:.1}V-{a:.1}H-{a:.1}z"
            )
        }
    }
}

/// Backend units as text in units of the picture.
fn unit(value: i32) -> String {
    let text = format!("{:.2}", f64::from(value) / f64::from(SUB));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl<'a> Svg<'a> {
    /// A picture of `width` by `height` units.
    pub fn new(out: &'a mut String, width: i32, height: i32) -> Self {
        Self {
            out,
            size: ((width * SUB) as u32, (height * SUB) as u32),
        }
    }

    /// A data point with its interval's ends; or a rule from its first to its last place with a name at its end; or an
    /// upright edge with a name at its first place.
    pub fn mark(&mut self, ink: Ink, places: &[BackendCoord], radius: f64, text: &MarkText<'_>) {
        let Some(&(x, y)) = places.first() else { return };
        let push = |out: &mut String, name: &str, value: &str| {
            out.push_str(&format!(" {name}=\"{}\"", escape(value)));
        };
        self.out
            .push_str(&format!("<g class=\"mark {}\" data-row=\"{}\"", ink.class(), text.row));
        push(self.out, "data-series", text.series);
        push(self.out, "data-x", text.x);
        push(self.out, "data-value", text.value);
        push(self.out, "aria-label", text.spoken);
        let tab = if text.first { 0 } else { -1 };
        self.out.push_str(&format!(" role=\"img\" tabindex=\"{tab}\">"));
        match ink {
            Ink::Series(series) => {
                if let [_, (_, low), (_, high)] = *places {
                    self.whisker(x, low, high);
                }
                self.marker(series, (x, y), radius);
            }
            Ink::Cell(full) => self.cell(full, (x, y)),
            _ => {
                let (end, foot) = places.last().copied().unwrap_or((x, y));
                if foot != y {
                    let d = format!("M{} {}V{}", unit(x), unit(y), unit(foot));
                    self.out.push_str(&format!("<path class=\"dot\" d=\"{d}\"/>"));
                    let inside = if foot > y { y + 13 * SUB } else { y - 5 * SUB };
                    self.text(&shorten(text.name, 20.0), "name", "end", (x - 3 * SUB, inside), "0");
                    self.out.push_str("</g>\n");
                    return;
                }
                self.out.push_str(&format!(
                    "<path class=\"dot\" d=\"M{} {}H{}\"/>",
                    unit(x),
                    unit(y),
                    unit(end)
                ));
                self.text(&shorten(text.name, 20.0), "name", "end", (end, y - 5 * SUB), "0");
            }
        }
        self.out.push_str("</g>\n");
    }

    /// The marker of a series for the legend, on a line of `2 * half` if its points are joined.
    pub fn swatch(&mut self, ink: Ink, (x, y): BackendCoord, half: i32) {
        self.out.push_str(&format!("<g class=\"swatch {}\">", ink.class()));
        if half > 0 {
            let (left, y, length) = (unit(x - half), unit(y), unit(2 * half));
            self.out
                .push_str(&format!("<path class=\"line\" d=\"M{left} {y}h{length}\"/>"));
        }
        match ink {
            Ink::Cell(full) => self.cell(full, (x, y)),
            Ink::Series(series) => self.marker(series, (x, y), 4.0),
            _ => {}
        }
        self.out.push_str("</g>\n");
    }

    fn cell(&mut self, full: f64, (x, y): BackendCoord) {
        let (left, top, side) = (unit(x - CELL / 2), unit(y - CELL / 2), unit(CELL));
        let d = format!("M{left} {top}h{side}v{side}h-{side}z");
        self.out
            .push_str(&format!("<path class=\"dot\" fill-opacity=\"{full:.2}\" d=\"{d}\"/>"));
    }

    fn marker(&mut self, series: usize, (x, y): BackendCoord, radius: f64) {
        let at = format!("translate({} {})", unit(x), unit(y));
        self.out.push_str(&format!(
            "<path class=\"dot\" transform=\"{at}\" d=\"{}\"/>",
            shape(series, radius)
        ));
    }

    fn whisker(&mut self, x: i32, low: i32, high: i32) {
        let (left, cap, low, high) = (unit(x - 3 * SUB), unit(6 * SUB), unit(low), unit(high));
        let d = format!("M{left} {low}h{cap}M{left} {high}h{cap}M{} {low}V{high}", unit(x));
        self.out.push_str(&format!("<path class=\"whisker\" d=\"{d}\"/>"));
    }

    fn text(&mut self, text: &str, class: &str, anchor: &str, (x, y): BackendCoord, dy: &str) {
        let (x, y, text) = (unit(x), unit(y), escape(text));
        self.out.push_str(&format!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" dy=\"{dy}\" text-anchor=\"{anchor}\">{text}</text>\n"
        ));
    }
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Svg<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_path([at, (at.0 + SUB, at.1)], &color)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let mut d = String::new();
        for (x, y) in path {
            d.push_str(&format!(
                "{}{} {}",
                if d.is_empty() { 'M' } else { 'L' },
                unit(x),
                unit(y)
            ));
        }
        let class = Ink::class_of(style.color());
        self.out.push_str(&format!("<path class=\"{class}\" d=\"{d}\"/>\n"));
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let anchor = match style.anchor().h_pos {
            HPos::Left => "start",
            HPos::Right => "end",
            HPos::Center => "middle",
        };
        // Distances from the anchor to the baseline, for digits and capitals of about 0.72 em.
        let dy = match style.anchor().v_pos {
            VPos::Top => "0.76em",
            VPos::Center => "0.36em",
            VPos::Bottom => "-0.2em",
        };
        self.text(text, &Ink::class_of(style.color()), anchor, at, dy);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((
            (text_width(text) * style.size()).ceil() as u32,
            (1.2 * style.size()).ceil() as u32,
        ))
    }
}
