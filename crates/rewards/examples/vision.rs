//! Writes the outputs of the networks and image processors, for the comparison with transformers
//! (`tests/parity/vision.py`).
//!
//!     vision KIND MODEL PICTURES OUT [--head FILE] [--dtype bf16]
//!
//! KIND is `vit`, `clip`, `aesthetic`, `head` or `fields`. Writes safetensors: `levels.NAME` (u8, `[H, W, 3]`)
//! and `values.NAME` (`[3, H, W]`) for each picture, `outputs` `[pictures, N]` in the order of names.
//! For `fields` it writes the accepted values of all config fields as JSON; MODEL and PICTURES are ignored.
//! With `--rounds N` it writes `seconds` `[N, 2]` instead: the time to preprocess all pictures and the
//! time of the network.
//! For `head`, PICTURES is a safetensors file with `embeddings` `[B, 768]`, and MODEL is ignored.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ddpo_checkpoint::{TensorFile, open_model, write_tensors};
use ddpo_diffusion::accepted::{Accepted, Field};
use ddpo_picture::{images_under, read_image};
use ddpo_rewards::vision::accepted;
use ddpo_rewards::vision::clip::{ClipVision, unit_length};
use ddpo_rewards::vision::head::AestheticHead;
use ddpo_rewards::vision::passes::in_passes;
use ddpo_rewards::vision::preprocess::ImageProcessor;
use ddpo_rewards::vision::preprocess::config::{Family, PreprocessorConfig};
use ddpo_rewards::vision::vit::VitClassifier;
use ddpo_rollout::image::RgbImage;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

#[derive(Parser)]
struct Arguments {
    kind: String,
    model: PathBuf,
    pictures: PathBuf,
    out: PathBuf,
    #[arg(long)]
    head: Option<PathBuf>,
    #[arg(long, default_value = "f32")]
    dtype: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 0)]
    rounds: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ddpo_diffusion::device::set_threads(Some(arguments.threads))?;
    if arguments.kind == "fields" {
        return Ok(std::fs::write(&arguments.out, fields().to_string())?);
    }
    let mut tensors = Vec::new();
    if arguments.kind == "head" {
        let file = TensorFile::open(&arguments.pictures)?;
        let scores = head(&arguments)?.forward(&file.read("embeddings")?);
        tensors.push(("outputs".to_owned(), scores.unsqueeze(-1)));
    } else {
        look(&arguments, &mut tensors)?;
    }
    Ok(write_tensors(&arguments.out, &tensors, &Default::default())?)
}

/// Returns the tables of accepted values.
fn fields() -> Value {
    let table = |fields: &[Field]| -> Vec<Value> {
        let field = |field: &Field| {
            let values: Vec<Value> = field.values.iter().map(described).collect();
            json!({"name": field.name, "values": values})
        };
        fields.iter().map(field).collect()
    };
    json!({
        "vit": table(&accepted::VIT),
        "clip": table(&accepted::CLIP),
        "processor": table(&accepted::PROCESSOR),
    })
}

fn described(accepted: &Accepted) -> Value {
    match accepted {
        Accepted::Null => json!({"value": null}),
        Accepted::Flag(flag) => json!({"value": flag}),
        Accepted::Name(name) => json!({"value": name}),
        Accepted::Whole(least, most) => json!({"whole": [least, most]}),
        Accepted::Number { expected, .. } => json!({"number": expected}),
        Accepted::List(element) => json!({"list": described(element)}),
    }
}

fn head(arguments: &Arguments) -> Result<AestheticHead> {
    let path = arguments.head.as_deref().context("--head is missing")?;
    Ok(AestheticHead::open(path, Device::Cpu)?)
}

fn look(arguments: &Arguments, tensors: &mut Vec<(String, Tensor)>) -> Result<()> {
    let folder = open_model(&arguments.model)?;
    let kind = if arguments.dtype == "bf16" { Kind::BFloat16 } else { Kind::Float };
    let family = if arguments.kind == "vit" { Family::Vit } else { Family::Clip };
    let config = PreprocessorConfig::from_json(&folder.preprocessor, family)?;
    let processor = ImageProcessor::new(config);
    let network: Box<dyn Fn(&Tensor) -> Tensor> = match arguments.kind.as_str() {
        "vit" => {
            let network = VitClassifier::open(&folder, kind, Device::Cpu)?;
            Box::new(move |pixels| network.forward(pixels))
        }
        "clip" => {
            let network = ClipVision::open(&folder, kind, Device::Cpu)?;
            Box::new(move |pixels| network.forward(pixels))
        }
        "aesthetic" => {
            let (network, head) = (ClipVision::open(&folder, kind, Device::Cpu)?, head(arguments)?);
            Box::new(move |pixels| {
                head.forward(&unit_length(&network.forward(pixels))).unsqueeze(-1)
            })
        }
        other => bail!("kind = {other}: expected vit, clip, aesthetic or head"),
    };
    let paths = images_under(&arguments.pictures)?;
    let images = paths.iter().map(|path| read_image(path)).collect::<Result<Vec<_>, _>>()?;
    if arguments.rounds > 0 {
        let seconds = timed(&processor, &images, &network, arguments)?;
        tensors.push(("seconds".to_owned(), seconds));
        return Ok(());
    }
    let mut inputs = Vec::new();
    for (path, image) in paths.iter().zip(&images) {
        inputs.push(prepared(&processor, path, image, tensors)?);
    }
    let outputs = in_passes(&Tensor::stack(&inputs, 0), Device::Cpu, network);
    tensors.push(("outputs".to_owned(), outputs));
    Ok(())
}

/// Returns seconds `[rounds, 2]`: preprocessing of all pictures, and passes through the network.
fn timed(
    processor: &ImageProcessor,
    images: &[RgbImage],
    network: &dyn Fn(&Tensor) -> Tensor,
    arguments: &Arguments,
) -> Result<Tensor> {
    let (width, height) = processor.size_for(images[0].width(), images[0].height());
    let mut seconds = Vec::new();
    for _ in 0..arguments.rounds {
        let start = Instant::now();
        let values = processor.batch(images, (width, height), arguments.threads)?;
        seconds.push(start.elapsed().as_secs_f64());
        let shape = [images.len() as i64, 3, height as i64, width as i64];
        let pixels = Tensor::from_slice(&values).view(shape);
        let start = Instant::now();
        drop(in_passes(&pixels, Device::Cpu, network));
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(Tensor::from_slice(&seconds).view([-1, 2]))
}

/// Returns the network's input, and records it and the levels.
fn prepared(
    processor: &ImageProcessor,
    path: &Path,
    image: &RgbImage,
    tensors: &mut Vec<(String, Tensor)>,
) -> Result<Tensor> {
    let name = path.file_name().context("a picture without a name")?.to_string_lossy();
    let levels = processor.levels(0, image)?;
    let (width, height) = (levels.width() as i64, levels.height() as i64);
    let shown = Tensor::from_slice(levels.pixels()).view([height, width, 3]);
    tensors.push((format!("levels.{name}"), shown));
    let mut values = vec![0.0; levels.pixels().len()];
    processor.values(0, image, &mut values)?;
    let values = Tensor::from_slice(&values).view([3, height, width]);
    tensors.push((format!("values.{name}"), values.shallow_clone()));
    Ok(values)
}
