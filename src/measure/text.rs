//! Figures as a terminal shows them: units, aligned columns, and the table of a bench.

use super::{Bench, Case, CaseResult, Unit, drops, rate_shown};

/// Columns that line up: the first to the left, all others to the right.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table under these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()],
        }
    }

    /// Adds a row; a missing cell is blank.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, each ended, without trailing blanks.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    line += &format!("{cell:<width$}");
                } else {
                    line += &format!("  {cell:>width$}");
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Nanoseconds in the unit that leaves 1 to 999 before the point, four figures in all.
pub fn duration(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        x if x < 999.95 => (ns, "ns"),
        x if x < 999.95e3 => (ns / 1e3, "us"),
        x if x < 999.95e6 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", figures(value))
}

/// Bytes in KiB, MiB, GiB or TiB: whole where exact, else one decimal.
pub fn binary_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if value.fract() == 0.0 {
        format!("{value} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Four significant figures, at most three decimals.
fn figures(value: f64) -> String {
    let decimals = match value.abs() {
        x if x < 9.9995 => 3,
        x if x < 99.995 => 2,
        _ => 1,
    };
    format!("{value:.decimals$}")
}

/// The table of a bench: a block a case, a line a contestant, then what the figures mean and what was disturbed.
///
/// A ratio is marked `~` where its interval holds 1: neither is shown to be faster.
pub fn bench_table(bench: &Bench) -> String {
    let (rate, scale) = rate_shown(&bench.unit);
    let peak = if bench.unit == Unit::Byte.id() {
        "of copy"
    } else {
        "of peak"
    };
    let most = bench.cases.iter().map(|case| case.results.len()).max().unwrap_or(0);
    let peers: Vec<String> = (1..=most).map(|number| format!("vs {number}")).collect();
    let mut headings = vec!["", "median", "min", "95 % interval", rate.as_str(), peak];
    if most > 1 {
        headings.extend(peers.iter().map(String::as_str));
    }
    let mut table = Table::new(&headings);
    for case in &bench.cases {
        table.row(vec![case.name.clone()]);
        if case.results.is_empty() {
            table.row(vec!["  no undisturbed round".to_owned()]);
        }
        for (number, result) in case.results.iter().enumerate() {
            table.row(result_row(number, result, case, scale));
        }
    }
    let mut text = table.render();
    if most > 1 {
        text += "vs N: times as fast as contestant N, median over rounds; ~ not told apart\n";
    }
    text + &conditions(bench)
}

fn result_row(number: usize, result: &CaseResult, case: &Case, scale: f64) -> Vec<String> {
    let (low, high) = result.interval_ns;
    let share = if result.percent_of_peak > 0.0 {
        format!("{:.1} %", result.percent_of_peak)
    } else {
        "-".to_owned()
    };
    let mut cells = vec![
        format!("  {} {}", number + 1, result.contestant),
        duration(result.median_ns),
        duration(result.min_ns),
        format!("{} .. {}", duration(low), duration(high)),
        figures(scale * result.rate),
        share,
    ];
    for peer in &case.results {
        let ratio = result.ratios.iter().find(|ratio| ratio.peer == peer.contestant);
        cells.push(ratio.map_or("-".to_owned(), |ratio| {
            let tie = ratio.interval.0 <= 1.0 && 1.0 <= ratio.interval.1;
            format!("{:.3}{}", ratio.median, if tie { "~" } else { " " })
        }));
    }
    cells
}

/// Threads, peak, rounds kept and dropped, and the notes.
fn conditions(bench: &Bench) -> String {
    let dropped = drops(&bench.rounds);
    let count: usize = dropped.values().sum();
    let threads = if bench.threads == 1 {
        "1 thread".to_owned()
    } else {
        format!("{} threads", bench.threads)
    };
    let mut text = format!("{threads}, FMA peak {} GFLOP/s, ", figures(bench.peak_gflops));
    text += &format!(
        "{} rounds kept, {count} disturbed and dropped",
        bench.rounds.len() - count
    );
    if count > 0 {
        let kinds: Vec<String> = dropped.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        text += &format!(" ({})", kinds.join(", "));
    }
    text.push('\n');
    for note in &bench.notes {
        text += &format!("note: {note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Ratio, Round};

    #[test]
    fn units_and_figures() {
        let told = [
            (0.0, "0.000 ns"),
            (1.5, "1.500 ns"),
            (999.94, "999.9 ns"),
            (999.96, "1.000 us"),
            (22.1e6, "22.10 ms"),
        ];
        for (ns, expected) in told {
            assert_eq!(duration(ns), expected);
        }
        assert_eq!(
            (duration(9.99960e3), duration(75.0e9)),
            ("10.00 us".to_owned(), "75.00 s".to_owned())
        );
        assert_eq!(
            (binary_bytes(0), binary_bytes(48 << 10)),
            ("0 B".to_owned(), "48 KiB".to_owned())
        );
        assert_eq!(
            (binary_bytes(1536), binary_bytes(480 << 20)),
            ("1.5 KiB".to_owned(), "480 MiB".to_owned())
        );
        assert_eq!(binary_bytes(u64::MAX), "16777216 TiB");
    }

    fn bench() -> Bench {
        let result = |name: &str, peer: &str, median_ns: f64, ratio: f64, interval: (f64, f64)| CaseResult {
            contestant: name.into(),
            samples: 30,
            median_ns,
            min_ns: 0.98 * median_ns,
            interval_ns: (0.99 * median_ns, 1.01 * median_ns),
            rate: 2.0 * 1024f64.powi(3) / median_ns,
            percent_of_peak: 93.21,
            ratios: vec![Ratio {
                peer: peer.into(),
                median: ratio,
                interval,
            }],
            error_over_bound: 0.1,
        };
        let ours = result("sgemm-avx2-6x16", "gemm-crate", 22.1e6, 1.05, (1.02, 1.07));
        let theirs = result("gemm-crate", "sgemm-avx2-6x16", 23.2e6, 0.952, (0.93, 1.01));
        let round = |round, dropped: Option<&str>| Round {
            case: "1024 cubed".into(),
            round,
            at_s: 0.0,
            steal: None,
            load: None,
            peak_gflops: 99.0,
            cache_gbs: None,
            dropped: dropped.map(str::to_owned),
        };
        let case = |name: &str, results| Case {
            name: name.into(),
            x: 1.0,
            work: 1.0,
            results,
        };
        Bench {
            threads: 1,
            unit: "flop".into(),
            peak_gflops: 99.04,
            cases: vec![case("1024 cubed", vec![ours, theirs]), case("7x7x7", vec![])],
            rounds: vec![round(0, None), round(1, Some("steal: 10 % of the CPU time"))],
            samples: vec![],
            comparisons: vec![],
            notes: vec!["7x7x7: nothing kept".into()],
        }
    }

    #[test]
    fn a_bench_lines_up() {
        let expected =
            "                          median       min         95 % interval  GFLOP/s  of peak    vs 1    vs 2
1024 cubed
  1 sgemm-avx2-6x16     22.10 ms  21.66 ms  21.88 ms .. 22.32 ms    97.17   93.2 %       -  1.050
  2 gemm-crate          23.20 ms  22.74 ms  22.97 ms .. 23.43 ms    92.56   93.2 %  0.952~       -
7x7x7
  no undisturbed round
vs N: times as fast as contestant N, median over rounds; ~ not told apart
1 thread, FMA peak 99.04 GFLOP/s, 1 rounds kept, 1 disturbed and dropped (steal 1)
note: 7x7x7: nothing kept
";
        assert_eq!(bench_table(&bench()), expected);
    }

    #[test]
    fn one_contestant_and_bytes_need_no_peers() {
        let mut bench = bench();
        bench.unit = "byte".into();
        bench.cases[0].results.truncate(1);
        bench.cases[0].results[0].percent_of_peak = 0.0;
        let text = bench_table(&bench);
        assert!(
            text.contains("GB/s") && text.contains("of copy") && !text.contains("vs"),
            "{text}"
        );
    }
}
