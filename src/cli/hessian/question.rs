//! What a question is about: the model, where it stands, its rows.

use rand::RngExt;

use super::Common;
use crate::cli::Usage;
use crate::data::Dataset;
use crate::device::Set;
use crate::hessian::{Data, Directions, HessianError, Point, Products, Setup, dense};
use crate::mlp::checkpoint::SavedModel;
use crate::mlp::{Model, Purpose, stream};
use tilelab_kernels::Threads;

/// Rows that are used where the user does not say.
const ROWS: usize = 2048;

/// All of it, before a device is opened.
pub(super) struct Question<'a> {
    pub(super) common: &'a Common,
    pub(super) model: Model,
    pub(super) point: Point,
    pub(super) directions: Directions,
    rows: Rows,
    byte_scale: f64,
}

/// Where rows come from.
enum Rows {
    Dataset(Box<Dataset>),
    Random { values: Vec<f32>, labels: Vec<u8> },
}

/// What is wrong with a question is the user's, what happens on the way is not.
pub(super) fn failed(error: HessianError) -> anyhow::Error {
    let line = error.to_string();
    match error {
        HessianError::NotFinite(_) | HessianError::File { .. } => anyhow::Error::msg(line),
        _ => Usage(line).into(),
    }
}

impl<'a> Question<'a> {
    pub(super) fn new(common: &'a Common) -> anyhow::Result<Self> {
        let (model, point, byte_scale) = match &common.model {
            Some(path) => {
                let (saved, _) = SavedModel::load(path, None).map_err(|error| Usage(error.to_string()))?;
                let values = saved
                    .buffers()
                    .into_iter()
                    .map(|(name, values)| (name, values.to_vec()));
                (saved.model().clone(), Point::of(values), saved.byte_scale)
            }
            None => {
                let model = Model::new(&common.layers.0, common.activation)
                    .map_err(|error| Usage(format!("--layers {error}")))?
                    .with_batch_norm(common.batch_norm)
                    .with_learned_beta(common.learn_beta);
                let point = Point::first(&model, common.init, common.seed);
                (model, point, 1.0 / 255.0)
            }
        };
        let model = model.with_loss(common.loss);
        let directions = Directions::of(&model, &common.of).map_err(failed)?;
        let rows = if common.random {
            random(&model, common)
        } else {
            dataset(&model, common)?
        };
        Ok(Self {
            common,
            model,
            point,
            directions,
            rows,
            byte_scale,
        })
    }

    pub(super) fn data(&self) -> anyhow::Result<Data<'_>> {
        let set = match &self.rows {
            Rows::Dataset(data) => Set::of_split(&data.train),
            Rows::Random { values, labels } => Set::of_reals(values, labels, self.model.inputs()),
        };
        let data = Data::first(set?, self.common.rows.unwrap_or(ROWS));
        Ok(Data {
            byte_scale: self.byte_scale,
            ..data
        })
    }

    /// With as many directions at once as the memory allows, at most `most`.
    pub(super) fn setup(&self, most: usize) -> anyhow::Result<Setup<'_>> {
        let common = self.common;
        let setup = Setup {
            which: common.matrix,
            l2: common.l2,
            norm_training: common.norm == "batch",
            float: common.dtype,
            device: common.device,
            threads: common.threads.unwrap_or_else(Threads::all),
            together: 1,
            chunk: common.chunk,
            seed: common.seed,
            samples: common.samples,
            ..Setup::new(&self.model, &self.directions)
        };
        let rows = self.data()?.rows.len().min(common.chunk);
        let (_, tangent) = setup.programs(rows, self.byte_scale).map_err(failed)?;
        let stacked = tangent.buffers().iter().filter(|buffer| buffer.name.starts_with("r_"));
        let per_direction: u64 = stacked
            .filter_map(|buffer| buffer.bytes(rows))
            .map(|bytes| bytes as u64)
            .sum();
        // On the host every vector lies as f64, once as a direction and once as a product.
        let per_direction = per_direction + 16 * self.directions.size() as u64;
        let available = crate::device::available_bytes().unwrap_or(u64::MAX) / 4;
        let together = dense::together(per_direction, common.max_mem.unwrap_or(available).min(1 << 30));
        Ok(Setup {
            together: together.min(most).min(self.directions.size()),
            ..setup
        })
    }

    pub(super) fn products(&self, most: usize) -> anyhow::Result<Products<'_>> {
        Products::new(&self.setup(most)?, &self.point, self.data()?).map_err(failed)
    }

    /// One line that says what was asked.
    pub(super) fn title(&self) -> anyhow::Result<String> {
        let widths: Vec<String> = self.model.widths().iter().map(usize::to_string).collect();
        let rows = self.data()?.rows.len();
        let of = if self.common.of == "all" {
            String::new()
        } else {
            format!(" by {}", self.common.of)
        };
        let norm = if self.model.batch_norm() {
            format!(", batch norm with {} statistics", self.common.norm)
        } else {
            String::new()
        };
        Ok(format!(
            "{} of {}, {}, {}{of}: {} parameters, {} rows, {}{norm}",
            self.common.matrix.name(),
            widths.join("-"),
            crate::mlp::activation_name(self.model.activation()),
            self.model.loss(),
            crate::data::grouped(self.directions.size()),
            crate::data::grouped(rows),
            self.common.dtype,
        ))
    }
}

fn random(model: &Model, common: &Common) -> Rows {
    let rows = common.rows.unwrap_or(ROWS);
    let mut random = stream(common.seed, Purpose::Rows);
    let values = (0..rows * model.inputs())
        .map(|_| (2.0 * random.random::<f64>() - 1.0) as f32)
        .collect();
    let classes = model.labels().min(256);
    let labels = (0..rows).map(|_| random.random_range(0..classes) as u8).collect();
    Rows::Random { values, labels }
}

fn dataset(model: &Model, common: &Common) -> anyhow::Result<Rows> {
    let data = crate::cli::train::load(common.data.as_deref()).map_err(Usage::from)?;
    if data.columns() != model.inputs() {
        return Err(Usage(format!(
            "--layers: the first layer has {} units, a row of the data has {} numbers; begin with {1}, or take --random rows",
            model.inputs(),
            data.columns()
        ))
        .into());
    }
    let labels = data
        .train
        .labels
        .iter()
        .max()
        .map_or(0, |&label| usize::from(label) + 1);
    if model.labels() < labels {
        return Err(Usage(format!(
            "--layers: the last layer has {} units, the labels go from 0 to {}; end with at least {labels}",
            model.classes(),
            labels - 1
        ))
        .into());
    }
    Ok(Rows::Dataset(Box::new(data)))
}
