//! `preprocessor_config.json`: parses and checks the fields that shape an image processor.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::vision::preprocess::filter::Filter;
use ddpo_diffusion::fields::{FieldError, read};

/// Longest side of a resized picture, in pixels.
pub const LONGEST: usize = 1 << 14;

/// The processor whose defaults replace missing fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `ViTImageProcessor`, `ViTFeatureExtractor`.
    Vit,
    /// `CLIPImageProcessor`, `CLIPFeatureExtractor`.
    Clip,
}

/// The size of a resized picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// This height and width, whatever the picture's shape.
    Exact {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
    /// This length of the shorter side. The longer side keeps the aspect ratio, truncated to pixels.
    ShortestEdge(usize),
}

/// Mean and standard deviation of each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalize {
    /// Subtracted from the values.
    pub mean: [f32; 3],
    /// Divisor of the values.
    pub std: [f32; 3],
}

/// The steps of an image processor; a disabled step is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct PreprocessorConfig {
    /// Size to resize to.
    pub size: Option<Size>,
    /// Filter for resizing.
    pub filter: Filter,
    /// Height and width of the centre crop, padded with black.
    pub crop: Option<[usize; 2]>,
    /// Factor for the levels.
    pub rescale_factor: Option<f64>,
    /// Normalisation after rescaling.
    pub normalize: Option<Normalize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PerChannel {
    Same(f64),
    Each([f64; 3]),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<i64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<PerChannel>,
    image_std: Option<PerChannel>,
    do_pad: Option<bool>,
}

impl PreprocessorConfig {
    /// Parses and checks the text of a `preprocessor_config.json`. The type in the file takes
    /// precedence over `family`, the network's. Ignores `do_convert_rgb`, because pictures are already RGB.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is not supported.
    pub fn from_json(text: &str, family: Family) -> Result<Self, FieldError> {
        let fields: Fields = read(serde_json::from_str::<Map<String, Value>>(text)?)?;
        let clip = fields.family(family)? == Family::Clip;
        if fields.do_pad == Some(true) {
            return Err(FieldError::unsupported("do_pad", "false", "true"));
        }
        let crops = fields.do_center_crop.unwrap_or(clip);
        let (mean, std) = if clip { (CLIP_MEAN, CLIP_STD) } else { ([0.5; 3], [0.5; 3]) };
        Ok(Self {
            size: (fields.do_resize != Some(false)).then(|| fields.size(clip)).transpose()?,
            filter: Filter::of_code(fields.resample.unwrap_or(if clip { 3 } else { 2 }))?,
            crop: crops.then(|| fields.crop()).transpose()?,
            rescale_factor: fields.rescale()?,
            normalize: (fields.do_normalize != Some(false))
                .then(|| fields.normalize(mean, std))
                .transpose()?,
        })
    }
}

/// Channel means of CLIP's training data.
const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

impl Fields {
    fn family(&self, network: Family) -> Result<Family, FieldError> {
        let named = [
            ("image_processor_type", &self.image_processor_type),
            ("feature_extractor_type", &self.feature_extractor_type),
        ];
        for (field, name) in named {
            let Some(name) = name else { continue };
            let plain = name.trim_end_matches("Fast").trim_end_matches("Pil");
            return match plain {
                "ViTImageProcessor" | "ViTFeatureExtractor" => Ok(Family::Vit),
                "CLIPImageProcessor" | "CLIPFeatureExtractor" => Ok(Family::Clip),
                _ => {
                    let expected = "ViTImageProcessor, ViTFeatureExtractor, CLIPImageProcessor \
                                    or CLIPFeatureExtractor";
                    Err(FieldError::unsupported(field, expected, name))
                }
            };
        }
        Ok(network)
    }

    fn size(&self, clip: bool) -> Result<Size, FieldError> {
        let expected = "a number, {\"height\", \"width\"} or {\"shortest_edge\"}";
        let refused = |found: &Value| FieldError::unsupported("size", expected, found);
        let Some(size) = &self.size else {
            return Ok(match clip {
                true => Size::ShortestEdge(224),
                false => Size::Exact { height: 224, width: 224 },
            });
        };
        let side = |value: &Value| side(value).ok_or_else(|| refused(size));
        match size {
            Value::Number(_) if clip => Ok(Size::ShortestEdge(side(size)?)),
            Value::Number(_) => Ok(Size::Exact { height: side(size)?, width: side(size)? }),
            Value::Array(sides) if sides.len() == 2 => {
                Ok(Size::Exact { height: side(&sides[0])?, width: side(&sides[1])? })
            }
            Value::Object(named) => match (named.len(), exact(named), named.get("shortest_edge")) {
                (2, Some([height, width]), _) => {
                    Ok(Size::Exact { height: side(height)?, width: side(width)? })
                }
                (1, _, Some(edge)) => Ok(Size::ShortestEdge(side(edge)?)),
                _ => Err(refused(size)),
            },
            other => Err(refused(other)),
        }
    }

    fn crop(&self) -> Result<[usize; 2], FieldError> {
        let expected = "a number or {\"height\", \"width\"}";
        let Some(size) = &self.crop_size else { return Ok([224, 224]) };
        let sides = match size {
            Value::Number(_) => [side(size), side(size)],
            Value::Array(sides) if sides.len() == 2 => [side(&sides[0]), side(&sides[1])],
            Value::Object(named) if named.len() == 2 => {
                exact(named).map_or([None, None], |sides| sides.map(side))
            }
            _ => [None, None],
        };
        match sides {
            [Some(height), Some(width)] => Ok([height, width]),
            _ => Err(FieldError::unsupported("crop_size", expected, size)),
        }
    }

    fn rescale(&self) -> Result<Option<f64>, FieldError> {
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if !factor.is_finite() {
            return Err(FieldError::unsupported("rescale_factor", "a finite number", factor));
        }
        Ok((self.do_rescale != Some(false)).then_some(factor))
    }

    fn normalize(&self, mean: [f64; 3], std: [f64; 3]) -> Result<Normalize, FieldError> {
        let each = |given: &Option<PerChannel>, default: [f64; 3]| match given {
            None => default,
            Some(PerChannel::Same(value)) => [*value; 3],
            Some(PerChannel::Each(values)) => *values,
        };
        let (mean, std) = (each(&self.image_mean, mean), each(&self.image_std, std));
        if let Some(bad) = std.iter().find(|value| **value as f32 <= 0.0 || !value.is_finite()) {
            return Err(FieldError::unsupported("image_std", "positive numbers", bad));
        }
        if let Some(bad) = mean.iter().find(|value| !value.is_finite()) {
            return Err(FieldError::unsupported("image_mean", "finite numbers", bad));
        }
        Ok(Normalize { mean: mean.map(|value| value as f32), std: std.map(|value| value as f32) })
    }
}

fn exact(named: &Map<String, Value>) -> Option<[&Value; 2]> {
    Some([named.get("height")?, named.get("width")?])
}

fn side(value: &Value) -> Option<usize> {
    let side = usize::try_from(value.as_u64()?).ok()?;
    (1..=LONGEST).contains(&side).then_some(side)
}
