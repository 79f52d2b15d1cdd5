//! The parameters that derivatives are taken by, one after the other in one vector.

use super::HessianError;
use crate::device::Session;
use crate::mlp::Model;
use crate::program::lower::{bias_name, weights_name};

/// One parameter's place in the vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Such as `W1`.
    pub name: String,
    /// Rows and columns, row-major.
    pub size: (usize, usize),
    /// Of its first element.
    pub offset: usize,
}

impl Part {
    /// Elements.
    pub fn len(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// Never: a parameter has at least one element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parts of a vector, in the model's order: W1, b1, (gamma1, beta1, slope1,) W2, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directions {
    parts: Vec<Part>,
    size: usize,
}

impl Directions {
    /// Of a model: `of` is `all`, or names with commas between them: `W1`, `b2`, and `layer1` for all of a layer.
    ///
    /// # Errors
    /// A name that the model does not have.
    pub fn of(model: &Model, of: &str) -> Result<Self, HessianError> {
        let all = all(model);
        let wanted: Vec<&str> = of.split(',').map(str::trim).collect();
        for name in &wanted {
            let is_layer = name
                .strip_prefix("layer")
                .and_then(|l| l.parse().ok())
                .is_some_and(|l| (1..=model.depth()).contains(&l));
            if *name != "all" && !is_layer && all.iter().all(|(there, ..)| there != name) {
                return Err(HessianError::Parameter((*name).to_owned()));
            }
        }
        let takes = |name: &str, l: usize| {
            wanted
                .iter()
                .any(|wanted| *wanted == "all" || *wanted == name || *wanted == format!("layer{l}"))
        };
        let (mut parts, mut size) = (Vec::new(), 0);
        for (name, l, shape) in all {
            if takes(&name, l) {
                parts.push(Part {
                    name,
                    size: shape,
                    offset: size,
                });
                size += shape.0 * shape.1;
            }
        }
        Ok(Self { parts, size })
    }

    /// Elements of the vector.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Its parts.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Names of the parts.
    pub fn names(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.name.clone()).collect()
    }

    /// Name and place within it of element `i`, such as `W1[3,7]`.
    pub fn label(&self, i: usize) -> String {
        let part = self.parts.iter().rfind(|part| part.offset <= i);
        part.map_or(String::new(), |part| {
            let at = i - part.offset;
            format!("{}[{},{}]", part.name, at / part.size.1, at % part.size.1)
        })
    }

    /// Writes vectors, one after the other in `vectors`, as blocks of the buffers whose names `name` gives; blocks that are left become 0.
    pub(crate) fn write(
        &self,
        session: &mut (dyn Session + '_),
        vectors: &[f64],
        blocks: usize,
        name: impl Fn(&str) -> String,
    ) -> Result<(), HessianError> {
        for part in &self.parts {
            let mut values = vec![0.0; blocks * part.len()];
            for (to, from) in values.chunks_exact_mut(part.len()).zip(vectors.chunks_exact(self.size)) {
                to.copy_from_slice(&from[part.offset..][..part.len()]);
            }
            session.write(&name(&part.name), &values)?;
        }
        Ok(())
    }

    /// Reads the leading blocks back, as many vectors as `vectors` has room for.
    pub(crate) fn read(
        &self,
        session: &mut (dyn Session + '_),
        vectors: &mut [f64],
        name: impl Fn(&str) -> String,
    ) -> Result<(), HessianError> {
        for part in &self.parts {
            let values = session.read(&name(&part.name))?;
            for (to, from) in vectors.chunks_exact_mut(self.size).zip(values.chunks_exact(part.len())) {
                to[part.offset..][..part.len()].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

/// Every trained parameter, its layer and its shape.
fn all(model: &Model) -> Vec<(String, usize, (usize, usize))> {
    let mut all = Vec::new();
    for l in 1..=model.depth() {
        let layer = model.layer(l);
        all.push((weights_name(l), l, (layer.inputs, layer.outputs)));
        all.push((bias_name(l), l, (1, layer.outputs)));
        for extra in model.extras_of(l).filter(|extra| extra.trained()) {
            all.push((extra.name(l), l, (1, extra.count(layer.outputs))));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use tilelab_kernels::Activation;

    use super::*;

    #[test]
    fn parts_lie_in_the_models_order() {
        let model = Model::new(&[3, 4, 2], Activation::PRelu { alpha: 0.25 }).unwrap();
        let all = Directions::of(&model, "all").unwrap();
        assert_eq!(all.names(), ["W1", "b1", "slope1", "W2", "b2"]);
        assert_eq!(all.size(), model.parameters());
        assert_eq!(all.label(13), "b1[0,1]");
        let some = Directions::of(&model, "b2, layer1").unwrap();
        assert_eq!(some.names(), ["W1", "b1", "slope1", "b2"]);
        for bad in ["", "W3", "layer3", "layer0", "w1"] {
            assert!(
                Directions::of(&model, bad)
                    .unwrap_err()
                    .to_string()
                    .contains("no parameter"),
                "{bad}"
            );
        }
    }
}
