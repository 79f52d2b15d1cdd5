//! `tilelab data info`: which data would be used and why, and what is in them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::Usage;
use crate::data::fashion_mnist::{CLASSES, Files, Part};
use crate::data::lookup::{Found, Place};
use crate::data::{DataError, Dataset, Places, Source, grouped};

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say which Fashion-MNIST would be used and why, with row counts, label counts and checksums
    Info(Info),
}

#[derive(clap::Args)]
struct Info {
    /// Folder with the four Fashion-MNIST files, plain or .gz
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Bad data are bad input.
impl From<DataError> for Usage {
    fn from(error: DataError) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Command::Info(info) = &args.command;
    let places = Places::of_this_machine(info.data.as_deref());
    let facts = Facts::gather(&places).map_err(Usage::from)?;
    let text = if info.json { facts.json() } else { facts.text() };
    match io::stdout().write_all(text.as_bytes()) {
        // `tilelab data info | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Everything that the command tells, gathered before the first line is printed.
struct Facts {
    places: Vec<PlaceFacts>,
    why: String,
    dataset: Dataset,
    files: Vec<FileFacts>,
}

/// One place in the order of looking, also those that the user did not name.
struct PlaceFacts {
    id: &'static str,
    label: &'static str,
    folder: Option<String>,
    found: String,
    used: bool,
}

struct FileFacts {
    name: String,
    bytes: usize,
    sha256: String,
    /// Of the unpacked file, so that plain and gzip copies of one file compare equal.
    decoded_sha256: String,
}

impl Facts {
    fn gather(places: &Places) -> Result<Self, DataError> {
        let source = places.choose()?;
        let looked = places.look();
        let files = Files::read(source.clone())?;
        let mut facts = Vec::new();
        for part in Part::ALL {
            let (file, idx) = (files.file(part), files.idx(part)?);
            facts.push(FileFacts {
                name: file.name.clone(),
                bytes: file.bytes.len(),
                sha256: hex(Sha256::new().chain_update(&file.bytes)),
                decoded_sha256: hex(Sha256::new().chain_update(idx.header()).chain_update(idx.data())),
            });
        }
        let why = why(&source).to_string();
        Ok(Self {
            places: place_facts(&looked, &source),
            why,
            dataset: files.decode()?,
            files: facts,
        })
    }

    fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}\n{}\n", self.dataset.describe(), self.why)?;
        writeln!(out, "Looked in, in this order")?;
        for place in &self.places {
            let mark = if place.used { "->" } else { "  " };
            let folder = place
                .folder
                .as_ref()
                .map_or(String::new(), |folder| format!("{folder}: "));
            writeln!(out, " {mark} {:<15} {folder}{}", place.label, place.found)?;
        }
        let (height, width) = self.dataset.shape;
        let splits = [&self.dataset.train, &self.dataset.test];
        writeln!(out, "\n{:<22}{:>9}{:>9}", "", "train", "test")?;
        writeln!(
            out,
            "{:<22}{:>9}{:>9}",
            "images",
            grouped(splits[0].rows),
            grouped(splits[1].rows)
        )?;
        writeln!(
            out,
            "{:<22}{:>9}{:>9}",
            "height x width",
            format!("{height} x {width}"),
            format!("{height} x {width}")
        )?;
        let [train, test] = splits.map(|split| split.histogram(self.dataset.classes));
        for (label, (train, test)) in train.iter().zip(&test).enumerate() {
            let name = format!("label {label} {}", CLASSES.get(label).unwrap_or(&""));
            writeln!(out, "{name:<22}{:>9}{:>9}", grouped(*train), grouped(*test))?;
        }
        writeln!(
            out,
            "\nSHA-256 of each file, and of what is in it (the same for a plain and a .gz copy)"
        )?;
        for file in &self.files {
            writeln!(out, "{}, {} bytes", file.name, grouped(file.bytes))?;
            writeln!(out, "   file     {}\n   decoded  {}", file.sha256, file.decoded_sha256)?;
        }
        Ok(())
    }

    fn json(&self) -> String {
        let mut lines = Vec::new();
        for place in &self.places {
            lines.push(json!({
                "event": "place", "place": place.id, "folder": place.folder, "found": place.found, "used": place.used,
            }));
        }
        let (height, width) = self.dataset.shape;
        for (name, split) in [("train", &self.dataset.train), ("test", &self.dataset.test)] {
            lines.push(json!({
                "event": "split", "split": name, "rows": split.rows, "height": height, "width": width,
                "labels": split.histogram(self.dataset.classes),
            }));
        }
        for file in &self.files {
            lines.push(json!({
                "event": "file", "file": file.name, "bytes": file.bytes,
                "sha256": file.sha256, "decoded_sha256": file.decoded_sha256,
            }));
        }
        lines.push(json!({
            "event": "done", "source": self.dataset.source.id(), "folder": self.dataset.source.folder(),
            "why": self.why, "data": self.dataset.describe(),
        }));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The five places in order, with what was found; those that the user did not name are told as such.
fn place_facts(looked: &[Place], chosen: &Source) -> Vec<PlaceFacts> {
    let named = [
        ("--data", "--data DIR", "not given"),
        ("$TILELAB_DATA", "$TILELAB_DATA", "not set"),
        ("debian", "Debian package", "not on this system"),
        ("cache", "cache folder", "this user has none"),
        ("embedded", "embedded", ""),
    ];
    named
        .into_iter()
        .map(
            |(id, label, absent)| match looked.iter().find(|place| place.source.id() == id) {
                None => PlaceFacts {
                    id,
                    label,
                    folder: None,
                    found: absent.to_string(),
                    used: false,
                },
                Some(Place { source, found }) => PlaceFacts {
                    id,
                    label,
                    folder: source.folder().map(|folder| folder.display().to_string()),
                    found: match found {
                        Found::All if *source == Source::Embedded => "a part of the set, in the program".to_string(),
                        Found::All => "all four files".to_string(),
                        Found::Nothing(reason) => reason.clone(),
                        Found::Bad(file, problem) => format!("{file}: {problem}"),
                    },
                    used: source == chosen,
                },
            },
        )
        .collect()
}

fn why(source: &Source) -> &'static str {
    match source {
        Source::Option(_) => "Used because --data names it.",
        Source::Environment(_) => "Used because TILELAB_DATA names it.",
        Source::Debian(_) => "Used because no folder was named and Debian's package is installed.",
        Source::Cache(_) => "Used because no folder was named and Debian's package is not installed.",
        Source::File(_) | Source::Drawn => "Used because --data names it.",
        Source::Embedded => {
            "Used because no folder was named and neither Debian's package nor the cache has the files."
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
