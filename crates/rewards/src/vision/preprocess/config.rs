//! The config of an image processor: parses and checks the fields that shape it
//! ([`accepted`](crate::vision::accepted)).

use serde_json::{Map, Value, json};

use crate::vision::accepted::PROCESSOR;
use crate::vision::preprocess::filter::Filter;
use ddpo_diffusion::accepted::check;
use ddpo_diffusion::fields::FieldError;

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

impl PreprocessorConfig {
    /// Parses and checks the text of a `preprocessor_config.json`, or of a `processor_config.json` with
    /// the field `image_processor`. The type in the file takes precedence over `family`, the network's.
    ///
    /// As in transformers, a step whose `do_` field is false or null is skipped, and its fields are not
    /// read. A missing field has the class's default.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is not supported.
    pub fn from_json(text: &str, family: Family) -> Result<Self, FieldError> {
        let mut given: Map<String, Value> = serde_json::from_str(text)?;
        if let Some(Value::Object(nested)) = given.remove("image_processor") {
            given = nested;
        }
        let family = family_of(&given).unwrap_or(family);
        let fields = Fields::new(given, family)?;
        check(&PROCESSOR, &fields.0)?;
        fields.check_square(family)?;
        Ok(Self {
            size: fields.step("do_resize", Fields::size)?,
            filter: fields.step("do_resize", Fields::filter)?.unwrap_or(Filter::Bilinear),
            crop: fields.step("do_center_crop", Fields::crop)?,
            rescale_factor: fields.step("do_rescale", |fields| fields.number("rescale_factor"))?,
            normalize: fields.step("do_normalize", Fields::normalize)?,
        })
    }
}

/// Each step with its fields, and the fields that are objects.
const STEPS: [(&str, &[&str]); 4] = [
    ("do_resize", &["size", "resample"]),
    ("do_center_crop", &["crop_size"]),
    ("do_rescale", &["rescale_factor"]),
    ("do_normalize", &["image_mean", "image_std"]),
];
const SIZES: &str = "a number, {\"height\", \"width\"} or {\"shortest_edge\"}";
const CROPS: &str = "a number or {\"height\", \"width\"}";

/// Returns the class's defaults in transformers.
fn defaults(family: Family) -> Value {
    match family {
        Family::Vit => json!({
            "do_resize": true, "size": {"height": 224, "width": 224}, "resample": 2,
            "do_rescale": true, "rescale_factor": 1.0 / 255.0,
            "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "default_to_square": true,
        }),
        Family::Clip => json!({
            "do_resize": true, "size": {"shortest_edge": 224}, "resample": 3,
            "do_center_crop": true, "crop_size": {"height": 224, "width": 224},
            "do_rescale": true, "rescale_factor": 1.0 / 255.0,
            "do_normalize": true,
            "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
            "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
            "default_to_square": false,
        }),
    }
}

/// Returns the family of the class that the file names, `None` if it names none.
fn family_of(given: &Map<String, Value>) -> Option<Family> {
    let named = ["image_processor_type", "feature_extractor_type"];
    let name = named.iter().find_map(|field| given.get(*field)?.as_str())?;
    // The check of the fields refuses other names.
    let vit = name.starts_with("ViT").then_some(Family::Vit);
    vit.or_else(|| name.starts_with("CLIP").then_some(Family::Clip))
}

/// The fields of an image processor, complete. A dot separates the name of an object from that of a field
/// in it.
struct Fields(Map<String, Value>);

impl Fields {
    fn new(given: Map<String, Value>, family: Family) -> Result<Self, FieldError> {
        let mut fields = match defaults(family) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.extend(given);
        let mut fields = Self(fields);
        for (step, read) in STEPS {
            if !fields.does(step) {
                for name in read {
                    fields.0.remove(*name);
                }
            }
        }
        fields.flatten("size", &[&["height", "width"], &["shortest_edge"]], SIZES)?;
        fields.flatten("crop_size", &[&["height", "width"]], CROPS)?;
        Ok(fields)
    }

