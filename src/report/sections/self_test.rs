//! Kernels against their oracle.

use crate::measure::{Check, Record, SelfTest};
use crate::report::format::{count, fixed, plural};

use super::{Column, Headline, Layout, Section, Table, Tone, Verdict, outline};

/// A self-test: passed or not, with every check in a table.
pub fn section(record: &Record, test: &SelfTest) -> Section {
    let failed: Vec<&Check> = test.checks.iter().filter(|check| !check.passed).collect();
    let mut isas: Vec<&str> = test.checks.iter().map(|check| check.isa.as_str()).collect();
    isas.sort_unstable();
    isas.dedup();
    let worst = test
        .checks
        .iter()
        .map(|check| check.error_over_bound)
        .fold(0.0, f64::max);
    let verdict = if test.checks.is_empty() {
        Verdict::new(Tone::Bad, "No kernel was checked.")
    } else if failed.is_empty() {
        let text = format!(
            "All {} on {} ({}) stay within their error bounds; the largest error is {} of its bound.",
            plural(test.checks.len(), "kernel check"),
            plural(isas.len(), "ISA"),
            isas.join(", "),
            fixed(worst, 2)
        );
        Verdict::new(Tone::Good, text)
    } else {
        let named: Vec<String> = failed
            .iter()
            .map(|check| format!("{} on {}", check.kernel, check.isa))
            .collect();
        let (checks, names) = (plural(test.checks.len(), "check"), named.join(", "));
        Verdict::new(Tone::Bad, format!("{} of {checks} failed: {names}.", failed.len()))
    };
    let mut section = outline(record, verdict);
    section.headline = Some(Headline {
        value: format!("{} of {}", test.checks.len() - failed.len(), test.checks.len()),
        label: "kernel checks passed".to_owned(),
    });
    section.tables.push(Table {
        caption: "Kernels against the f64 oracle".to_owned(),
        head: vec![
            Column::text("kernel"),
            Column::text("ISA"),
            Column::number("cases"),
            Column::number("largest error / bound"),
            Column::text("result"),
        ],
        rows: test.checks.iter().map(row).collect(),
        wrong: (0..)
            .zip(&test.checks)
            .filter(|(_, check)| !check.passed)
            .map(|(row, _)| row)
            .collect(),
        // A failure is not to be folded away.
        layout: Layout::folded_if(failed.is_empty() && test.checks.len() > 12),
    });
    section
}

fn row(check: &Check) -> Vec<String> {
    vec![
        check.kernel.clone(),
        check.isa.clone(),
        count(check.cases as u64),
        fixed(check.error_over_bound, 3),
        if check.passed { "passed" } else { "FAILED" }.to_owned(),
    ]
}
