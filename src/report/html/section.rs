//! A section: question, verdict, charts with the table under each, tables, conditions.

use maud::{Markup, PreEscaped, html};

use crate::report::chart::Chart;
use crate::report::sections::{Column, Gallery, Heat, Layout, Section, Source, Table, Tone, Verdict};

/// A table with more rows than this is folded away under its chart.
const SHORT: usize = 4;

/// One section.
pub fn markup(section: &Section) -> Markup {
    html! {
        section id=(section.id) aria-labelledby={ (section.id) "--title" } {
            h2 id={ (section.id) "--title" } {
                (section.title)
                @if section.quick { " " span.badge { "quick" } }
            }
            p.question { (section.question) }
            (verdict(&section.verdict))
            @for note in &section.notes { p.remark { (note) } }
            @if !section.charts.is_empty() {
                div.charts { @for chart in &section.charts { (figure(chart)) } }
            }
            @for drawing in &section.drawings {
                figure.drawn {
                    figcaption {
                        span.title { (drawing.title) }
                        @if !drawing.note.is_empty() { span.note { (drawing.note) } }
                    }
                    div.scroll role="region" aria-label=(drawing.title) tabindex="0" { (PreEscaped(&drawing.svg)) }
                }
            }
            @if section.tables.iter().any(is_card) {
                div.cards { @for each in section.tables.iter().filter(|each| is_card(each)) { (table(each)) } }
            }
            @if let Some(heat) = &section.heat { (shaded(heat)) }
            @for each in section.tables.iter().filter(|each| !is_card(each)) { (table(each)) }
            @if let Some(gallery) = &section.gallery { (pictures(gallery)) }
            (origin(section))
        }
    }
}

fn verdict(verdict: &Verdict) -> Markup {
    let (class, sign) = match verdict.tone {
        Tone::Good => ("verdict good", Some("✓")),
        Tone::Plain => ("verdict", None),
        Tone::Bad => ("verdict bad", Some("!")),
    };
    html! {
        p class=(class) {
            @if let Some(sign) = sign { span.sign aria-hidden="true" { (sign) } " " }
            (verdict.text)
        }
    }
}

/// A chart with its table.
fn figure(chart: &Chart) -> Markup {
    html! {
        figure data-chart=(chart.id) {
            figcaption {
                span.title id={ (chart.id) "-title" } { (chart.title) }
                @if !chart.note.is_empty() { span.note { (chart.note) } }
            }
            // A picture that cannot be drawn leaves its table.
            @match chart.svg() {
                Ok(svg) => { (PreEscaped(svg)) }
                Err(error) => { p.bad { "This chart could not be drawn: " (error) } }
            }
            (chart_table(chart))
        }
    }
}

/// The table under a chart: a row for each mark, and for each point that has none.
fn chart_table(chart: &Chart) -> Markup {
    let rows = chart.rows();
    let intervals = chart.has_intervals();
    let table = html! {
        (scroller(&format!("Data of: {}", chart.title), html! {
            table {
                thead { tr {
                    th scope="col" { "series" }
                    th.number scope="col" { (chart.x.caption()) }
                    th.number scope="col" { (chart.y.caption()) }
                    @if intervals { th.number scope="col" { "interval" } }
                } }
                tbody {
                    @for (number, row) in rows.iter().enumerate() {
                        tr data-row=(number) {
                            th scope="row" { (row.series) }
                            td.number { (row.x) }
                            td.number.value { (row.y) @if let Some(why) = row.missing { " " em { (why) } } }
                            @if intervals { td.number { (row.interval) } }
                        }
                    }
                }
            }
        }))
    };
    html! {
        @if rows.len() > SHORT {
            details { summary { "Data of this chart, " (rows.len()) " rows" } (table) }
        } @else { (table) }
    }
}

fn is_card(table: &Table) -> bool {
    table.layout == Layout::Card
}

fn table(table: &Table) -> Markup {
    let class = |column: &Column| column.numeric.then_some("number");
    let body = scroller(
        &table.caption,
        html! {
            table {
                @if table.head.iter().any(|column| !column.label.is_empty()) {
                    thead { tr { @for column in &table.head { th scope="col" class=[class(column)] { (column.label) } } } }
                }
                tbody {
                    @for (number, row) in table.rows.iter().enumerate() {
                        tr.bad[table.wrong.contains(&number)] { @for (cell, column) in row.iter().zip(&table.head) { td class=[class(column)] { (cell) } } }
                    }
                }
            }
        },
    );
    html! {
        @if table.layout == Layout::Folded {
            details.wide { summary { (table.caption) ", " (table.rows.len()) " rows" } (body) }
        } @else {
            div.titled { h3 { (table.caption) } (body) }
        }
    }
}

/// A table of counts whose cells are shaded by class: the page's policy allows no style of an element's own.
fn shaded(heat: &Heat) -> Markup {
    let (row, column) = heat.sides;
    html! {
        div.titled {
            h3 { (heat.caption) }
            (scroller(&heat.caption, html! {
                table.heat {
                    thead { tr {
                        th scope="col" { (row) " \u{2193}, " (column) " \u{2192}" }
                        @for name in &heat.names { th.number scope="col" { (name) } }
                    } }
                    tbody {
                        @for (number, (name, cells)) in heat.names.iter().zip(&heat.cells).enumerate() {
                            tr {
                                th scope="row" { (name) }
                                @for (place, (text, shade)) in cells.iter().enumerate() {
                                    td class={ "number h" (shade) @if place == number { " right" } } { (text) }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Small pictures, inside the page.
fn pictures(gallery: &Gallery) -> Markup {
    html! {
        div.titled {
            h3 { (gallery.caption) }
            ul.gallery {
                @for (picture, lines) in &gallery.pictures {
                    li {
                        img width=(2 * picture.width) height=(2 * picture.height) alt=(lines.join(", "))
                            src={ "data:image/png;base64," (picture.png) };
                        @for line in lines { span { (line) } }
                    }
                }
            }
        }
    }
}

/// Room for what is wider than a phone; reachable by keyboard, so that it can be scrolled.
fn scroller(label: &str, content: Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (content) } }
}

fn origin(section: &Section) -> Markup {
    html! {
        @if !section.conditions.is_empty() || section.source.is_some() {
            details.wide.origin {
                summary { "How this was measured, and how to repeat it" }
                dl {
                    @for (name, value) in &section.conditions { dt { (name) } dd { (value) } }
                    @if let Some(Source { command, raw }) = &section.source {
                        dt { "repeat" } dd { code { (command) } }
                        dt { "raw record" } dd { a href={ "raw/" (raw) } { "raw/" (raw) } }
                    }
                }
            }
        }
    }
}
