//! Draws a [`Chart`] with plotters onto [`Svg`].

mod elements;
mod ruler;

use std::convert::Infallible;

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::prelude::{ChartBuilder, IntoDrawingArea, IntoTextStyle, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, TextStyle};

use super::chart::{Chart, Join, Row, Series};
use elements::{Mark, legend};
use ruler::Ruler;

use super::svg::{Ink, LOOKS, MarkText, SUB, Svg, escape, shorten, text_width};

/// Size of a picture with one line of legend, in its own units. Small, so that text is still readable when it shrinks to a phone's width.
const SIZE: (i32, i32) = (460, 300);
/// Font size for the layout: the style sheet's largest, which it uses on phones.
const FONT: f64 = 15.0;
/// Height of a line of legend or axis name.
const LINE: i32 = 21;
/// From this many points on, markers would hide the line: they shrink.
const MANY: usize = 40;

type Failure = DrawingAreaErrorKind<Infallible>;

/// The chart as an `<svg>` element.
pub fn svg(chart: &Chart) -> Result<String, Failure> {
    let legend = legend(chart);
    let top = legend.last().map_or(0, |entry| entry.bottom());
    let (width, height) = (SIZE.0, SIZE.1 + (top - LINE).max(0));
    let mut out = format!(
        "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"group\" aria-labelledby=\"{0}-title\" \
         aria-describedby=\"chart-help\">\n",
        escape(&chart.id)
    );
    let root = Svg::new(&mut out, width, height).into_drawing_area();
    draw(chart, &root, (top, height))?;
    let name = style(Ink::Legend, HPos::Left, VPos::Center);
    for entry in &legend {
        root.draw(entry)?;
        root.draw_text(&entry.name, &name, entry.name_at())?;
    }
    drop(root);
    out.push_str("</svg>");
    Ok(out)
}

fn style(ink: Ink, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = (FontFamily::SansSerif, FONT * f64::from(SUB));
    let mut style = TextStyle::from(font).pos(Pos::new(h, v));
    style.color = ink.color().to_backend_color();
    style
}

/// Axes and data, between the lines `top` and `height` of the picture.
fn draw(chart: &Chart, root: &DrawingArea<Svg<'_>, Shift>, (top, height): (i32, i32)) -> Result<(), Failure> {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let drawn = || points().filter(|point| chart.x.scale.draws(point.x) && chart.y.scale.draws(point.y));
    let heights = drawn().flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [point.y, low, high]
    });
    let heights = heights.chain(chart.rules.iter().map(|rule| rule.y));
    // The name of the vertical axis stands above it, level, where it can be read.
    let top = top + 6 + LINE + 4;
    let plot_height = f64::from(height - top - 2 * LINE);
    let y = Ruler::new(&chart.y, heights, plot_height, |_| 2.0 * FONT);
    let left = (y.widest() + 12.0).ceil() as i32;
    let x_values = drawn()
        .map(|point| point.x)
        .chain(chart.edges.iter().map(|edge| edge.x));
    let x = Ruler::new(&chart.x, x_values, f64::from(SIZE.0 - left - 20), |label| {
        text_width(label) * FONT + 10.0
    });
    // The last label may reach beyond the frame by half its width.
    let right = (x.widest() / 2.0).ceil() as i32;

    let name = style(Ink::Name, HPos::Left, VPos::Top);
    root.draw_text(
        &shorten(&chart.y.caption(), f64::from(SIZE.0) / FONT),
        &name,
        (0, (top - LINE - 4) * SUB),
    )?;
    let mut context = ChartBuilder::on(root)
        .margin_top(top * SUB)
        .margin_right(right * SUB)
        .margin_bottom(LINE * SUB)
        .y_label_area_size(left * SUB)
        .x_label_area_size(LINE * SUB)
        .build_cartesian_2d(x, y)?;
    let name = style(Ink::Name, HPos::Center, VPos::Bottom);
    let middle = (left + (SIZE.0 - left - right) / 2) * SUB;
    root.draw_text(
        &shorten(&chart.x.caption(), f64::from(SIZE.0 - left - right) / FONT),
        &name,
        (middle, (height - 2) * SUB),
    )?;
    context
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(Ink::Grid.color())
        .light_line_style(Ink::Grid.color())
        .axis_style(Ink::Axis.color())
        .label_style(style(Ink::Tick, HPos::Center, VPos::Center).into_text_style(root))
        .set_all_tick_mark_size(4 * SUB)
        .draw()?;
    lines(chart, &mut context)?;
    marks(chart, &mut context)
}

