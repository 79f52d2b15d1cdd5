//! `tilelab predict`: what a saved model says about images.

use std::path::{Path, PathBuf};

use serde_json::json;
use tilelab_kernels::{Activation, Threads};

use super::values::threads;
use super::{Usage, print};
use crate::data::fashion_mnist::CLASSES;
use crate::data::idx::Idx;
use crate::data::{grouped, png};
use crate::device::{Batch, Device, DeviceError, ProgramId, Set};
use crate::measure::Table;
use crate::mlp::activation_by_name;
use crate::mlp::checkpoint::SavedModel;
use crate::program::lower::{LOGITS, Lowering};
use crate::program::{Element, StepArgs, fuse};

/// Images that are looked at in one run of the program.
const ROWS: usize = 512;

/// What the user typed.
#[derive(clap::Args)]
pub struct Args {
    /// A folder that `tilelab train --checkpoint` has written (its best is used), one of its checkpoints, or a
    /// model.safetensors, PyTorch's too
    model: PathBuf,
    /// Images: IDX, plain or .gz, or one PNG
    images: PathBuf,
    /// Labels as IDX, to say how many are right
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// White for black: for images that are dark on a light ground
    #[arg(long)]
    invert: bool,
    /// What follows each hidden layer, if the file does not say, as PyTorch's do not: relu, prelu, tanh and the others of `tilelab train`
    #[arg(long, value_parser = activation_by_name)]
    activation: Option<Activation>,
    /// Who computes: cpu, baseline, reference, or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Threads that work on one operation; without it as many as there are CPUs
    #[arg(long, value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Print one JSON object a line: each image with all its logits, then a summary
    #[arg(long)]
    json: bool,
}

/// Images, one a row.
struct Images {
    pixels: Vec<u8>,
    rows: usize,
}

/// What the model says about one image.
struct Answer {
    logits: Vec<f64>,
    /// softmax(logits).
    shares: Vec<f64>,
    /// Classes, the likeliest first.
    order: Vec<usize>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let loaded = SavedModel::load(&args.model, args.activation).map_err(|error| Usage(error.to_string()))?;
    let (model, file) = loaded;
    let images = images(&args.images, model.model().inputs(), args.invert)?;
    let labels = args
        .labels
        .as_deref()
        .map(|path| labels(path, images.rows))
        .transpose()?;
    let answers = answers(args, &model, &images).map_err(|error| Usage(error.to_string()))?;
    let right = labels.as_ref().map(|labels| {
        let pairs = answers.iter().zip(labels);
        pairs
            .filter(|(answer, label)| answer.order[0] == usize::from(**label))
            .count()
    });
    let names = if model.data == "Fashion-MNIST" {
        &CLASSES[..]
    } else {
        &[]
    };
    let name = |class: usize| names.get(class).copied().unwrap_or("");
    if args.json {
        let mut lines: Vec<_> = answers
            .iter()
            .enumerate()
            .map(|(row, answer)| {
                let class = answer.order[0];
                json!({
                    "row": row, "class": class, "name": name(class), "share": answer.shares[class],
                    "label": labels.as_ref().map(|labels| labels[row]), "logits": answer.logits,
                })
            })
            .collect();
        lines.push(json!({
            "event": "done", "model": file, "layers": model.widths(), "images": args.images, "rows": images.rows,
            "right": right,
        }));
        return print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }
    let mut table = Table::new(&["image", "class", "", "share", "second", "", "share"]);
    for (row, answer) in answers.iter().enumerate() {
        let mut cells = vec![row.to_string()];
        for &class in answer.order.iter().take(2) {
            let share = format!("{:.4}", answer.shares[class]);
            cells.extend([class.to_string(), name(class).to_owned(), share]);
        }
        table.row(cells);
    }
    let right = right.map_or(String::new(), |right| {
        format!(
            "{} of {} right, {:.4}\n",
            grouped(right),
            grouped(images.rows),
            right as f64 / images.rows as f64
        )
    });
    print(&format!("{}\n{}{right}", file.display(), table.render()))
}

/// One line about a file that is no good.
fn bad(path: &Path, problem: impl std::fmt::Display, way_out: &str) -> Usage {
    Usage(format!("{}: {problem}; {way_out}", path.display()))
}

