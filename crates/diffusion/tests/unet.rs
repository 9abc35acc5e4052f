//! Compares blocks and whole models with diffusers' outputs (`tests/goldens/unet`). Blocks run in both
//! memory layouts; a model uses the faster layout for its width.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Tests may panic and print the largest gap.

mod golden;

use ddpo_checkpoint::modern_attention_name;
use ddpo_diffusion::parameters::{Layout, Parameters};
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::activation::Activation;
use ddpo_diffusion::unet::attention::{Attention, AttentionShape};
use ddpo_diffusion::unet::blocks::{DownBlock, MidBlock, UpBlock};
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_diffusion::unet::embedding::TimeEmbedding;
use ddpo_diffusion::unet::resample::{Downsample, Upsample};
use ddpo_diffusion::unet::resnet::{ResnetBlock, ResnetShape};
use golden::{Gaps, Golden, gap};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tch::{Device, Kind, Tensor};

#[test]
fn blocks_agree_with_diffusers() {
    let mut gaps = Gaps::within(1e-5);
    for golden in Golden::all("unet", "block-") {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            let outputs = Block { golden: &golden, config: golden.json("config"), layout }.run();
            let residuals = list(&golden, "output.residual");
            assert_eq!(outputs.len(), residuals.len() + 1, "{}: outputs", golden.name);
            let expected = std::iter::once(golden.tensor("output.sample")).chain(residuals);
            for (index, (found, expected)) in outputs.iter().zip(expected).enumerate() {
                let what = format!("{} output {index} {layout:?}", golden.name);
                // Relative to the largest output, because rounding differs between processors.
                let scale = expected.abs().max().double_value(&[]).max(1.0);
                gaps.add(&what, gap(found, &expected) / scale);
            }
        }
    }
    gaps.finish("blocks");
}

#[test]
fn models_agree_with_diffusers() {
    let mut gaps = Gaps::within(2e-5);
    for golden in Golden::all("unet", "model-") {
        let model = model(&golden);
        let found = predict(&model, &golden);
        gaps.add(&golden.name, gap(&found, &golden.tensor("output.sample")));
    }
    gaps.finish("models");
}

/// Rounding to 8 bits of mantissa in every layer gives a relative RMS error of a few per cent.
#[test]
fn bfloat16_copy_agrees_with_diffusers_and_returns_f32() {
    let mut gaps = Gaps::within(0.03);
    for golden in Golden::all("unet", "model-") {
        let half = model(&golden).converted(Kind::BFloat16, Device::Cpu);
        let (found, expected) = (predict(&half, &golden), golden.tensor("output.sample"));
        assert_eq!(found.kind(), Kind::Float);
        let relative = (found - &expected).norm() / expected.norm();
        gaps.add(&golden.name, relative.double_value(&[]));
    }
    gaps.finish("bfloat16 models");
}

#[test]
fn prediction_does_not_depend_on_other_images_in_the_batch() {
    let mut gaps = Gaps::within(1e-5);
    for golden in Golden::all("unet", "model-") {
        let model = model(&golden);
        let (sample, timesteps) = (golden.tensor("input.sample"), golden.tensor("input.timesteps"));
        let labels = labels(&golden).map(|labels| labels.narrow(0, 1, 1));
        let (sample, timesteps) = (sample.narrow(0, 1, 1), timesteps.narrow(0, 1, 1));
        let alone = model.forward(&sample, &timesteps, labels.as_ref());
        gaps.add(&golden.name, gap(&alone, &golden.tensor("output.sample").narrow(0, 1, 1)));
    }
    gaps.finish("one image of two");
}

#[test]
fn written_config_reads_back_equal() {
    for golden in Golden::all("unet", "model-") {
        let config = UNetConfig::from_json(golden.text("config")).unwrap();
        let again = UNetConfig::from_json(&config.to_json().unwrap()).unwrap();
        assert_eq!(config, again, "{}", golden.name);
    }
}

#[test]
fn parameters_are_counted_without_building_the_model() {
    for golden in Golden::all("unet", "model-") {
        let config = UNetConfig::from_json(golden.text("config")).unwrap();
        let model = UNet::new(&config, Kind::Float, Device::Cpu);
        let built = model.parameters().count() as i64;
        assert_eq!(config.parameter_count(), built, "{}", golden.name);
    }
}

fn model(golden: &Golden) -> UNet {
    assert_eq!(golden.text("kind"), "UNet2DModel");
    let config = UNetConfig::from_json(golden.text("config")).unwrap();
    let model = UNet::new(&config, Kind::Float, Device::Cpu);
    load(golden, model.parameters());
    model
}

fn predict(model: &UNet, golden: &Golden) -> Tensor {
    let (sample, timesteps) = (golden.tensor("input.sample"), golden.tensor("input.timesteps"));
    model.forward(&sample, &timesteps, labels(golden).as_ref())
}

