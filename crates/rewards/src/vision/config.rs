//! `config.json` of transformers' `ViTForImageClassification` and of CLIP: parses and checks the
//! fields that shape the network ([`accepted`]).
//!
//! Like transformers, ignores fields that only training, generation or bookkeeping uses.

use std::collections::BTreeMap;

use ddpo_diffusion::accepted::check;
use ddpo_diffusion::fields::{FieldError, read};
use ddpo_diffusion::layers::Bias;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::vision::accepted;
use crate::vision::activation::Activation;

/// A Transformer over the patches of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct TowerConfig {
    /// Width of a token.
    pub hidden_size: i64,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads, a divisor of the width.
    pub num_attention_heads: i64,
    /// Hidden width of a block's perceptron.
    pub intermediate_size: i64,
    /// Activation of the perceptron.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Height and width of an image.
    pub image_size: [i64; 2],
    /// Height and width of a patch.
    pub patch_size: [i64; 2],
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: Bias,
}

impl TowerConfig {
    /// Returns rows and columns of patches. Pixels that do not fill a patch are left out.
    pub fn grid(&self) -> [i64; 2] {
        [self.image_size[0] / self.patch_size[0], self.image_size[1] / self.patch_size[1]]
    }

    /// Returns the number of tokens: the class token and one for each patch.
    pub fn tokens(&self) -> i64 {
        1 + self.grid()[0] * self.grid()[1]
    }

    /// Returns a lower bound on the values in the network. A file with fewer values is rejected before
    /// memory is allocated.
    pub fn least_values(&self) -> i64 {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let block = hidden * (4 * hidden + 2 * inner);
        let blocks = block.saturating_mul(self.num_hidden_layers as i64);
        let places = self.tokens().saturating_mul(hidden);
        let patches = (3 * self.patch_size[0] * self.patch_size[1]).saturating_mul(hidden);
        blocks.saturating_add(places).saturating_add(patches)
    }
}

/// `ViTForImageClassification`.
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// The Transformer.
    pub tower: TowerConfig,
    /// Name of every class, in the order of the logits.
    pub labels: Vec<String>,
    /// How the logits become probabilities.
    pub probabilities: Probabilities,
}

/// How a classifier's logits become the probabilities of its classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probabilities {
    /// Softmax over the classes: exactly one applies.
    Softmax,
    /// A sigmoid for each class: any number of them may apply (`multi_label_classification`).
    Sigmoid,
}

/// `CLIPVisionModelWithProjection`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    /// The Transformer.
    pub tower: TowerConfig,
    /// Width of the embedding.
    pub projection_dim: i64,
}

/// A size in JSON: one number for both sides, or height and width.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Sides {
    Square(i64),
    Rectangle([i64; 2]),
}