fn read(path: &Path, way_out: &str) -> Result<Vec<u8>, Usage> {
    std::fs::read(path).map_err(|error| bad(path, format!("cannot be read ({error})"), way_out))
}

fn images(path: &Path, columns: usize, invert: bool) -> Result<Images, Usage> {
    const WAY_OUT: &str = "give images as IDX or one PNG";
    let bytes = read(path, WAY_OUT)?;
    let fits = |pixels: usize, what: &str| {
        if pixels == columns {
            return Ok(());
        }
        Err(format!(
            "holds {what}, {pixels} pixels an image, where the model takes {columns}"
        ))
    };
    let size = |(width, height): (u32, u32)| {
        fits(
            (width as usize).saturating_mul(height as usize),
            &format!("{width} x {height}"),
        )
    };
    let mut pixels = if bytes.starts_with(&png::MAGIC) {
        png::grey(&bytes, size)
            .map_err(|problem| bad(path, problem, WAY_OUT))?
            .pixels
    } else {
        let idx = Idx::parse(&bytes).map_err(|error| bad(path, error, WAY_OUT))?;
        let shape = idx
            .dimensions()
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(" x ");
        let each = idx.dimensions()[1..].iter().map(|&side| side as usize).product();
        fits(each, &shape).map_err(|problem| bad(path, problem, WAY_OUT))?;
        idx.into_data()
    };
    if pixels.is_empty() {
        return Err(bad(path, "holds no image", WAY_OUT));
    }
    if invert {
        pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    }
    let rows = pixels.len() / columns;
    Ok(Images { pixels, rows })
}

fn labels(path: &Path, rows: usize) -> Result<Vec<u8>, Usage> {
    const WAY_OUT: &str = "give one label an image as IDX, or leave --labels out";
    let idx = Idx::parse(&read(path, WAY_OUT)?).map_err(|error| bad(path, error, WAY_OUT))?;
    if idx.dimensions() != [rows as u32] {
        let problem = format!("is an array of {:?}, where there are {rows} images", idx.dimensions());
        return Err(bad(path, problem, WAY_OUT));
    }
    Ok(idx.into_data())
}

fn answers(args: &Args, saved: &SavedModel, images: &Images) -> Result<Vec<Answer>, DeviceError> {
    let model = saved.model();
    let lowering = Lowering {
        model,
        float: if saved.wide { Element::F64 } else { Element::F32 },
        rows: ROWS.min(images.rows),
        byte_scale: saved.byte_scale,
    };
    let plain = lowering.predict();
    let program = plain.and_then(|plain| {
        if args.device.wants_fused() {
            fuse(&plain)
        } else {
            Ok(plain)
        }
    });
    let program = program.map_err(|error| DeviceError::Program(error.to_string()))?;
    // Nothing reads them: prediction has no labels.
    let none = vec![0; images.rows];
    let sets = [Set::new(&images.pixels, &none, model.inputs())?];
    let threads = args.threads.unwrap_or_else(Threads::all);
    let mut session = args.device.open(std::slice::from_ref(&program), &sets, threads)?;
    for (name, values) in saved.buffers() {
        session.write(&name, values)?;
    }
    let rows: Vec<u32> = (0..images.rows as u32).collect();
    let mut answers = Vec::with_capacity(images.rows);
    for rows in rows.chunks(program.rows()) {
        let batch = Batch::of_set(&program, &sets, 0, rows)?;
        session.run(ProgramId(0), &batch, &StepArgs::default());
        let logits = session.read(LOGITS)?;
        answers.extend(logits.chunks_exact(model.classes()).map(Answer::of));
    }
    Ok(answers)
}

impl Answer {
    fn of(logits: &[f64]) -> Self {
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|x| (x - largest).exp()).sum();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // Equals stay in the order of their classes, as row_argmax has them.
        order.sort_by(|&i, &j| logits[j].total_cmp(&logits[i]));
        Self {
            logits: logits.to_vec(),
            shares: logits.iter().map(|x| (x - largest).exp() / sum).collect(),
            order,
        }
    }
}
