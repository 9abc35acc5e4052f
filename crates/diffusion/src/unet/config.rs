//! `config.json` of a diffusers `UNet2DModel`: all fields, their defaults and their supported values.

use crate::accepted;
use crate::fields::{FieldError, read_known};
use crate::unet::accepted::{FIELDS, MAX_BLOCKS, MAX_PARAMETERS};
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
    /// Only null is supported: models are unconditional.
    pub class_embed_type: Option<String>,
    /// Only null is supported.
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

    fn check(&self) -> Result<(), FieldError> {
        accepted::check(FIELDS, self)?;
        self.check_blocks()?;
        self.check_heads()?;
        self.check_middle_norm()?;
        self.check_freq_shift()?;
        self.check_sides()?;
        self.check_skip_blocks()?;
        self.check_size()
    }

    fn check_blocks(&self) -> Result<(), FieldError> {
        let blocks = self.block_out_channels.len();
        if blocks == 0 || blocks > MAX_BLOCKS {
            let expected = format!("1 to {MAX_BLOCKS} numbers, one for each block");
            let found = format!("{blocks} numbers");
            return Err(FieldError::unsupported("block_out_channels", expected, found));
        }
        for (field, found) in [
            ("down_block_types", self.down_block_types.len()),
            ("up_block_types", self.up_block_types.len()),
        ] {
            if found != blocks {
                let expected = format!("{blocks} names, one for each of `block_out_channels`");
                return Err(FieldError::unsupported(field, expected, format!("{found} names")));
            }
        }
        for &channels in &self.block_out_channels {
            self.check_divides(channels)?;
        }
        if self.block_out_channels[0] % 2 != 0 {
            let (field, found) = ("block_out_channels", self.block_out_channels[0]);
            return Err(FieldError::unsupported(field, "an even first number", found));
        }
        Ok(())
    }

    /// Checks that every attention has at least one head.
    fn check_heads(&self) -> Result<(), FieldError> {
        let Some(dim) = self.attention_head_dim else { return Ok(()) };
        let channels = &self.block_out_channels;
        let down = self.down_block_types.iter().zip(channels);
        let up = self.up_block_types.iter().zip(channels.iter().rev());
        let with_attention = down.chain(up).filter(|(kind, _)| kind.starts_with("Attn"));
        let middle = (self.mid_block_type.is_some() && self.add_attention)
            .then(|| &channels[channels.len() - 1]);
        match with_attention.map(|(_, channels)| channels).chain(middle).min() {
            Some(&least) if dim > least => {
                let expected =
                    format!("at most {least}, the fewest channels of a block with attention");
                Err(FieldError::unsupported("attention_head_dim", expected, dim))
            }
            _ => Ok(()),
        }
    }

    fn check_middle_norm(&self) -> Result<(), FieldError> {
        let channels = self.block_out_channels[self.block_out_channels.len() - 1];
        match self.attn_norm_num_groups {
            Some(groups) if groups < 1 || channels % groups != 0 => {
                let expected = format!("a divisor of the last block's {channels} channels");
                Err(FieldError::unsupported("attn_norm_num_groups", expected, groups))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the exponent of the sinusoids has a positive denominator.
    fn check_freq_shift(&self) -> Result<(), FieldError> {
        let half = self.block_out_channels[0] / 2;
        if self.freq_shift >= half as f64 {
            let expected = format!("a number below {half}, half the first block's channels");
            return Err(FieldError::unsupported("freq_shift", expected, self.freq_shift));
        }
        Ok(())
    }

    /// Checks that down blocks can halve both sides without remainder, so that up blocks restore them.
    fn check_sides(&self) -> Result<(), FieldError> {
        let Ok((height, width)) = self.image_size() else { return Ok(()) };
        let factor = 1 << (self.block_out_channels.len() - 1).min(16);
        let fits = |side: usize| (1..=8192).contains(&side) && side.is_multiple_of(factor);
        if fits(height) && fits(width) {
            return Ok(());
        }
        let expected = format!("multiples of {factor} up to 8192, for the blocks to halve");
        Err(FieldError::unsupported("sample_size", expected, format!("{height}x{width}")))
    }

    /// Checks the number of parameters before any of them is allocated.
    fn check_size(&self) -> Result<(), FieldError> {
        let found = self.parameter_count();
        if found <= MAX_PARAMETERS {
            return Ok(());
        }
        let expected = format!(
            "a model of at most {MAX_PARAMETERS} parameters, {} GiB as f32",
            MAX_PARAMETERS >> 28
        );
        let found = format!("{:?}, a model of {found} parameters,", self.block_out_channels);
        Err(FieldError::unsupported("block_out_channels", expected, found))
    }

    fn check_divides(&self, channels: i64) -> Result<(), FieldError> {
        if channels % self.norm_num_groups != 0 {
            let expected = format!("multiples of `norm_num_groups` = {}", self.norm_num_groups);
            return Err(FieldError::unsupported("block_out_channels", expected, channels));
        }
        Ok(())
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
            ("num_class_embeds", json!(10)),
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
        let message = refusal("layers_per_block", json!(1_000_000));
        assert!(message.ends_with("expected a whole number from 1 to 64"), "{message}");
        let message = refusal("block_out_channels", json!([32_768, 32_768, 32_768, 32_768]));
        assert!(message.contains("expected a model of at most 4294967296 parameters"), "{message}");
    }
}
