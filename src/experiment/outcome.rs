//! What an experiment hands back, and the shorthands that build it.

use crate::measure::{Beside, Claim, Erratum, Experiment, Finding, GraphOf, Picture, Plot, Relation, Sheet, Trace};

/// What came out, before the framework adds the name and settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome(Experiment);

impl Outcome {
    /// With this finding, and nothing else yet.
    pub fn new(finding: Finding) -> Self {
        Self(Experiment {
            experiment: String::new(),
            expects: String::new(),
            shrunk: None,
            settings: Vec::new(),
            finding,
            checks: Vec::new(),
            beside: Vec::new(),
            plots: Vec::new(),
            pictures: Vec::new(),
            sheets: Vec::new(),
            graphs: Vec::new(),
            errata: Vec::new(),
        })
    }

    /// `value` must not be above `bound`. NaN fails.
    pub fn at_most(&mut self, name: impl Into<String>, value: f64, bound: f64) {
        self.0.checks.push(Claim::new(name, value, Relation::AtMost, bound));
    }

    /// `value` must not be below `bound`. NaN fails.
    pub fn at_least(&mut self, name: impl Into<String>, value: f64, bound: f64) {
        self.0.checks.push(Claim::new(name, value, Relation::AtLeast, bound));
    }

    /// `value` must be `bound`. NaN fails.
    pub fn equals(&mut self, name: impl Into<String>, value: f64, bound: f64) {
        self.0.checks.push(Claim::new(name, value, Relation::Equals, bound));
    }

    /// A plot.
    pub fn plot(&mut self, plot: Plot) {
        self.0.plots.push(plot);
    }

    /// A picture.
    pub fn picture(&mut self, picture: Picture) {
        self.0.pictures.push(picture);
    }

    /// A table.
    pub fn sheet(&mut self, caption: &str, head: &[&str], rows: Vec<Vec<crate::measure::Cell>>) {
        let head = head.iter().map(|&name| name.to_owned()).collect();
        let caption = caption.to_owned();
        self.0.sheets.push(Sheet { caption, head, rows });
    }

    /// A graph to draw.
    pub fn graph(&mut self, graph: GraphOf) {
        self.0.graphs.push(graph);
    }

    /// A figure of the notebook beside ours.
    pub fn beside(&mut self, beside: Beside) {
        self.0.beside.push(beside);
    }

    /// Where the notebook is wrong.
    pub fn erratum(&mut self, erratum: Erratum) {
        self.0.errata.push(erratum);
    }

    /// Something that the user should know of how it ran: (`data`, `...`).
    pub fn setting(&mut self, name: &str, value: impl Into<String>) {
        self.0.settings.push((name.to_owned(), value.into()));
    }

    /// What `--quick` left out.
    pub fn shrunk(&mut self, what: impl Into<String>) {
        self.0.shrunk = Some(what.into());
    }

    /// The checks so far.
    pub fn checks(&self) -> &[Claim] {
        &self.0.checks
    }

    /// What its data chose, whether checks failed or not.
    #[cfg(test)]
    pub fn chosen(&self) -> &Finding {
        &self.0.finding
    }

    /// What it found, failed checks first.
    pub fn finding(&self) -> Finding {
        let failed = self.0.checks.iter().filter(|check| !check.passed);
        let failed: Vec<String> = failed.map(|check| check.name.clone()).collect();
        if failed.is_empty() {
            self.0.finding.clone()
        } else {
            Finding::ChecksFailed { failed }
        }
    }

    /// The body of a record.
    pub(super) fn finish(mut self, name: &str, expects: &str, settings: Vec<(String, String)>) -> Experiment {
        self.0.finding = self.finding();
        self.0.experiment = name.to_owned();
        self.0.expects = expects.to_owned();
        self.0.settings.splice(..0, settings);
        self.0
    }
}

/// A plot of these traces.
pub fn plot(title: &str, x: crate::measure::PlotAxis, y: crate::measure::PlotAxis, traces: Vec<Trace>) -> Plot {
    Plot {
        title: title.to_owned(),
        note: String::new(),
        x,
        y,
        traces,
        rules: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_takes_the_place_of_the_finding() {
        let finding = Finding::DerivativesHold {
            activations: 1,
            error_over_bound: 0.5,
        };
        let mut outcome = Outcome::new(finding.clone());
        outcome.at_most("small", 0.5, 1.0);
        assert_eq!(outcome.finding(), finding);
        outcome.at_least("there", f64::NAN, 1.0);
        let failed = vec!["there".to_owned()];
        assert_eq!(outcome.finding(), Finding::ChecksFailed { failed: failed.clone() });
        let body = outcome.finish("n", "e", vec![("seed".to_owned(), "1".to_owned())]);
        assert_eq!(body.finding, Finding::ChecksFailed { failed });
    }
}
