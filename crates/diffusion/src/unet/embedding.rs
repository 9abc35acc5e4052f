//! Time embedding: sinusoids, then two linear maps (diffusers `models/embeddings.py`,
//! `get_timestep_embedding` and `TimestepEmbedding`).

use crate::layers::Linear;
use crate::parameters::Path;
use crate::unet::activation::Activation;
use crate::unet::config::UNetConfig;
use tch::{Kind, Tensor};

/// Timesteps `[B]` to embeddings `[B, time_channels]`.
#[derive(Debug)]
pub struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    activation: Activation,
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
            activation: Activation::of(config),
            channels,
            freq_shift: config.freq_shift,
            flip_sin_to_cos: config.flip_sin_to_cos,
        }
    }

    /// `timesteps` i64 `[B]`; the result is of `kind`.
    pub fn forward(&self, timesteps: &Tensor, kind: Kind) -> Tensor {
        self.project(&self.sinusoids(timesteps).to_kind(kind))
    }

    /// Sinusoids `[B, channels]` through the two maps, `[B, time_channels]`.
    pub fn project(&self, sinusoids: &Tensor) -> Tensor {
        let hidden = self.activation.forward(&self.linear_1.forward(sinusoids));
        self.linear_2.forward(&hidden)
    }

    /// f32 `[B, channels]`: sines and cosines of t / 10000^(i / (half - freq_shift)).
    pub fn sinusoids(&self, timesteps: &Tensor) -> Tensor {
        let half = self.channels / 2;
        let index = Tensor::arange(half, (Kind::Float, timesteps.device()));
        // diffusers multiplies by -ln(10000) first and divides after; in f32 the order shows.
        let exponent = (index * -(10_000.0_f64).ln()) / (half as f64 - self.freq_shift);
        let angles = timesteps.to_kind(Kind::Float).unsqueeze(1) * exponent.exp().unsqueeze(0);
        let (sine, cosine) = (angles.sin(), angles.cos());
        match self.flip_sin_to_cos {
            true => Tensor::cat(&[cosine, sine], 1),
            false => Tensor::cat(&[sine, cosine], 1),
        }
    }
}
