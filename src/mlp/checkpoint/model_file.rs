//! The parameters of a model under PyTorch's names.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tilelab_kernels::Activation;

use super::super::trainer::BYTE_SCALE;
use super::super::{Extra, Model, activation_by_name, activation_name};
use super::tensors::{self, File, Tensor, Values};
use super::{CheckpointError, MODEL_FILE, folder};
use crate::program::lower::{bias_name, weights_name};

/// A model and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedModel {
    model: Model,
    /// Weights \[inputs, outputs\] row-major and bias of each layer, first layer first.
    pub layers: Vec<(Vec<f64>, Vec<f64>)>,
    /// What [`Model::extras`] lists, in its order.
    pub extras: Vec<Vec<f64>>,
    /// Whether the numbers are f64.
    pub wide: bool,
    /// What a byte of the data was multiplied by.
    pub byte_scale: f64,
    /// Name of the data that it was trained on; empty if the file does not say.
    pub data: String,
}

/// Weights and bias of each layer, and what [`Model::extras`] lists.
pub(in crate::mlp) type Numbers = (Vec<(Vec<f64>, Vec<f64>)>, Vec<Vec<f64>>);

/// What the tensors themselves do not say.
#[derive(Serialize, Deserialize)]
struct About {
    activation: String,
    byte_scale: f64,
    data: String,
}

impl SavedModel {
    /// A model with its parameters.
    pub(in crate::mlp) fn new(model: &Model, (layers, extras): Numbers, wide: bool, data: &str) -> Self {
        Self {
            model: model.clone(),
            layers,
            extras,
            wide,
            byte_scale: BYTE_SCALE,
            data: data.to_owned(),
        }
    }

    /// Every buffer of a program of this model that holds numbers of the file, by its name.
    pub fn buffers(&self) -> Vec<(String, &[f64])> {
        let layers = (1..).zip(&self.layers);
        let layers = layers.flat_map(|(l, (w, b))| [(weights_name(l), &w[..]), (bias_name(l), &b[..])]);
        let extras = self.model.extras().into_iter().zip(&self.extras);
        layers
            .chain(extras.map(|((l, extra), values)| (extra.name(l), &values[..])))
            .collect()
    }

    /// Its layers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Widths, input first.
    pub fn widths(&self) -> &[usize] {
        self.model.widths()
    }

    /// Reads the parameters from a model file, or from a folder of checkpoints or one of its checkpoints (the best of them).
    /// `activation` is for files that do not say theirs: those that PyTorch wrote.
    ///
    /// # Errors
    /// A file that is not there, damaged, or not the parameters of linear layers that fit one another.
    pub fn load(path: &Path, activation: Option<Activation>) -> Result<(Self, PathBuf), CheckpointError> {
        let file = match path.is_dir() {
            false => path.to_owned(),
            true if path.join(MODEL_FILE).is_file() => path.join(MODEL_FILE),
            true => folder::best(path)?.join(MODEL_FILE),
        };
        let shown = file.display().to_string();
        let bytes = std::fs::read(&file).map_err(|error| CheckpointError::Read {
            path: shown.clone(),
            error,
        })?;
        let model = Self::decode(&bytes, activation).map_err(|problem| CheckpointError::Foreign {
            path: shown,
            problem,
            way_out: "name a checkpoint of tilelab train, or the model.safetensors of one".to_owned(),
        })?;
        Ok((model, file))
    }

