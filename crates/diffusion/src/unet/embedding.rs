//! The time embedding: sinusoids, then two linear layers (diffusers `models/embeddings.py`,
//! `get_timestep_embedding` and `TimestepEmbedding`; Vaswani et al. 2017, section 3.5).

use crate::layers::Linear;
use crate::parameters::Path;
use crate::unet::config::UNetConfig;
use tch::{Kind, Tensor};

/// Maps timesteps `[B]` to embeddings `[B, time_channels]`:
/// `linear_2(silu(linear_1(sinusoids(t))))`, with SiLU for every `act_fn`.
#[derive(Debug)]
pub struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    channels: i64,
    freq_shift: f64,
    flip_sin_to_cos: bool,
}

impl TimeEmbedding {
    /// Declares `linear_1` and `linear_2`.
    pub fn new(mut path: Path<'_>, config: &UNetConfig) -> Self {
        let channels = config.block_out_channels[0];
        let width = config.time_channels();
        Self {
            linear_1: Linear::new(path.at("linear_1"), channels, width),
            linear_2: Linear::new(path.at("linear_2"), width, width),
            channels,
            freq_shift: config.freq_shift,
            flip_sin_to_cos: config.flip_sin_to_cos,
        }
    }

    /// Maps `timesteps` i64 `[B]` to `[B, time_channels]` of type `kind`.
    pub fn forward(&self, timesteps: &Tensor, kind: Kind) -> Tensor {
        self.project(&self.sinusoids(timesteps).to_kind(kind))
    }

    /// Applies the two linear layers: `[B, channels]` to `[B, time_channels]`.
    pub fn project(&self, sinusoids: &Tensor) -> Tensor {
        self.linear_2.forward(&self.linear_1.forward(sinusoids).silu())
    }

    /// Returns the sinusoids of `timesteps` i64 `[B]` as f32 `[B, channels]`, with
    /// half = channels / 2 and i in 0 .. half:
    ///
    /// ```text
    /// angle[b, i] = t[b] / 10000^(i / (half - freq_shift))
    /// result      = [sin(angle), cos(angle)], or [cos(angle), sin(angle)] with flip_sin_to_cos
    /// ```
    pub fn sinusoids(&self, timesteps: &Tensor) -> Tensor {
        let half = self.channels / 2;
        let index = Tensor::arange(half, (Kind::Float, timesteps.device()));
        // The order of diffusers: multiply by -ln(10000), then divide. Another order rounds
        // differently in f32.
        let exponent = (index * -(10_000.0_f64).ln()) / (half as f64 - self.freq_shift);
        let angles = timesteps.to_kind(Kind::Float).unsqueeze(1) * exponent.exp().unsqueeze(0);
        let (sine, cosine) = (angles.sin(), angles.cos());
        match self.flip_sin_to_cos {
            true => Tensor::cat(&[cosine, sine], 1),
            false => Tensor::cat(&[sine, cosine], 1),
        }
    }
}
