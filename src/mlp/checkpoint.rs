//! What is saved of a run, so that it goes on as if it had never stopped.
//!
//! A checkpoint is a folder of two files in the safetensors format, both readable with any tool for it:
//!
//! - `model.safetensors`: the parameters under PyTorch's names and in its layout. Layer l of the model is place 2 (l - 1) of an
//!   `nn.Sequential` (each hidden Linear is followed by its activation; BatchNorm1d before it and Dropout behind it, where there are any, take a place each): `0.weight` is \[outputs, inputs\], `0.bias`
//!   \[outputs\], then `2.weight`.. `1.weight`, `1.bias`, `1.running_mean`, `1.running_var`
//!   and `1.num_batches_tracked` are those of a BatchNorm1d, a `weight` of one number that of a PReLU.
//! - `state.safetensors`: the optimizer's buffers by their names in the program, the order of the rows in this epoch
//!   (`order`), and in its metadata, as JSON, everything else ([`State`]).
//!
//! Numbers keep their bits: f32 where the device computes in f32, else f64.

mod folder;
mod model_file;
mod tensors;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use folder::{Folder, RUN_CHECKPOINTS, Saving};
pub use model_file::SavedModel;
use tensors::{File, Tensor, Values};

use super::Model;
use crate::measure::Epoch;

/// Name of the file with the parameters.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the file with the rest.
pub const STATE_FILE: &str = "state.safetensors";
/// Version of what the two files hold; another is refused.
const SCHEMA: u32 = 1;
/// The tensor that holds the order of the rows.
const ORDER: &str = "order";

/// A checkpoint that cannot be written, read, or gone on from. One line: the file or folder, the problem, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refused to write. What was saved before is still there.
    #[error("can't save a checkpoint: {path}: {error}; {saved}")]
    Save {
        /// File or folder.
        path: String,
        /// Why.
        error: std::io::Error,
        /// What can be gone on from.
        saved: String,
    },
    /// The folder can't be made or written.
    #[error("{path}: can't hold checkpoints ({error}); name another folder with --checkpoint")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The system refused to read.
    #[error("{path}: cannot be read ({error}); name a checkpoint of tilelab train, or its model.safetensors")]
    Read {
        /// File or folder.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file is damaged, or no file of a checkpoint.
    #[error("{path}: {problem}; {way_out}")]
    Foreign {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        way_out: String,
    },
    /// Another process writes into the folder.
    #[error("{0}: another run saves its checkpoints there; wait for it, or name another folder")]
    Locked(String),
    /// The folder has checkpoints, and the run would begin anew.
    #[error("{0}: there are checkpoints of an earlier run; go on from them with --resume, or name another folder")]
    Occupied(String),
    /// The checkpoint's run had other options or data.
    #[error("{path}: that run had {there}, this one has {here}; give the same, or train anew in another folder")]
    Differs {
        /// The checkpoint.
        path: String,
        /// What it had, such as `--lr 0.1`.
        there: String,
        /// What was asked for.
        here: String,
    },
}

/// Everything of a run but numbers of the model and the optimizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this structure.
    pub schema: u32,
    /// Steps that are done.
    pub step: u64,
    /// Epochs that are done.
    pub epochs_done: usize,
    /// Rows of the epoch under way that were trained on.
    pub rows_done: usize,
    /// Sum of those rows' losses.
    pub loss_sum: f64,
    /// Seconds that the epoch under way has taken.
    pub seconds: f64,
    /// Seed of everything random: with the epoch, the row and the step it says where every stream of numbers stands.
    pub seed: u64,
    /// Mean loss of the untrained model on the first batch.
    pub first_loss: f64,
    /// The table so far.
    pub epochs: Vec<Epoch>,
    /// The epoch with the smallest loss on the rows held back, or on the test set.
    pub best: Option<Best>,
    /// Hyperparameters as the command line spells them.
    pub settings: Vec<(String, String)>,
    /// Who computed.
    pub device: String,
    /// Kernel of the products. On another, sums are rounded in another order.
    pub kernel: String,
    /// SHA-256 of the data that were trained on.
    pub data: String,
    /// SHA-256 of the model's file.
    #[serde(default)]
    pub model_sha256: String,
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Step at its end: its checkpoint is kept.
    pub step: u64,
    /// Which epoch.
    pub epoch: usize,
    /// Its loss on the rows held back to validate on; on the test set if there are none.
    pub loss: f64,
}

