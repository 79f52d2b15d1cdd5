//! Drawings that are no chart: grids of coloured cells, and computational graphs.

use maud::{PreEscaped, html};
use tilelab_kernels::Activation;

use crate::measure::{GraphOf, Picture};
use crate::mlp::{Model, Optimizer};
use crate::program::Element;
use crate::program::graph::{Graph, Options};
use crate::program::lower::Lowering;

use super::format::number;

/// A drawing with its caption. Its SVG is made here, from data: no markup comes out of a record.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// What it shows.
    pub title: String,
    /// How to read it, or empty.
    pub note: String,
    /// An `<svg>` element.
    pub svg: String,
}

/// Colours that the page has for cells.
const COLOURS: u8 = 6;

impl Drawing {
    /// A grid of cells. Neighbours of one colour in a row become one rectangle.
    pub fn picture(picture: &Picture) -> Self {
        let columns = picture.columns.max(1);
        let rows = picture.colours.len() / columns;
        let mut cells = String::new();
        for (y, row) in picture.colours.chunks_exact(columns).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|a, b| a == b) {
                let colour = run[0] % COLOURS;
                cells += &format!(
                    "<rect class=\"c{colour}\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"1\"/>",
                    run.len()
                );
                x += run.len();
            }
        }
        let label = |(name, from, to): &(String, f64, f64)| format!("{name} from {} to {}", number(*from), number(*to));
        let spoken = format!("{}: {}, {}", picture.title, label(&picture.x), label(&picture.y));
        let svg = html! {
            svg.cells viewBox=(format!("0 0 {columns} {rows}")) shape-rendering="crispEdges" role="img" aria-label=(spoken) {
                (PreEscaped(cells))
            }
        };
        Self {
            title: picture.title.clone(),
            note: format!("{} {}, {}.", picture.note, label(&picture.x), label(&picture.y))
                .trim()
                .to_owned(),
            svg: svg.into_string(),
        }
    }

    /// The graph of a training step; none for widths that make no model.
    pub fn graph(of: &GraphOf) -> Option<Self> {
        let model = Model::new(&of.layers, Activation::Relu).ok()?;
        let lowering = Lowering {
            model: &model,
            float: Element::F32,
            rows: of.rows,
            byte_scale: 1.0,
        };
        let step = lowering.step(Optimizer::Sgd).ok()?;
        let options = Options {
            rows: of.rows,
            l2: of.l2,
            backward: of.backward,
        };
        let graph = Graph::of(&step, options);
        Some(Self {
            title: graph.title.clone(),
            note: "Squares are variables, circles operators; an edge says what passes along it.".to_owned(),
            svg: graph.to_inline_svg(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_one_colour_are_one_rectangle() {
        let picture = Picture {
            title: "Regions".to_owned(),
            note: String::new(),
            x: ("x".to_owned(), -1.0, 1.0),
            y: ("y".to_owned(), -1.0, 1.0),
            columns: 3,
            colours: vec![0, 0, 1, 2, 2, 2],
        };
        let svg = Drawing::picture(&picture).svg;
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains("viewBox=\"0 0 3 2\""));
    }

    #[test]
    fn a_graph_brings_no_style_of_its_own() {
        let of = GraphOf {
            layers: vec![5, 4, 3],
            rows: 1,
            l2: 0.1,
            backward: true,
        };
        let drawing = Drawing::graph(&of).unwrap();
        assert!(drawing.svg.contains("<svg") && !drawing.svg.contains("<style"));
        assert!(Drawing::graph(&GraphOf { layers: vec![5], ..of }).is_none());
    }
}
