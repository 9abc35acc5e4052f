//! The training faces of the classifier: drawings, and the same drawings as the embedded DDPM
//! renders them.

use anyhow::Result;
use ddpo_diffusion::scheduler::noise_schedule::alphas_cumprod;
use ddpo_faces::{AgeClass, draw_face, draw_face_of};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::{NoiseKey, Purpose};
use ddpo_run::embedded;
use ddpo_run::model::Model;
use tch::{Device, Kind, Tensor};

/// Side of a picture in pixels.
pub const SIDE: usize = 32;

/// The seed of the drawings, different from those of the DDPM's training and of the held-out set.
const FACES_SEED: u64 = 2;

/// The timesteps from which the DDPM denoises a drawing: the last of five steps and the one before.
/// Results from the first are as sharp as its samples, from the second softer.
const TIMESTEPS: [i64; 2] = [199, 399];

/// Drawings per batch of the DDPM.
const BATCH: usize = 64;

/// Images u8 `[N, 3, H, W]` and their classes i64 `[N]`.
#[derive(Debug)]
pub struct Faces {
    images: Tensor,
    /// Indices into [`AgeClass::ALL`].
    pub labels: Tensor,
}

impl Faces {
    /// Returns `count` drawings and their DDPM renderings. The first half has CelebA-HQ's age
    /// distribution, the second half has all ages equally often.
    ///
    /// # Errors
    /// The embedded DDPM cannot be read.
    pub fn draw(count: usize, seed: u64) -> Result<Self> {
        let (mut levels, mut labels) = (Vec::new(), Vec::new());
        for index in 0..count as u64 {
            let (image, class) = drawing(index, count as u64);
            planes(&image, &mut levels);
            labels.push(class as i64);
        }
        let size = [count as i64, 3, SIDE as i64, SIDE as i64];
        let drawn = Tensor::from_slice(&levels).view(size);
        let painted = painted(&drawn, seed)?;
        let labels = Tensor::from_slice(&labels);
        Ok(Self {
            images: Tensor::cat(&[drawn, painted], 0),
            labels: Tensor::cat(&[&labels, &labels], 0),
        })
    }

    /// Returns the images at `indices` i64 `[B]`, as f32 `[B, 3, H, W]` in [-1, 1].
    pub fn chosen(&self, indices: &Tensor) -> Tensor {
        to_unit(&self.images.index_select(0, indices))
    }
}

fn drawing(index: u64, count: u64) -> (RgbImage, AgeClass) {
    if index < count / 2 {
        return draw_face(FACES_SEED, index, SIDE);
    }
    let class = AgeClass::ALL[(index % AgeClass::ALL.len() as u64) as usize];
    (draw_face_of(FACES_SEED, index, SIDE, class), class)
}

/// Returns the embedded DDPM's prediction for noised `drawn` u8 `[N, 3, H, W]`; same shape.
fn painted(drawn: &Tensor, seed: u64) -> Result<Tensor> {
    let model = Model::open(embedded::NAME, &mut |_| {})?;
    let unet = model.load(Kind::Float, Device::Cpu)?;
    let alphas = alphas_cumprod(&model.scheduler);
    let count = drawn.size()[0] as usize;
    let mut batches = Vec::new();
    for (number, start) in (0..count).step_by(BATCH).enumerate() {
        let images = to_unit(&drawn.narrow(0, start as i64, BATCH.min(count - start) as i64));
        let timestep = TIMESTEPS[number % TIMESTEPS.len()];
        let sample = number as u32;
        // Steps above zero belong to the data; the training's draws are at step zero.
        let key = NoiseKey { seed, purpose: Purpose::Pretraining, epoch: 0, sample, step: 1 };
        let mut noise = vec![0.0; images.numel()];
        key.fill_normal(&mut noise);
        let noise = Tensor::from_slice(&noise).view_as(&images);
        let alpha = alphas[timestep as usize];
        let noisy = images * alpha.sqrt() + noise * (1.0 - alpha).sqrt();
        let timesteps = Tensor::full([noisy.size()[0]], timestep, (Kind::Int64, Device::Cpu));
        batches.push(to_levels(&tch::no_grad(|| unet.forward(&noisy, &timesteps, None))));
    }
    Ok(Tensor::cat(&batches, 0))
}

fn to_unit(levels: &Tensor) -> Tensor {
    levels.to_kind(Kind::Float) / 127.5 - 1.0
}

fn to_levels(images: &Tensor) -> Tensor {
    ((images + 1.0) * 127.5).round().clamp(0.0, 255.0).to_kind(Kind::Uint8)
}

/// Appends an image's planes: all of red, then green, then blue.
pub fn planes(image: &RgbImage, levels: &mut Vec<u8>) {
    for channel in 0..3 {
        levels.extend(image.pixels().iter().skip(channel).step_by(3));
    }
}