/// A buffer of the optimizer.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Its name in the program.
    pub name: String,
    /// Its values, row-major.
    pub values: Vec<f64>,
}

/// All of a run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The parameters.
    pub model: SavedModel,
    /// The optimizer's buffers.
    pub moments: Vec<Moment>,
    /// The rows in the order of the epoch under way.
    pub order: Vec<u32>,
    /// The rest.
    pub state: State,
}

impl State {
    /// The version that this program writes.
    pub const SCHEMA: u32 = SCHEMA;
}

impl Checkpoint {
    /// The two files: the model's, the state's.
    fn encode(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let model = self.model.encode()?;
        let mut tensors = vec![Tensor {
            name: ORDER.to_owned(),
            shape: vec![self.order.len()],
            values: Values::Index(self.order.clone()),
        }];
        tensors.extend(self.moments.iter().map(|moment| Tensor {
            name: moment.name.clone(),
            shape: vec![moment.values.len()],
            values: Values::real(moment.values.clone(), self.model.wide),
        }));
        let state = State {
            model_sha256: sha256(&model),
            ..self.state.clone()
        };
        let json = serde_json::to_string(&state).map_err(|error| error.to_string())?;
        Ok((model, tensors::encode(&tensors, json)?))
    }

    /// From the two files; what is wrong with which.
    fn decode(model: &[u8], state: &[u8]) -> Result<Self, (&'static str, String)> {
        let wrong = |problem: String| (STATE_FILE, problem);
        let file = File::parse(state).map_err(wrong)?;
        let json = file.json.as_deref().ok_or_else(|| wrong(NOT_OURS.to_owned()))?;
        let version: Version = serde_json::from_str(json).map_err(|_| wrong(NOT_OURS.to_owned()))?;
        if version.schema != SCHEMA {
            return Err(wrong(format!(
                "has version {}, this program reads {SCHEMA}",
                version.schema
            )));
        }
        let state: State = serde_json::from_str(json).map_err(|error| wrong(format!("is damaged ({error})")))?;
        let saved = SavedModel::decode(model, None).map_err(|problem| (MODEL_FILE, problem))?;
        if sha256(model) != state.model_sha256 {
            return Err((MODEL_FILE, format!("is not the file that {STATE_FILE} was saved with")));
        }
        let (mut moments, mut order) = (Vec::new(), Vec::new());
        for tensor in file.tensors {
            match tensor.values {
                Values::Index(rows) if tensor.name == ORDER => order = rows,
                Values::Index(_) | Values::Count(_) => {
                    return Err(wrong(format!("has a tensor `{}` of indices", tensor.name)));
                }
                Values::F32(values) | Values::F64(values) => moments.push(Moment {
                    name: tensor.name,
                    values,
                }),
            }
        }
        // The file keeps its tensors in no order.
        moments.sort_by(|a: &Moment, b| a.name.cmp(&b.name));
        Ok(Self {
            model: saved,
            moments,
            order,
            state,
        })
    }

    /// Whether the parameters are those of such a model.
    pub(super) fn fits(&self, model: &Model) -> bool {
        self.model.widths() == model.widths() && self.model.model().extras() == model.extras()
    }
}

#[derive(Deserialize)]
struct Version {
    schema: u32,
}

const NOT_OURS: &str = "is no state of a tilelab run";

fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new().chain_update(bytes))
}

pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
