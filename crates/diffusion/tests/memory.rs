//! Compares the memory formula of training passes with the measured peak.

use ddpo_diffusion::memory::PassMemory;
use ddpo_diffusion::parameters::Gradients;
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::config::UNetConfig;
use tch::{Device, Kind, Tensor};

/// Returns the peak resident memory in bytes while `work` runs.
fn peak_of(work: impl FnOnce()) -> f64 {
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak is reset");
    work();
    let status = std::fs::read_to_string("/proc/self/status").expect("this process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
}

fn train(unet: &UNet, batch: i64) {
    let images = Tensor::zeros([batch, 3, 64, 64], (Kind::Float, Device::Cpu));
    let timesteps = Tensor::zeros([batch], (Kind::Int64, Device::Cpu));
    unet.forward(&images, &timesteps, None).square().mean(Kind::Float).backward();
}

/// Returns the bytes per image from batches of 2 and 6 images, so that constant costs cancel out.
fn measured(config: &UNetConfig, kind: Kind) -> f64 {
    let mut unet = UNet::new(config, kind, Device::Cpu);
    unet.parameters_mut().track_gradients(Gradients::Tracked);
    train(&unet, 2);
    let few = peak_of(|| train(&unet, 2));
    let more = peak_of(|| train(&unet, 6));
    (more - few) / 4.0
}

const CASE: &str = "DDPO_TEST_MEMORY_CASE";

fn config(channels: i64) -> UNetConfig {
    let text = format!(
        r#"{{
        "sample_size": 64, "block_out_channels": [{channels}, {}], "layers_per_block": 2,
        "norm_num_groups": 16, "attention_head_dim": 8,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]
    }}"#,
        2 * channels
    );
    UNetConfig::from_json(&text).expect("a config")
}

/// Takes one measurement in a fresh process, because the allocator keeps freed memory.
#[test]
fn measure_one_case() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (channels, kind) = case.split_once(' ').expect("channels and a type");
    let kind = if kind == "bf16" { Kind::BFloat16 } else { Kind::Float };
    println!("bytes: {}", measured(&config(channels.parse().expect("a number")), kind));
}

#[test]
fn estimated_training_memory_is_within_a_quarter_of_the_measured_peak() {
    for (channels, kind, name) in [
        (64, Kind::Float, "f32"),
        (64, Kind::BFloat16, "bf16"),
        (32, Kind::Float, "f32"),
        (32, Kind::BFloat16, "bf16"),
    ] {
        let program = std::env::current_exe().expect("this program");
        let output = std::process::Command::new(program)
            .args(["--exact", "measure_one_case", "--nocapture"])
            .env(CASE, format!("{channels} {name}"))
            // Return freed blocks to the system at once, so that the peak is the memory in use.
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .env("MALLOC_MMAP_MAX_", "1000000")
            .output()
            .expect("a second process");
        let said = String::from_utf8_lossy(&output.stdout);
        let line = said.lines().find_map(|line| line.split_once("bytes: ")).expect(&said);
        let found: f64 = line.1.parse().expect("a number");
        let formula = PassMemory::of(&config(channels), kind, Device::Cpu).training;
        println!(
            "measured: {channels} channels {name}: formula {:.1} MB, peak {:.1} MB an image",
            formula * 1e-6,
            found * 1e-6
        );
        let ratio = formula / found;
        assert!((0.8..1.25).contains(&ratio), "{channels} {name}: {formula} {found}");
    }
}

#[test]
fn batch_sizes_fill_the_free_memory_and_are_at_least_one() {
    let text = r#"{"sample_size": 32, "block_out_channels": [32], "layers_per_block": 1,
        "norm_num_groups": 8, "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}"#;
    let config = UNetConfig::from_json(text).expect("a config");
    let memory = PassMemory::of(&config, Kind::Float, Device::Cpu);
    let fixed = memory.fixed(false, false);
    assert_eq!(fixed, memory.weights as f64 * 16.0);
    assert_eq!(memory.fixed(true, true), memory.weights as f64 * 24.0);
    assert_eq!(memory.micro_batch(0, fixed), 1);
    let free = ((fixed + 10.5 * memory.training) / 0.85) as u64;
    assert_eq!(memory.micro_batch(free, fixed), 10);
    assert!(memory.sample_batch(free) > 10);
}