/// Returns the classes of the images, for a class-conditional model.
fn labels(golden: &Golden) -> Option<Tensor> {
    golden.file.read("input.labels").ok()
}

/// One block of a golden file. Blocks are built from a whole model's config, so the block's keyword
/// arguments are translated to that config.
struct Block<'a> {
    golden: &'a Golden,
    config: Value,
    layout: Layout,
}

impl Block<'_> {
    /// Returns the block's output, then the skip connections that it pushes.
    fn run(&self) -> Vec<Tensor> {
        match self.golden.text("kind") {
            "ResnetBlock2D" => self.resnet(),
            "Attention" => self.attention(),
            "Downsample2D" => {
                let (channels, padding) = (self.int("channels"), self.int("padding"));
                let (block, x) = self.build(|p| Downsample::new(p.root(), channels, padding));
                vec![block.forward(&x)]
            }
            "Upsample2D" => {
                let (block, x) = self.build(|p| Upsample::new(p.root(), self.int("channels")));
                vec![block.forward(&x)]
            }
            "Timesteps" => self.sinusoids(),
            "TimestepEmbedding" => self.time_embedding(),
            "DownBlock2D" => self.down("DownBlock2D"),
            "AttnDownBlock2D" => self.down("AttnDownBlock2D"),
            "UNetMidBlock2D" => self.mid(),
            "UpBlock2D" => self.up("UpBlock2D"),
            "AttnUpBlock2D" => self.up("AttnUpBlock2D"),
            other => panic!("{}: no test for the kind {other}", self.golden.name),
        }
    }

    fn resnet(&self) -> Vec<Tensor> {
        let shape = ResnetShape {
            input: self.int("in_channels"),
            output: self.int("out_channels"),
            output_scale_factor: self.config["output_scale_factor"].as_f64().unwrap_or(1.0),
        };
        let scale_shift = self.config.get("time_embedding_norm").cloned();
        let config = unet_config(json!({
            "block_out_channels": [shape.output],
            "norm_num_groups": self.config["groups"],
            "norm_eps": self.config["eps"],
            "resnet_time_scale_shift": scale_shift.unwrap_or(json!("default")),
            "act_fn": self.config["non_linearity"].as_str().unwrap_or("silu"),
        }));
        let (block, x) = self.build(|p| ResnetBlock::new(p.root(), shape, &config));
        let time = Activation::of(&config).forward(&self.golden.tensor("input.temb"));
        vec![block.forward(&x, &time)]
    }

    fn attention(&self) -> Vec<Tensor> {
        let shape = AttentionShape {
            channels: self.int("channels"),
            head_dim: self.int("head_dim"),
            norm_groups: self.config["groups"].as_i64(),
            output_scale_factor: 1.0,
        };
        let config = unet_config(json!({
            "block_out_channels": [shape.channels],
            "norm_eps": self.config["eps"],
            "norm_num_groups": 1,
        }));
        let (block, x) = self.build(|p| Attention::new(p.root(), shape, &config));
        vec![block.forward(&x)]
    }

    fn time_config(&self, channels: i64) -> UNetConfig {
        let config = &self.config;
        unet_config(json!({
            "block_out_channels": [channels],
            "norm_num_groups": 1,
            "flip_sin_to_cos": config["flip_sin_to_cos"].as_bool().unwrap_or(true),
            "freq_shift": config["downscale_freq_shift"].as_f64().unwrap_or(0.0),
        }))
    }

    fn sinusoids(&self) -> Vec<Tensor> {
        let config = self.time_config(self.int("embedding_dim"));
        let mut parameters = self.parameters();
        let embedding = TimeEmbedding::new(parameters.root(), &config);
        vec![embedding.sinusoids(&self.golden.tensor("input.timesteps"))]
    }

    fn time_embedding(&self) -> Vec<Tensor> {
        let config = self.time_config(self.int("in_channels"));
        let mut parameters = self.parameters();
        let embedding = TimeEmbedding::new(parameters.root(), &config);
        load(self.golden, &parameters);
        vec![embedding.project(&self.golden.tensor("input.sample"))]
    }

    fn down(&self, kind: &str) -> Vec<Tensor> {
        let (input, output) = (self.int("in_channels"), self.int("out_channels"));
        // Every block except the last halves the resolution, so a third block follows a halving one.
        let halves = self.config["add_downsample"].as_bool().unwrap_or(true);
        let channels = if halves { vec![input, output, output] } else { vec![input, output] };
        let config = self.composed(&channels, kind, self.int("num_layers"));
        let (block, x) = self.build(|p| DownBlock::new(p.root(), 1, &config));
        let mut skips = Vec::new();
        let mut outputs = vec![block.forward(x, &self.time(), &mut skips)];
        outputs.append(&mut skips);
        outputs
    }

    fn mid(&self) -> Vec<Tensor> {
        let config = self.composed(&[self.int("in_channels")], "DownBlock2D", 1);
        let (block, x) = self.build(|p| MidBlock::new(p.root(), &config));
        vec![block.forward(&x, &self.time())]
    }

    fn up(&self, kind: &str) -> Vec<Tensor> {
        let (skip, previous) = (self.int("in_channels"), self.int("prev_output_channel"));
        let output = self.int("out_channels");
        let doubles = self.config["add_upsample"].as_bool().unwrap_or(true);
        // Up blocks mirror the down blocks; the last one does not double the resolution.
        assert!(doubles || skip == output, "a last up block has the first block's channels");
        let channels = if doubles { vec![skip, output, previous] } else { vec![output, previous] };
        let config = self.composed(&channels, kind, self.int("num_layers") - 1);
        let (block, x) = self.build(|p| UpBlock::new(p.root(), 1, &config));
        let mut skips = list(self.golden, "input.residual");
        let output = block.forward(x, &self.time(), &mut skips);
        assert!(skips.is_empty(), "{}: skips are left over", self.golden.name);
        vec![output]
    }

    /// Returns the config of a model that has this block at index 1.
    fn composed(&self, channels: &[i64], kind: &str, layers: i64) -> UNetConfig {
        let up = kind.contains("Up");
        let mut fields = json!({
            "block_out_channels": channels,
            "layers_per_block": layers,
            "norm_num_groups": self.config["resnet_groups"],
            "norm_eps": self.config["resnet_eps"],
            "attention_head_dim": self.config["attention_head_dim"],
            "down_block_types": vec![if up { "DownBlock2D" } else { kind }; channels.len()],
            "up_block_types": vec![if up { kind } else { "UpBlock2D" }; channels.len()],
        });
        for (from, to) in [
            ("downsample_padding", "downsample_padding"),
            ("output_scale_factor", "mid_block_scale_factor"),
            ("add_attention", "add_attention"),
            ("resnet_time_scale_shift", "resnet_time_scale_shift"),
        ] {
            if let Some(value) = self.config.get(from) {
                fields[to] = value.clone();
            }
        }
        unet_config(fields)
    }

    fn parameters(&self) -> Parameters {
        Parameters::new(Kind::Float, Device::Cpu, self.layout)
    }

    /// Returns the block with its weights, and its input in the same layout.
    fn build<T>(&self, make: impl FnOnce(&mut Parameters) -> T) -> (T, Tensor) {
        let mut parameters = self.parameters();
        let block = make(&mut parameters);
        load(self.golden, &parameters);
        (block, self.layout.apply(&self.golden.tensor("input.sample")))
    }

    /// Returns the time embedding after SiLU; the model applies the activation once for all blocks.
    fn time(&self) -> Tensor {
        self.golden.tensor("input.temb").silu()
    }

    fn int(&self, field: &str) -> i64 {
        let value = self.config[field].as_i64();
        value.unwrap_or_else(|| panic!("{}: no {field}", self.golden.name))
    }
}

