//! The LAION aesthetic head: linear maps 768-1024-128-64-16-1 on CLIP's unit embedding, from
//! `sac+logos+ava1-l14-linearMSE.pth` of the improved aesthetic predictor. Between the maps it has
//! dropout, inactive outside training, and no activation.

use std::path::Path;

use ddpo_diffusion::layers::Linear;
use ddpo_diffusion::parameters::{Layout, Parameters};
use tch::{Device, Kind, Tensor};

use crate::vision::error::VisionError;
use crate::vision::weights::{load, targets};

/// Width of the head's input embeddings.
pub const WIDTH: i64 = 768;

/// Index in the original list, inputs and outputs of each map; the other indices are dropout.
const MAPS: [(i64, i64, i64); 5] =
    [(0, WIDTH, 1024), (2, 1024, 128), (4, 128, 64), (6, 64, 16), (7, 16, 1)];

/// The head with its weights, f32.
#[derive(Debug)]
pub struct AestheticHead {
    layers: Vec<Linear>,
}

impl AestheticHead {
    /// Reads the original pickle without running code, or the same tensors as safetensors.
    ///
    /// # Errors
    /// [`VisionError::Tensors`] if the file is not a tensor file or its pickle would run code,
    /// [`VisionError::Load`] if the tensors have other names or shapes.
    pub fn open(path: &Path, device: Device) -> Result<Self, VisionError> {
        load(path, 0, &|name| Some(name.to_owned()), || {
            let mut parameters = Parameters::new(Kind::Float, device, Layout::ChannelsFirst);
            let mut root = parameters.root();
            let mut list = root.at("layers");
            let layers = MAPS
                .iter()
                .map(|&(place, input, output)| Linear::new(list.at(place), input, output))
                .collect();
            let targets = targets(&parameters);
            (Self { layers }, targets)
        })
    }

    /// Maps unit embeddings f32 `[B, 768]` to scores f32 `[B]`, about 1 to 10.
    pub fn forward(&self, embeddings: &Tensor) -> Tensor {
        tch::no_grad(|| {
            let mut x = embeddings.shallow_clone();
            for layer in &self.layers {
                x = layer.forward(&x);
            }
            x.squeeze_dim(-1)
        })
    }
}
