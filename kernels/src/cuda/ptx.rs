//! The PTX that is embedded, and the parameters of its kernels.
//!
//! `ci/ptx` makes `kernels/ptx/` from `kernels/cuda/`. compute_75 runs from Turing on, compute_80 (cp.async, tf32 and bf16 tensor
//! cores) from Ampere on; the driver compiles either for the card that is there.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One file of PTX.
#[derive(Debug)]
pub struct Source {
    /// The `.cu` file that it was made from, without its ending.
    pub name: &'static str,
    /// Least compute capability, as 10 * major + minor.
    pub capability: u32,
    /// The PTX.
    pub text: &'static str,
}

macro_rules! source {
    ($name:literal, $capability:literal) => {
        Source {
            name: $name,
            capability: $capability,
            text: include_str!(concat!("../../ptx/", $name, ".compute_", $capability, ".ptx")),
        }
    };
}

/// All files of PTX.
pub static SOURCES: [Source; 10] = [
    source!("columns", 75),
    source!("elementwise", 75),
    source!("probe", 75),
    source!("rows", 75),
    source!("sgemm_ladder", 75),
    source!("sgemm_warps", 75),
    source!("softmax", 75),
    source!("update", 75),
    source!("sgemm_async", 80),
    source!("gemm_tensor", 80),
];

/// Type of a kernel's parameter as PTX writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// `.u32`
    U32,
    /// `.u64`: an address, or a number.
    U64,
    /// `.f32`
    F32,
}

/// A kernel: where it is, and what it takes.
#[derive(Debug)]
pub struct Entry {
    /// Its name in the PTX.
    pub name: &'static str,
    /// Index into [`SOURCES`].
    pub source: usize,
    /// Its parameters in order.
    pub params: Vec<Param>,
}

/// The kernel of this name; read from the PTX once.
pub fn entry(name: &str) -> Option<&'static Entry> {
    entries().get(name)
}

/// All kernels by name.
pub fn entries() -> &'static HashMap<&'static str, Entry> {
    static ENTRIES: OnceLock<HashMap<&'static str, Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let of_source = |(source, file): (usize, &Source)| parse(source, file.text);
        SOURCES
            .iter()
            .enumerate()
            .flat_map(of_source)
            .map(|entry| (entry.name, entry))
            .collect()
    })
}

/// The kernels of one file. What is not understood is no kernel, and the tests count them.
fn parse(source: usize, text: &'static str) -> Vec<Entry> {
    let kernel = |part: &'static str| {
        let (name, rest) = part.split_once('(')?;
        let (list, _) = rest.split_once(')')?;
        let param = |line: &str| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some(".param"), Some(".u32")) => Some(Param::U32),
                (Some(".param"), Some(".u64")) => Some(Param::U64),
                (Some(".param"), Some(".f32")) => Some(Param::F32),
                _ => None,
            }
        };
        let params = list.split(',').map(param).collect::<Option<_>>()?;
        let name = name.trim();
        Some(Entry { name, source, params })
    };
    text.split(".entry ").skip(1).filter_map(kernel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_every_file_is_read_and_has_a_name_of_its_own() {
        let kernels: usize = SOURCES
            .iter()
            .map(|source| source.text.matches(".visible .entry").count())
            .sum();
        assert_eq!(entries().len(), kernels);
        let adam = entry("adam").unwrap();
        assert_eq!(adam.params, [Param::U64; 6]);
        assert_eq!(SOURCES[adam.source].name, "update");
        let above = [Param::U64, Param::U64, Param::F32, Param::U64];
        assert_eq!(entry("above").unwrap().params, above);
        assert!(entry("adamant").is_none());
    }

    #[test]
    fn drivers_from_r525_on_take_every_file() {
        for source in &SOURCES {
            assert!(source.text.contains(".version 8.0\n"), "{}", source.name);
            assert!(
                source.text.contains(&format!(".target sm_{}\n", source.capability)),
                "{}",
                source.name
            );
        }
    }
}
