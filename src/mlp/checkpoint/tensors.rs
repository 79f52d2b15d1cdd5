//! Tensors to and from the bytes of a safetensors file. Its one metadata entry of ours is JSON under the key `tilelab`.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const KEY: &str = "tilelab";

/// A named array.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Its elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Written as f32, which they are.
    F32(Vec<f64>),
    F64(Vec<f64>),
    Index(Vec<u32>),
    /// Whole numbers, as PyTorch's counters are.
    Count(Vec<i64>),
}

impl Values {
    pub(super) fn real(values: Vec<f64>, wide: bool) -> Self {
        if wide { Self::F64(values) } else { Self::F32(values) }
    }

    fn bytes(&self) -> (Dtype, Vec<u8>) {
        match self {
            Self::F32(values) => (
                Dtype::F32,
                values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            ),
            Self::F64(values) => (Dtype::F64, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Self::Index(values) => (Dtype::U32, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Self::Count(values) => (Dtype::I64, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        }
    }
}

/// The file's bytes.
pub(super) fn encode(tensors: &[Tensor], json: String) -> Result<Vec<u8>, String> {
    let bytes: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|tensor| tensor.values.bytes()).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, (dtype, bytes))| {
        let view = TensorView::new(*dtype, tensor.shape.clone(), bytes);
        view.map(|view| (tensor.name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(KEY.to_owned(), json)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// What a file holds.
pub(super) struct File {
    pub(super) tensors: Vec<Tensor>,
    /// Our metadata, if it has them.
    pub(super) json: Option<String>,
}

impl File {
    /// From its bytes; what is wrong with them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error: safetensors::SafeTensorError| {
            let line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            format!("is truncated or no safetensors file ({line})")
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(KEY).cloned());
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let tensors = file.iter().map(|(name, view)| {
            let values =
                values(&view).ok_or_else(|| format!("holds `{name}` as {:?}, not as F32, F64 or I64", view.dtype()))?;
            Ok(Tensor {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values,
            })
        });
        Ok(Self {
            tensors: tensors.collect::<Result<_, String>>()?,
            json,
        })
    }
}

fn values(view: &TensorView<'_>) -> Option<Values> {
    let (quads, _) = view.data().as_chunks::<4>();
    match view.dtype() {
        Dtype::F32 => Some(Values::F32(
            quads.iter().map(|&x| f64::from(f32::from_le_bytes(x))).collect(),
        )),
        Dtype::F64 => {
            let (eights, _) = view.data().as_chunks::<8>();
            Some(Values::F64(eights.iter().map(|&x| f64::from_le_bytes(x)).collect()))
        }
        Dtype::U32 => Some(Values::Index(quads.iter().map(|&x| u32::from_le_bytes(x)).collect())),
        Dtype::I64 => {
            let (eights, _) = view.data().as_chunks::<8>();
            Some(Values::Count(eights.iter().map(|&x| i64::from_le_bytes(x)).collect()))
        }
        _ => None,
    }
}
