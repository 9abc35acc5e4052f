//! `config.json` of a diffusers `UNet2DModel`: all fields, their defaults and their supported values.

use crate::fields::{FieldError, read_known};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The arguments of `UNet2DModel.__init__` (diffusers 0.42, `models/unets/unet_2d.py`), with the same
/// defaults for absent fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UNetConfig {
    /// Height and width of the images: a number or `[H, W]`. null is valid only where the size is not
    /// needed.
    pub sample_size: Option<SampleSize>,
    /// Channels of the input.
    pub in_channels: i64,
    /// Channels of the prediction.
    pub out_channels: i64,
    /// Map the input from the range 0 to 1 to the range -1 to 1.
    pub center_input_sample: bool,
    /// Only `positional` is supported.
    pub time_embedding_type: String,
    /// Width of the time embedding; four times the first block's channels if absent.
    pub time_embedding_dim: Option<i64>,
    /// Subtracted from half the embedding width in the denominator of the exponent
    /// ([`super::embedding::TimeEmbedding::sinusoids`]).
    pub freq_shift: f64,
    /// Put the cosines before the sines.
    pub flip_sin_to_cos: bool,
    /// Down blocks, from the full resolution to the lowest.
    pub down_block_types: Vec<String>,
    /// `UNetMidBlock2D`, or null for no middle block.
    pub mid_block_type: Option<String>,
    /// Up blocks, from the lowest resolution to the full.
    pub up_block_types: Vec<String>,
    /// Channels of each down block.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks in each down block; up blocks have one more.
    pub layers_per_block: usize,
    /// Divisor of the residual sums of the middle block.
    pub mid_block_scale_factor: f64,
    /// Padding of the strided convolution: 1, or 0 for one zero row below and one zero column on the
    /// right.
    pub downsample_padding: i64,
    /// Downsampling of `AttnDownBlock2D`: `conv`, or `resnet` for a residual block.
    pub downsample_type: String,
    /// Upsampling of `AttnUpBlock2D`: `conv`, or `resnet` for a residual block.
    pub upsample_type: String,
    /// A probability, accepted and ignored: the policy runs without dropout in sampling and in training.
    pub dropout: f64,
    /// Activation of the residual blocks: `silu` (or `swish`), `mish`, `gelu` or `relu`.
    pub act_fn: String,
    /// Channels of one attention head; null for a single head.
    pub attention_head_dim: Option<i64>,
    /// Groups of every group norm.
    pub norm_num_groups: i64,
    /// Groups of the norm in the middle block's attention. If null: `norm_num_groups` with
    /// `resnet_time_scale_shift` = `default`, no norm with `scale_shift`.
    pub attn_norm_num_groups: Option<i64>,
    /// Epsilon of the group norms.
    pub norm_eps: f64,
    /// `default` adds the time embedding; `scale_shift` scales and shifts by it.
    pub resnet_time_scale_shift: String,
    /// Whether the middle block has attention.
    pub add_attention: bool,
    /// Only null is supported: labels are whole classes.
    pub class_embed_type: Option<String>,
    /// The number of classes of a class-conditional model; null for an unconditional one.
    pub num_class_embeds: Option<i64>,
    /// Accepted and ignored: an option of learned time embeddings.
    pub num_train_timesteps: Option<i64>,
}

/// The size of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SampleSize {
    /// Side of a square image.
    Square(usize),
    /// Height and width.
    Rectangle([usize; 2]),
}

impl Default for UNetConfig {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(String::from).to_vec();
        Self {
            sample_size: None,
            in_channels: 3,
            out_channels: 3,
            center_input_sample: false,
            time_embedding_type: "positional".into(),
            time_embedding_dim: None,
            freq_shift: 0.0,
            flip_sin_to_cos: true,
            down_block_types: names([
                "DownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
            ]),
            mid_block_type: Some("UNetMidBlock2D".into()),
            up_block_types: names(["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]),
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            downsample_type: "conv".into(),
            upsample_type: "conv".into(),
            dropout: 0.0,
            act_fn: "silu".into(),
            attention_head_dim: Some(8),
            norm_num_groups: 32,
            attn_norm_num_groups: None,
            norm_eps: 1e-5,
            resnet_time_scale_shift: "default".into(),
            add_attention: true,
            class_embed_type: None,
            num_class_embeds: None,
            num_train_timesteps: None,
        }
    }
}

/// Errors from reading a `config.json`.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A field is invalid or unsupported.
    #[error("unet config: {0}")]
    Field(FieldError),
    /// The class is not `UNet2DModel`.
    #[error("unet config: `_class_name` is {0}, expected UNet2DModel")]
    Class(String),
}

