//! Three things that people mix, taken apart: the size's remainder, the distance from row to row, the base address.
//!
//! ```text
//! remainder   1023 .. 1032 cubed             against 1024 cubed              edges of tiles and vectors
//! rows        1024 in rows of 1025, 1032 ..  against rows of 1024            powers of two: one set of the cache
//! base        4, 16, 32 bytes off a line     against 0                       loads and stores that cross a line
//! ```
//! All cases of a group run in every round, so that each is held against its base round by round. The naive loop takes
//! part at [`NAIVE`], a quarter of the size in each direction: at the full one it would take all of the time.

use tilelab_kernels::Context;

use super::field::Layout;
use super::gemm::{Multiplier, Operands};
use crate::cli::shapes::{Product, Shape};
use crate::measure::{Bench, Comparison, Lineup, paired_rates};

/// The size that the others are neighbours of.
pub const SIZE: usize = 1024;

/// The naive loop's.
pub const NAIVE: usize = 256;

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Sizes round a multiple of every tile and vector.
    Remainder,
    /// One size inside rows of other lengths.
    Rows,
    /// One size off a cache line.
    Base,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Remainder, Self::Rows, Self::Base];

    /// What it varies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Remainder => "remainder of the size",
            Self::Rows => "distance from row to row",
            Self::Base => "base address",
        }
    }
}

/// One case: its group, name, and operands.
#[derive(Debug, Clone)]
pub struct Setting {
    group: Group,
    /// Its size lies round [`NAIVE`]: the naive loop's case.
    naive: bool,
    name: String,
    operands: Operands,
}

impl Setting {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is multiplied.
    pub fn operands(&self) -> &Operands {
        &self.operands
    }
}

/// Every setting of a group round `size`, its base first.
pub fn settings(group: Group, size: usize, naive: bool, seed: u64) -> Vec<Setting> {
    let plain = |row, offset_bytes| Layout { row, offset_bytes };
    let settings: Vec<(String, usize, Layout)> = match group {
        Group::Remainder => [size]
            .into_iter()
            .chain((size - 1..=size + 8).filter(|&other| other != size))
            .map(|size| (format!("{size} cubed"), size, plain(0, 0)))
            .collect(),
        Group::Rows => [size, size + 1, size + 8, size + 64]
            .into_iter()
            .map(|row| (format!("{size} in rows of {row}"), size, plain(row, 0)))
            .collect(),
        Group::Base => [0, 4, 16, 32]
            .into_iter()
            .map(|bytes| (format!("{size}, {bytes} bytes off a line"), size, plain(0, bytes)))
            .collect(),
    };
    let setting = |(name, size, layout)| Setting {
        group,
        naive,
        name,
        operands: Operands::laid(Product::from(Shape::cube(size)), layout, seed),
    };
    settings.into_iter().map(setting).collect()
}

/// The cases of these settings: ours on each context and the `gemm` crate, or the naive loop where it is its size.
pub fn lineups<'a>(settings: &'a [Setting], contexts: &[Context]) -> Vec<Lineup<'a>> {
    let lineup = |setting: &'a Setting| {
        let players = if setting.naive {
            vec![Multiplier::naive()]
        } else {
            let ours = contexts.iter().map(Multiplier::ours);
            ours.chain([Multiplier::gemm_crate()]).collect()
        };
        let mut lineup = super::gemm::lineup(&setting.operands, players);
        lineup.name.clone_from(&setting.name);
        lineup
    };
    settings.iter().map(lineup).collect()
}

/// What each setting costs each contestant: its rate over that of the group's base, paired by round.
pub fn comparisons(bench: &Bench, settings: &[Setting]) -> Vec<Comparison> {
    let mut found = Vec::new();
    let mut base: Option<&Setting> = None;
    for setting in settings {
        match base.filter(|base| (base.group, base.naive) == (setting.group, setting.naive)) {
            None => base = Some(setting),
            Some(base) => {
                let case = bench.cases.iter().find(|case| case.name == setting.name);
                for result in case.map_or(&[][..], |case| &case.results) {
                    let id = result.contestant.as_str();
                    if let Some((median, interval)) = paired_rates(bench, (&setting.name, id), (&base.name, id)) {
                        found.push(Comparison {
                            group: setting.group.name().to_owned(),
                            case: setting.name.clone(),
                            base: base.name.clone(),
                            contestant: id.to_owned(),
                            median,
                            interval: (interval.low, interval.high),
                        });
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_base_first_and_names_apart() {
        let all: Vec<Setting> = Group::ALL
            .into_iter()
            .flat_map(|group| [settings(group, 32, false, 1), settings(group, 16, true, 1)].concat())
            .collect();
        let names: std::collections::BTreeSet<&str> = all.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(settings(Group::Remainder, 32, false, 1)[0].name, "32 cubed");
        let rows = settings(Group::Rows, 32, false, 1);
        assert_eq!(
            rows.iter()
                .map(|setting| setting.operands.a().row_stride())
                .collect::<Vec<_>>(),
            [32, 33, 40, 96]
        );
        let base = settings(Group::Base, 32, false, 1);
        let off = |setting: &Setting| setting.operands.b().as_ptr().addr() % 64;
        assert_eq!(base.iter().map(off).collect::<Vec<_>>(), [0, 4, 16, 32]);
    }
}
