//! Initial weights with the distributions of PyTorch's layers.

use ddpo_diffusion::parameters::Parameters;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use tch::{Kind, Tensor};

/// Standard deviation of a Transformer's initial embeddings, as in transformers' ViT.
const EMBEDDING_DEVIATION: f64 = 0.02;

/// Draws initial weights: 1 and 0 for norms; uniform within ±1 / sqrt(fan in) for other layers, as
/// in `torch.nn.Conv2d` and `torch.nn.Linear`; uniform within ±sqrt(3) * 0.02 for a Transformer's
/// embeddings.
pub fn initialise(parameters: &mut Parameters, seed: u64) {
    let mut bound = 0.0;
    for (index, (name, tensor)) in parameters.entries().iter().enumerate() {
        let mut tensor = tensor.shallow_clone();
        let weight = name.ends_with("weight");
        if name.contains("norm") {
            let _ = tch::no_grad(|| tensor.fill_(f64::from(u8::from(weight))));
            continue;
        }
        if weight {
            let fan_in: i64 = tensor.size()[1..].iter().product();
            bound = 1.0 / (fan_in as f64).sqrt();
        }
        if name.ends_with("_token") || name.ends_with("_embeddings") {
            bound = EMBEDDING_DEVIATION * 3.0_f64.sqrt();
        }
        let mut uniform = vec![0.0; tensor.numel()];
        let sample = index as u32;
        NoiseKey { seed, purpose: Purpose::Weights, epoch: 0, sample, step: 0 }
            .fill_uniform(&mut uniform);
        let drawn = Tensor::from_slice(&uniform).view_as(&tensor).to_kind(Kind::Float);
        tch::no_grad(|| tensor.copy_(&((drawn * 2.0 - 1.0) * bound)));
    }
}