impl From<FieldError> for ConfigError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl UNetConfig {
    /// Parses and validates the text of a `config.json`. Fields that begin with `_` are diffusers'
    /// metadata and are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] names the field that is unknown or unsupported.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(FieldError::Json)?;
        if let Some(class) = fields.get("_class_name").and_then(|value| value.as_str())
            && class != "UNet2DModel"
        {
            return Err(ConfigError::Class(class.into()));
        }
        let config: Self = read_known(fields)?;
        config.check()?;
        Ok(config)
    }

    /// Returns the text of a `config.json` that diffusers can load.
    ///
    /// # Errors
    /// [`FieldError::Json`] if JSON cannot represent a number.
    pub fn to_json(&self) -> Result<String, ConfigError> {
        let mut value = serde_json::to_value(self).map_err(FieldError::Json)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("_class_name".into(), "UNet2DModel".into());
            fields.insert("_diffusers_version".into(), "0.35.0".into());
        }
        Ok(serde_json::to_string_pretty(&value).map_err(FieldError::Json)? + "\n")
    }

    /// Returns the number of channels of the time embedding.
    pub(crate) fn time_channels(&self) -> i64 {
        self.time_embedding_dim.unwrap_or(self.block_out_channels[0] * 4)
    }

    /// Returns height and width of the images, in pixels.
    ///
    /// # Errors
    /// [`FieldError::Unsupported`] if `sample_size` is null.
    pub fn image_size(&self) -> Result<(usize, usize), ConfigError> {
        match self.sample_size {
            Some(SampleSize::Square(side)) => Ok((side, side)),
            Some(SampleSize::Rectangle([height, width])) => Ok((height, width)),
            None => {
                let expected = "a number or [height, width]";
                Err(FieldError::unsupported("sample_size", expected, "null").into())
            }
        }
    }

    /// Returns whether down block `index` ends with a residual block that halves the sides.
    pub(crate) fn halves_by_residual_block(&self, index: usize) -> bool {
        match self.down_block_types[index].as_str() {
            "ResnetDownsampleBlock2D" => true,
            "AttnDownBlock2D" => self.downsample_type == "resnet",
            _ => false,
        }
    }

    /// Returns whether up block `index` ends with a residual block that doubles the sides.
    pub(crate) fn doubles_by_residual_block(&self, index: usize) -> bool {
        match self.up_block_types[index].as_str() {
            "ResnetUpsampleBlock2D" => true,
            "AttnUpBlock2D" => self.upsample_type == "resnet",
            _ => false,
        }
    }

    /// Returns the channels of one attention head in a block of `channels`.
    pub(crate) fn head_dim(&self, channels: i64) -> i64 {
        self.attention_head_dim.unwrap_or(channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(field: &str, value: serde_json::Value) -> String {
        let mut fields = json!({ "sample_size": 32 });
        fields[field] = value;
        UNetConfig::from_json(&fields.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn rejects_unsupported_values_and_names_the_field() {
        for (field, value) in [
            ("time_embedding_type", json!("fourier")),
            ("time_embedding_type", json!("learned")),
            ("downsample_type", json!("pool")),
            ("upsample_type", json!("nearest")),
            ("act_fn", json!("tanh")),
            ("resnet_time_scale_shift", json!("spatial")),
            ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
            (
                "down_block_types",
                json!(["DownBlock2D", "SkipDownBlock2D", "DownBlock2D", "DownBlock2D"]),
            ),
            (
                "down_block_types",
                json!(["DownEncoderBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]),
            ),
            ("down_block_types", json!(["DownBlock2D"])),
            ("up_block_types", json!(["SkipUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"])),
            ("up_block_types", json!([])),
            ("class_embed_type", json!("timestep")),
            ("class_embed_type", json!("identity")),
            ("num_class_embeds", json!(0)),
            ("num_class_embeds", json!(100_001)),
            ("in_channels", json!(0)),
            ("out_channels", json!(-3)),
            ("layers_per_block", json!(0)),
            ("layers_per_block", json!(1_000_000)),
            ("block_out_channels", json!([])),
            ("block_out_channels", json!(vec![32; 15])),
            ("block_out_channels", json!([32_768, 32_768, 32_768, 32_768])),
            ("norm_num_groups", json!(0)),
            ("attn_norm_num_groups", json!(0)),
            ("attn_norm_num_groups", json!(5)),
            ("attention_head_dim", json!(0)),
            ("time_embedding_dim", json!(0)),
            ("block_out_channels", json!([224, 448, 672, 900])),
            ("downsample_padding", json!(2)),
            ("sample_size", json!(30)),
            ("sample_size", json!([32, 0])),
            ("norm_eps", json!(-1e-5)),
            ("mid_block_scale_factor", json!(0.0)),
            ("freq_shift", json!(112)),
            ("attention_head_dim", json!(449)),
            ("dropout", json!(1.5)),
        ] {
            let message = refusal(field, value.clone());
            let expected = format!("unet config: `{field}` = ");
            assert!(message.starts_with(&expected), "{field} = {value}: {message}");
        }
    }

    #[test]
    fn rejects_values_of_the_wrong_type_and_names_the_field() {
        for (field, value) in [
            ("in_channels", json!("three")),
            ("norm_num_groups", json!(null)),
            ("layers_per_block", json!(-1)),
            ("block_out_channels", json!(64)),
            ("sample_size", json!("256")),
            ("add_attention", json!("yes")),
        ] {
            let message = refusal(field, value);
            assert!(message.starts_with(&format!("unet config: `{field}`: ")), "{message}");
        }
    }

    #[test]
    fn rejects_configs_of_other_models() {
        assert_eq!(
            refusal("encoder_hid_dim", json!(1)),
            "unet config: unknown field `encoder_hid_dim`"
        );
        let message = refusal("_class_name", json!("UNet2DConditionModel"));
        assert!(message.contains("UNet2DConditionModel"), "{message}");
        assert!(UNetConfig::from_json("[]").is_err());
        assert!(UNetConfig::from_json("{").is_err());
    }

    #[test]
    fn ignores_metadata_and_fills_absent_fields_with_defaults() {
        let text =
            r#"{"_diffusers_version": "0.1.0", "_name_or_path": "x", "sample_size": [8, 16]}"#;
        let config = UNetConfig::from_json(text).unwrap();
        let sample_size = Some(SampleSize::Rectangle([8, 16]));
        assert_eq!(config, UNetConfig { sample_size, ..UNetConfig::default() });
        assert_eq!(config.time_channels(), 4 * 224);
    }

    #[test]
    fn names_the_missing_blocks_and_the_reasons_of_refusals() {
        let empty = json!([]).to_string();
        let text = format!(
            r#"{{"block_out_channels": {empty}, "down_block_types": {empty}, "up_block_types": {empty}}}"#
        );
        let message = UNetConfig::from_json(&text).unwrap_err().to_string();
        let expected =
            "`block_out_channels` = 0 numbers is not supported, expected 1 to 14 numbers";
        assert!(message.contains(expected), "{message}");
        let message = refusal("down_block_types", json!([]));
        assert!(message.contains("= 0 names is not supported, expected 4 names"), "{message}");
        let message = refusal("time_embedding_type", json!("fourier"));
        assert!(message.contains("; reason: fourier embeddings take the logarithm"), "{message}");
        let message = refusal("class_embed_type", json!("identity"));
        assert!(message.contains("; reason: its labels are embeddings"), "{message}");
        let message = refusal("num_class_embeds", json!(0));
        assert!(message.ends_with("expected null or a whole number from 1 to 100000"), "{message}");
        let message = refusal("layers_per_block", json!(1_000_000));
        assert!(message.ends_with("expected a whole number from 1 to 64"), "{message}");
        let message = refusal("block_out_channels", json!([32_768, 32_768, 32_768, 32_768]));
        assert!(message.contains("expected a model of at most 4294967296 parameters"), "{message}");
    }
}
