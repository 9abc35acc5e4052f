//! Reads a UNet's `config.json`. What is accepted is written and read again, and a small model is
//! built: its parameters are as many as counted, and its output has the shape of an image.

#![no_main]

use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::accepted::{FIELDS, MAX_PARAMETERS};
use ddpo_diffusion::unet::config::UNetConfig;
use ddpo_fuzz::json::{change, text_of};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

/// The most parameters and pixels of a model that is built.
const BUILT: (i64, usize) = (100_000, 256);

fuzz_target!(|input: &[u8]| {
    let chosen = || chosen(&mut Unstructured::new(input)).unwrap_or_default();
    let text = text_of(input).unwrap_or_else(|| Value::Object(chosen()).to_string());
    let Ok(config) = UNetConfig::from_json(&text) else { return };
    let again = UNetConfig::from_json(&config.to_json().expect("finite numbers"));
    assert_eq!(again.expect("a config of ours"), config);
    let count = config.parameter_count();
    assert!((1..=MAX_PARAMETERS).contains(&count), "{count}");
    if let Ok((height, width)) = config.image_size()
        && count <= BUILT.0
        && height * width <= BUILT.1
    {
        check_model(&config, count, [height as i64, width as i64]);
    }
});

fn check_model(config: &UNetConfig, count: i64, [height, width]: [i64; 2]) {
    tch::set_num_threads(1);
    let unet = UNet::new(config, Kind::Float, Device::Cpu);
    assert_eq!(unet.parameters().count() as i64, count);
    let images = Tensor::zeros([1, config.in_channels, height, width], (Kind::Float, Device::Cpu));
    let timesteps = Tensor::zeros([1], (Kind::Int64, Device::Cpu));
    let output = tch::no_grad(|| unet.forward(&images, &timesteps));
    assert_eq!(output.size(), [1, config.out_channels, height, width]);
}

/// Returns a small config with changes.
fn chosen(choices: &mut Unstructured<'_>) -> Result<Map<String, Value>> {
    let blocks = choices.int_in_range(1..=4)?;
    let mut kinds = |field: &str| -> Result<Vec<&str>> {
        let names: &[&str] = match field {
            "down" => &[
                "DownBlock2D",
                "AttnDownBlock2D",
                "ResnetDownsampleBlock2D",
                "SkipDownBlock2D",
                "AttnSkipDownBlock2D",
            ],
            _ => &[
                "UpBlock2D",
                "AttnUpBlock2D",
                "ResnetUpsampleBlock2D",
                "SkipUpBlock2D",
                "AttnSkipUpBlock2D",
            ],
        };
        (0..blocks).map(|_| Ok(*choices.choose(names)?)).collect()
    };
    let (down, up) = (kinds("down")?, kinds("up")?);
    let widths = (0..blocks).map(|_| Ok(4 * i64::from(choices.int_in_range(1..=16_u8)?)));
    let widths = widths.collect::<Result<Vec<i64>>>()?;
    let fields = json!({
        "sample_size": 8, "block_out_channels": widths, "layers_per_block": 1,
        "norm_num_groups": 4, "attention_head_dim": 4, "down_block_types": down, "up_block_types": up,
    });
    let Value::Object(mut fields) = fields else { unreachable!("an object") };
    change(&mut fields, FIELDS, choices)?;
    Ok(fields)
}
