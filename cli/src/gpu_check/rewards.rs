//! Measures images per second of reward networks.

use super::budget::Budget;
use super::findings::{Findings, Speed};
use super::network::{guarded, images};
use super::speed::{Times, arithmetics};
use anyhow::Result;
use ddpo_diffusion::device;
use ddpo_rewards::vision::clip::ClipVision;
use ddpo_rewards::vision::config::{ClipConfig, VitConfig};
use ddpo_rewards::vision::passes::{ON_GPU, in_passes};
use ddpo_rewards::vision::vit::VitClassifier;
use ddpo_rollout::numerics::Numerics;
use tch::{Device, Kind, Tensor};

/// The shapes of nateraw/vit-age-classifier and openai/clip-vit-large-patch14.
const LARGE: [&str; 2] = [
    r#"{"model_type": "vit", "num_labels": 9}"#,
    r#"{"model_type": "clip_vision_model", "hidden_size": 1024, "num_hidden_layers": 24,
        "num_attention_heads": 16, "intermediate_size": 4096, "patch_size": 14, "projection_dim": 768}"#,
];

/// The same networks, small enough for a CPU's test.
const SMALL: [&str; 2] = [
    r#"{"model_type": "vit", "num_labels": 9, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 128, "image_size": 32, "patch_size": 8}"#,
    r#"{"model_type": "clip_vision_model", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 128, "image_size": 32, "patch_size": 8,
        "projection_dim": 32}"#,
];

pub fn measure(device: Device, budget: &Budget, findings: &mut Findings) -> Result<()> {
    let [vit, clip] = if device.is_cuda() { LARGE } else { SMALL };
    for arithmetic in arithmetics(device) {
        arithmetic.set()?;
        let kind = arithmetic.kind;
        let vit = || {
            let network = VitClassifier::new(&VitConfig::from_json(vit)?, kind, device);
            let side = network.config().tower.image_size[0];
            Ok(timed(device, budget, (kind, side), |pixels| network.forward(pixels)))
        };
        let clip = || {
            let network = ClipVision::new(&ClipConfig::from_json(clip)?, kind, device);
            let side = network.config().tower.image_size[0];
            Ok(timed(device, budget, (kind, side), |pixels| network.forward(pixels)))
        };
        for (name, measured) in [("vit", guarded(vit)), ("clip", guarded(clip))] {
            let speed = Speed {
                program: "ddpo",
                network: name.into(),
                pass: "forward".into(),
                arithmetic: arithmetic.name.into(),
                layout: "tokens".into(),
                batch: ON_GPU,
                milliseconds: measured.as_ref().ok().map(|seconds| seconds * 1e3),
                images_per_second: measured.as_ref().ok().map(|seconds| ON_GPU as f64 / seconds),
                failure: measured.err().map(|error| error.to_string()),
                ..Speed::default()
            };
            findings.add(speed);
        }
    }
    device::set_numerics(Numerics::default())?;
    Ok(())
}

/// Returns the median seconds of one batch, scored as rewards do.
fn timed(
    device: Device,
    budget: &Budget,
    (kind, side): (Kind, i64),
    forward: impl Fn(&Tensor) -> Tensor,
) -> f64 {
    let _guard = tch::no_grad_guard();
    let pixels = images(ON_GPU, 3, side, Device::Cpu).to_kind(kind);
    Times::of(device, budget.of_one(), || drop(in_passes(&pixels, device, &forward))).median()
}