impl Sides {
    fn pair(self) -> [i64; 2] {
        match self {
            Self::Square(side) => [side, side],
            Self::Rectangle(sides) => sides,
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Fields {
    model_type: String,
    hidden_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    intermediate_size: i64,
    hidden_act: String,
    layer_norm_eps: f64,
    image_size: Sides,
    patch_size: Sides,
    num_channels: i64,
    qkv_bias: bool,
    projection_dim: i64,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
}

impl Default for Fields {
    /// Returns the transformers defaults that ViT and CLIP share. Callers of [`read`] set the others.
    fn default() -> Self {
        Self {
            model_type: String::new(),
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-12,
            image_size: Sides::Square(224),
            patch_size: Sides::Square(16),
            num_channels: 3,
            qkv_bias: true,
            projection_dim: 512,
            id2label: None,
            num_labels: None,
            problem_type: None,
        }
    }
}

impl VitConfig {
    /// Parses and checks the text of a `config.json`.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is not supported.
    pub fn from_json(text: &str) -> Result<Self, FieldError> {
        let fields: Fields = read(serde_json::from_str(text)?)?;
        check(&accepted::VIT, &fields)?;
        let probabilities = match fields.problem_type.as_deref() {
            Some("multi_label_classification") => Probabilities::Sigmoid,
            _ => Probabilities::Softmax,
        };
        Ok(Self { tower: fields.tower()?, labels: fields.labels()?, probabilities })
    }
}

impl ClipConfig {
    /// Parses and checks the text of a `config.json`, of a whole CLIP (its `vision_config`) or of its
    /// vision model.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is not supported.
    pub fn from_json(text: &str) -> Result<Self, FieldError> {
        let mut outer: Map<String, Value> = serde_json::from_str(text)?;
        let kind = outer.get("model_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = match kind.as_str() {
            "clip" => of_vision(&mut outer)?,
            "clip_vision_model" => outer,
            other => {
                let expected = "clip or clip_vision_model";
                return Err(FieldError::unsupported("model_type", expected, other));
            }
        };
        let defaults = [
            ("hidden_act", Value::from("quick_gelu")),
            ("layer_norm_eps", Value::from(1e-5)),
            ("patch_size", Value::from(32)),
        ];
        for (name, value) in defaults {
            fields.entry(name).or_insert(value);
        }
        let fields: Fields = read(fields)?;
        check(&accepted::CLIP, &fields)?;
        let tower = TowerConfig { qkv_bias: Bias::With, ..fields.tower()? };
        Ok(Self { tower, projection_dim: fields.projection_dim })
    }
}

/// Returns the fields of the vision tower in the config of a whole CLIP.
fn of_vision(whole: &mut Map<String, Value>) -> Result<Map<String, Value>, FieldError> {
    let mut vision = object(whole, "vision_config")?.unwrap_or_default();
    // transformers updates `vision_config` with a complete config made from `vision_config_dict`: fields
    // that only `vision_config` has are replaced by defaults.
    if let Some(replaced) = object(whole, "vision_config_dict")? {
        vision = replaced;
    }
    // The projection width comes from the whole model; `vision_config` repeats a default.
    let width = whole.remove("projection_dim").unwrap_or(Value::from(512));
    vision.insert("projection_dim".to_owned(), width);
    Ok(vision)
}

/// Removes an object from `fields`; `None` if it is null or missing.
fn object(
    fields: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<Map<String, Value>>, FieldError> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(found) => Err(FieldError::unsupported(name, "an object or null", found)),
    }
}

impl Fields {
    fn tower(&self) -> Result<TowerConfig, FieldError> {
        let [image_size, patch_size] = [self.image_size.pair(), self.patch_size.pair()];
        if self.hidden_size % self.num_attention_heads != 0 {
            let expected = format!("a divisor of `hidden_size` = {}", self.hidden_size);
            let found = self.num_attention_heads;
            return Err(FieldError::unsupported("num_attention_heads", expected, found));
        }
        if patch_size[0] > image_size[0] || patch_size[1] > image_size[1] {
            let expected = format!("at most `image_size`, {} by {}", image_size[0], image_size[1]);
            return Err(FieldError::unsupported("patch_size", expected, patch_size[0]));
        }
        Ok(TowerConfig {
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            hidden_act: Activation::parse(&self.hidden_act)?,
            layer_norm_eps: self.layer_norm_eps,
            image_size,
            patch_size,
            qkv_bias: if self.qkv_bias { Bias::With } else { Bias::Without },
        })
    }

    /// Returns the names of the classes; without `id2label`, transformers' `LABEL_0` and so on.
    fn labels(&self) -> Result<Vec<String>, FieldError> {
        let Some(named) = &self.id2label else {
            let count = self.num_labels.unwrap_or(2);
            return Ok((0..count).map(|index| format!("LABEL_{index}")).collect());
        };
        let label = |index: usize| {
            named.get(&index.to_string()).cloned().ok_or_else(|| {
                let expected = format!("a label for every class from 0 to {}", named.len() - 1);
                FieldError::unsupported("id2label", expected, format!("none for {index}"))
            })
        };
        if named.is_empty() {
            return Err(FieldError::unsupported("id2label", "at least one label", "{}"));
        }
        (0..named.len()).map(label).collect()
    }
}
