//! Makes the copy of Fashion-MNIST that is embedded in the program: the first rows of the full set's four files.
//!
//! ```text
//! cargo run --release --example fashion_mnist_subset -- SRC DEST
//! cargo run --release --example fashion_mnist_subset -- /usr/share/datasets/fashion-mnist assets/fashion-mnist
//! ```
//! The same `Cargo.lock` always gives the same bytes.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, bail};
use tilelab::data::Source;
use tilelab::data::fashion_mnist::{Files, Part};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &arguments[..] else {
        bail!("usage: fashion_mnist_subset SRC DEST")
    };
    let full = Files::read(Source::Option(from.clone()))?;
    // All four are made before the first is written, and a bad source is never cut down to a good-looking copy.
    full.clone().decode()?;
    let packed = Part::ALL.map(|part| anyhow::Ok((part, full.idx(part)?.head(part.embedded_rows()).encode_gz()?)));
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for packed in packed {
        let (part, bytes) = packed?;
        let path = to.join(format!("{}.gz", part.file_name()));
        fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{:>9} bytes  {}", bytes.len(), path.display());
    }
    Ok(())
}