/// Returns a validated config with the goldens' time embedding width and one block per channel entry.
fn unet_config(fields: Value) -> UNetConfig {
    let blocks = fields["block_out_channels"].as_array().map_or(0, Vec::len);
    let mut whole = json!({
        "time_embedding_dim": 32,
        "down_block_types": vec!["DownBlock2D"; blocks],
        "up_block_types": vec!["UpBlock2D"; blocks],
    });
    let fields = fields.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    UNetConfig::from_json(&whole.to_string()).unwrap()
}

/// Reads `prefix.0`, `prefix.1` and so on, up to the first missing name.
fn list(golden: &Golden, prefix: &str) -> Vec<Tensor> {
    let names = (0..).map(|index| format!("{prefix}.{index}"));
    names.map_while(|name| golden.file.read(&name).ok()).collect()
}

/// Copies `weights.*` into `parameters`, and checks that names and shapes are equal.
fn load(golden: &Golden, parameters: &Parameters) {
    let infos = golden.file.tensors().iter();
    let names: Vec<&str> = infos.filter_map(|info| info.name.strip_prefix("weights.")).collect();
    let found: BTreeSet<String> = names.iter().map(|name| modern_attention_name(name)).collect();
    let declared = parameters.entries().iter().map(|(name, _)| name.clone());
    assert_eq!(found, declared.collect(), "{}: names in the file, names declared", golden.name);
    for name in names {
        let source = golden.tensor(&format!("weights.{name}"));
        let modern = modern_attention_name(name);
        let (_, target) = parameters.entries().iter().find(|(n, _)| *n == modern).unwrap();
        assert_eq!(source.size(), target.size(), "{}: shape of {name}", golden.name);
        tch::no_grad(|| target.shallow_clone().copy_(&source));
    }
}