    /// The file's bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let mut tensors = Vec::new();
        for (l, (weights, bias)) in (1..).zip(&self.layers) {
            let layer = self.model.layer(l);
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let place = self.model.place(l);
            tensors.push(Tensor {
                name: format!("{place}.weight"),
                shape: vec![outputs, inputs],
                values: Values::real(transposed(weights, inputs, outputs), self.wide),
            });
            tensors.push(Tensor {
                name: format!("{place}.bias"),
                shape: vec![outputs],
                values: Values::real(bias.clone(), self.wide),
            });
        }
        for ((l, extra), values) in self.model.extras().into_iter().zip(&self.extras) {
            let (shape, values) = match extra {
                // PyTorch's counter is a scalar.
                Extra::Batches => (
                    vec![],
                    Values::Count(values.iter().map(|&count| count as i64).collect()),
                ),
                _ => (vec![values.len()], Values::real(values.clone(), self.wide)),
            };
            tensors.push(Tensor {
                name: extra.torch_name(self.model.place(l), &self.model),
                shape,
                values,
            });
        }
        let about = About {
            activation: activation_name(self.model.activation()),
            byte_scale: self.byte_scale,
            data: self.data.clone(),
        };
        tensors::encode(
            &tensors,
            serde_json::to_string(&about).map_err(|error| error.to_string())?,
        )
    }

    /// From the file's bytes; what is wrong with them.
    pub(super) fn decode(bytes: &[u8], activation: Option<Activation>) -> Result<Self, String> {
        let file = File::parse(bytes)?;
        let about: Option<About> = file.json.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let (activation, byte_scale, data) = match (about, activation) {
            (Some(about), _) => (activation_by_name(&about.activation)?, about.byte_scale, about.data),
            (None, Some(activation)) => (activation, BYTE_SCALE, String::new()),
            (None, None) => return Err("does not say which activation its model has; name it with --activation".into()),
        };
        let mut tensors = file.tensors;
        // A matrix is a Linear's; the weight of a norm or a PReLU is a vector.
        let linear = tensors.iter().filter(|tensor| tensor.shape.len() != 1);
        let mut places: Vec<usize> = linear.filter_map(|tensor| place(&tensor.name)).collect();
        places.sort_unstable();
        let (mut widths, mut layers, mut wide) = (Vec::new(), Vec::new(), false);
        for &place in &places {
            let mut take = |name: String| {
                let at = tensors.iter().position(|tensor| tensor.name == name);
                at.map(|at| tensors.swap_remove(at))
                    .ok_or_else(|| format!("has no tensor `{name}`"))
            };
            let (weights, bias) = (take(format!("{place}.weight"))?, take(format!("{place}.bias"))?);
            let &[outputs, inputs] = &weights.shape[..] else {
                return Err(format!(
                    "holds `{}` with {} dimensions, not 2",
                    weights.name,
                    weights.shape.len()
                ));
            };
            if widths.is_empty() {
                widths.push(inputs);
            }
            if widths.last() != Some(&inputs) || bias.shape != [outputs] {
                let (w, b) = (&weights.shape, &bias.shape);
                return Err(format!(
                    "holds `{place}.weight` as {w:?} and `{place}.bias` as {b:?}, which fit no model"
                ));
            }
            widths.push(outputs);
            wide |= matches!(weights.values, Values::F64(_));
            let weights = transposed(&real(weights)?, outputs, inputs);
            layers.push((weights, real(bias)?));
        }
        let any = |ending: &str| tensors.iter().any(|tensor| tensor.name.ends_with(ending));
        let model = Model::new(&widths, activation)
            .map_err(|error| format!("holds no model ({error})"))?
            .with_batch_norm(any(".running_mean"))
            .with_learned_beta(any(".beta"));
        let mut extras = Vec::new();
        for (l, extra) in model.extras() {
            let name = extra.torch_name(places[l - 1], &model);
            let at = tensors.iter().position(|tensor| tensor.name == name);
            let tensor = tensors.swap_remove(at.ok_or_else(|| format!("has no tensor `{name}`"))?);
            let values = match (extra, tensor.values) {
                (Extra::Batches, Values::Count(counts)) => counts.iter().map(|&count| count as f64).collect(),
                (_, values) => real(Tensor { values, ..tensor })?,
            };
            let units = model.layer(l).outputs;
            if values.len() != extra.count(units) {
                return Err(format!(
                    "holds `{name}` with {} numbers behind a layer of {units}",
                    values.len()
                ));
            }
            extras.push(values);
        }
        if let Some(tensor) = tensors.first() {
            return Err(format!("holds `{}`, which is no part of such a model", tensor.name));
        }
        Ok(Self {
            model,
            layers,
            extras,
            wide,
            byte_scale,
            data,
        })
    }
}

/// The place in an `nn.Sequential` that a weight belongs to.
fn place(name: &str) -> Option<usize> {
    name.strip_suffix(".weight")?.parse().ok()
}

fn real(tensor: Tensor) -> Result<Vec<f64>, String> {
    match tensor.values {
        Values::F32(values) | Values::F64(values) => Ok(values),
        Values::Index(_) | Values::Count(_) => Err(format!("holds `{}` as whole numbers", tensor.name)),
    }
}

/// A rows x cols matrix as cols x rows.
fn transposed(values: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..cols)
        .flat_map(|j| (0..rows).map(move |i| values[i * cols + j]))
        .collect()
}
