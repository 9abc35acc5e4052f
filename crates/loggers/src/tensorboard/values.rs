//! Converts steps and settings to TensorBoard values.

use crate::histogram::Histogram;
use crate::step::{Picture, Step};
use crate::tensorboard::message::{
    Content, Dimension, HistogramProto, Hyperparameter, HyperparameterValue, HyperparametersData,
    Image, Metadata, PluginData, SessionStart, Shape, Tensor, TensorType, Value,
};
use prost::Message;
use serde_json::{Map, Value as Json};

/// Channels of an RGB image.
const RGB: i32 = 3;

/// Returns the values of one step. Numbers are rounded to f32, the format's type.
pub fn of_step(step: &Step) -> Vec<Value> {
    let scalars = step.scalars.iter();
    let scalars = scalars.map(|(name, value)| plain(tag(name), Content::Simple(*value as f32)));
    let histograms = step.histograms.iter();
    let histograms = histograms
        .map(|(name, histogram)| plain(format!("distribution/{name}"), spread(histogram)));
    let pictures = step.pictures.iter();
    let pictures =
        pictures.map(|picture| plain(format!("pictures/{}", picture.name), image(picture)));
    scalars.chain(histograms).chain(pictures).collect()
}

/// Returns the tag `CARD/NAME` of a number. The first part of a name with slashes is its card.
fn tag(name: &str) -> String {
    let card = match name {
        _ if name.contains('/') => return name.to_owned(),
        "samples_per_second" | "peak_memory_bytes" => "cost",
        _ if name.starts_with("seconds_") || name.starts_with("flops_") => "cost",
        _ if name.starts_with("eval_") => "evaluation",
        _ if name.starts_with("reward_") => "reward",
        _ => "update",
    };
    format!("{card}/{name}")
}

fn plain(tag: String, content: Content) -> Value {
    Value { tag, metadata: None, content: Some(content) }
}

fn spread(histogram: &Histogram) -> Content {
    Content::Histogram(HistogramProto {
        min: histogram.min,
        max: histogram.max,
        num: histogram.count() as f64,
        sum: histogram.sum,
        sum_squares: histogram.sum_of_squares,
        bucket_limit: histogram.edges[1..].to_vec(),
        bucket: histogram.counts.iter().map(|count| *count as f64).collect(),
    })
}

fn image(picture: &Picture) -> Content {
    Content::Image(Image {
        height: picture.height as i32,
        width: picture.width as i32,
        colorspace: RGB,
        encoded_image_string: picture.bytes.clone(),
    })
}

/// Returns the settings as a table and as hyperparameters.
pub fn of_settings(settings: &Map<String, Json>, start_time_secs: f64) -> Vec<Value> {
    let rows = settings.iter().map(|(key, value)| format!("| {key} | `{value}` |\n"));
    let table = format!("| setting | value |\n|---|---|\n{}", rows.collect::<String>());
    let text = Tensor {
        dtype: TensorType::String.into(),
        tensor_shape: shape(&[]),
        string_val: vec![table.into_bytes()],
    };
    let hparams = settings.iter().filter_map(|(key, value)| {
        Some((key.clone(), Hyperparameter { kind: Some(hyperparameter(value)?) }))
    });
    let start = SessionStart { hparams: hparams.collect(), start_time_secs };
    let data = HyperparametersData { session_start_info: Some(start) };
    let nothing = Tensor {
        dtype: TensorType::Float.into(),
        tensor_shape: shape(&[0]),
        string_val: Vec::new(),
    };
    vec![
        of_plugin("settings/text_summary", "text", Vec::new(), text),
        of_plugin("_hparams_/session_start_info", "hparams", data.encode_to_vec(), nothing),
    ]
}

fn hyperparameter(value: &Json) -> Option<HyperparameterValue> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(truth) => HyperparameterValue::Truth(*truth),
        Json::Number(number) => HyperparameterValue::Number(number.as_f64()?),
        Json::String(text) => HyperparameterValue::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => HyperparameterValue::Text(value.to_string()),
    })
}

fn of_plugin(tag: &str, plugin_name: &str, content: Vec<u8>, tensor: Tensor) -> Value {
    let plugin_data = Some(PluginData { plugin_name: plugin_name.into(), content });
    let metadata = Some(Metadata { plugin_data });
    Value { tag: tag.into(), metadata, content: Some(Content::Tensor(tensor)) }
}

fn shape(sizes: &[i64]) -> Option<Shape> {
    Some(Shape { dim: sizes.iter().map(|&size| Dimension { size }).collect() })
}