    /// Replaces an object by its fields. They must be one of `forms`.
    fn flatten(
        &mut self,
        name: &'static str,
        forms: &[&[&str]],
        expected: &str,
    ) -> Result<(), FieldError> {
        let Some(Value::Object(object)) = self.0.get(name).cloned() else { return Ok(()) };
        let is_form = |form: &&[&str]| {
            form.len() == object.len() && form.iter().all(|part| object.contains_key(*part))
        };
        if !forms.iter().any(is_form) {
            return Err(FieldError::unsupported(name, expected, Value::Object(object)));
        }
        self.0.remove(name);
        self.0.extend(object.into_iter().map(|(part, value)| (format!("{name}.{part}"), value)));
        Ok(())
    }

    fn does(&self, step: &str) -> bool {
        self.0.get(step) == Some(&Value::Bool(true))
    }

    /// Returns what `read` finds for a step; `None` if the step is skipped.
    fn step<T>(
        &self,
        step: &str,
        read: impl FnOnce(&Self) -> Result<T, FieldError>,
    ) -> Result<Option<T>, FieldError> {
        self.does(step).then(|| read(self)).transpose()
    }

    /// Refuses a value that changes the meaning of a size: transformers 4 ignores it, 5 follows it.
    fn check_square(&self, family: Family) -> Result<(), FieldError> {
        let expected = family == Family::Vit;
        match self.0.get("default_to_square") {
            Some(Value::Bool(found)) if *found != expected => {
                Err(FieldError::unsupported("default_to_square", expected.to_string(), found))
            }
            _ => Ok(()),
        }
    }

    fn size(&self) -> Result<Size, FieldError> {
        if let Some(edge) = self.whole("size.shortest_edge") {
            return Ok(Size::ShortestEdge(edge));
        }
        // `default_to_square` is true for ViT.
        let square = self.0.get("default_to_square") == Some(&Value::Bool(true));
        match self.whole("size") {
            Some(edge) if !square => Ok(Size::ShortestEdge(edge)),
            _ => self.sides("size", SIZES).map(|[height, width]| Size::Exact { height, width }),
        }
    }

    fn filter(&self) -> Result<Filter, FieldError> {
        match self.0.get("resample").and_then(Value::as_i64) {
            Some(code) => Filter::of_code(code),
            None => {
                Err(FieldError::unsupported("resample", "a filter, as `do_resize` is true", "null"))
            }
        }
    }

    fn crop(&self) -> Result<[usize; 2], FieldError> {
        self.sides("crop_size", CROPS)
    }

    /// Returns height and width.
    fn sides(&self, name: &'static str, expected: &str) -> Result<[usize; 2], FieldError> {
        let part = |part: &str| self.whole(&format!("{name}.{part}"));
        let list = self.0.get(name).and_then(Value::as_array);
        let listed = list.map(|list| list.iter().filter_map(whole).collect::<Vec<_>>());
        match (self.whole(name), listed.as_deref(), part("height"), part("width")) {
            (Some(side), ..) => Ok([side, side]),
            (_, Some(&[height, width]), ..) => Ok([height, width]),
            (_, _, Some(height), Some(width)) => Ok([height, width]),
            _ => {
                let found = self.0.get(name).cloned().unwrap_or_default();
                Err(FieldError::unsupported(name, expected, found))
            }
        }
    }

    fn whole(&self, name: &str) -> Option<usize> {
        self.0.get(name).and_then(whole)
    }

    fn number(&self, name: &'static str) -> Result<f64, FieldError> {
        let found = self.0.get(name).cloned().unwrap_or_default();
        found.as_f64().ok_or_else(|| FieldError::unsupported(name, "a number", found))
    }

    fn normalize(&self) -> Result<Normalize, FieldError> {
        Ok(Normalize { mean: self.channels("image_mean")?, std: self.channels("image_std")? })
    }

    /// Returns one number for each channel.
    fn channels(&self, name: &'static str) -> Result<[f32; 3], FieldError> {
        let Some(Value::Array(list)) = self.0.get(name) else {
            return self.number(name).map(|number| [number as f32; 3]);
        };
        let numbers: Vec<f32> =
            list.iter().filter_map(|number| Some(number.as_f64()? as f32)).collect();
        let found = || Value::Array(list.clone());
        numbers.try_into().map_err(|_| FieldError::unsupported(name, "three numbers", found()))
    }
}

fn whole(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