type Context<'a, 'b> = ChartContext<'a, Svg<'b>, Cartesian2d<Ruler, Ruler>>;

/// Lines under the marks, broken where a point cannot be drawn.
fn lines(chart: &Chart, context: &mut Context<'_, '_>) -> Result<(), Failure> {
    for (number, series) in chart
        .series
        .iter()
        .enumerate()
        .filter(|(_, series)| matches!(series.join, Join::Line | Join::Like(_)))
    {
        for run in series
            .points
            .split(|point| !(chart.x.scale.draws(point.x) && chart.y.scale.draws(point.y)))
        {
            if run.len() > 1 {
                let places = run.iter().map(|point| (point.x, point.y));
                context.draw_series(LineSeries::new(places, Ink::Series(look(series, number)).color()))?;
            }
        }
    }
    Ok(())
}

/// The series whose look this one has.
fn look(series: &Series, number: usize) -> usize {
    match series.join {
        Join::Like(other) => other,
        _ => number,
    }
}

/// What the marks of a series are drawn with.
fn ink(chart: &Chart, number: usize) -> Ink {
    let series = &chart.series[number];
    match series.join {
        Join::Cells => Ink::Cell((number + 1) as f64 / chart.series.len() as f64),
        _ => Ink::Series(look(series, number) % LOOKS),
    }
}

fn marks(chart: &Chart, context: &mut Context<'_, '_>) -> Result<(), Failure> {
    let rows = chart.rows();
    let spoken: Vec<String> = rows.iter().map(|row| chart.spoken(row)).collect();
    let first = rows.iter().position(|row| row.missing.is_none());
    let text = |number: usize| {
        let row: &Row = &rows[number];
        let (series, x, value, spoken) = (&*row.series, &*row.x, &*row.y, &*spoken[number]);
        MarkText {
            row: number,
            series,
            name: series,
            x,
            value,
            spoken,
            first: first == Some(number),
        }
    };
    let mut number = 0;
    let apart = chart.series.iter().filter(|series| series.join == Join::Apart).count() as i32;
    // Many short lines hide each other as one long line does.
    let drawn: usize = chart
        .series
        .iter()
        .filter(|series| matches!(series.join, Join::Like(_)))
        .map(|series| series.points.len())
        .sum();
    for (place, series) in chart.series.iter().enumerate() {
        let dodge = match series.join {
            Join::Apart => (2 * place as i32 + 1 - apart) * 9 * SUB / 2,
            _ => 0,
        };
        let together = if matches!(series.join, Join::Like(_)) {
            drawn
        } else {
            series.points.len()
        };
        let radius = if together > MANY { 2.0 } else { 4.0 };
        for point in &series.points {
            let shown = rows[number].missing.is_none();
            let mut places = vec![(point.x, point.y)];
            if let Some((low, high)) = point
                .interval
                .filter(|(low, high)| [low, high].iter().all(|v| chart.y.scale.draws(**v)))
            {
                places.extend([(point.x, low), (point.x, high)]);
            }
            let mark = Mark {
                places,
                dodge,
                radius,
                ink: ink(chart, place),
                text: text(number),
            };
            if shown {
                context.draw_series([mark])?;
            }
            number += 1;
        }
    }
    let (from, to) = (context.x_range().start, context.x_range().end);
    for rule in &chart.rules {
        if rows[number].missing.is_none() {
            let places = vec![(from, rule.y), (to, rule.y)];
            context.draw_series([Mark {
                places,
                dodge: 0,
                radius: 0.0,
                ink: Ink::Rule,
                text: text(number),
            }])?;
        }
        number += 1;
    }
    let (low, high) = (context.y_range().start, context.y_range().end);
    for edge in &chart.edges {
        if rows[number].missing.is_none() {
            // The name stands at the first place.
            let ends = if edge.at_foot { [low, high] } else { [high, low] };
            let text = MarkText {
                name: &edge.name,
                ..text(number)
            };
            context.draw_series([Mark {
                places: ends.map(|y| (edge.x, y)).into(),
                dodge: 0,
                radius: 0.0,
                ink: Ink::Rule,
                text,
            }])?;
        }
        number += 1;
    }
    Ok(())
}
