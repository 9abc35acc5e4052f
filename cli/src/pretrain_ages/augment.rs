//! Augments faces so that the classifier learns hair, skin and wrinkles, and not position,
//! sharpness, tint, light or grain, which a policy could change more cheaply.

use ddpo_rollout::noise::NoiseKey;
use tch::{Kind, Tensor};

/// The random draws, by their index in the key; 0 is the choice of the batch.
#[derive(Clone, Copy)]
enum Draw {
    Flip = 1,
    Moves,
    Scale,
    Tilt,
    Right,
    Down,
    Blurs,
    Blur,
    Saturation,
    Contrast,
    Brightness,
    Tint,
    GrainSize,
    Grain,
    CloudSize,
    Cloud,
}

/// The augmentation of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Augmentation {
    key: NoiseKey,
}

impl Augmentation {
    /// Creates the augmentation of the batch of `key`.
    pub fn new(key: NoiseKey) -> Self {
        Self { key }
    }

    /// Augments images f32 `[B, 3, H, W]` in [-1, 1]; same shape and range.
    pub fn apply(self, images: &Tensor) -> Tensor {
        let images = self.blurred(&self.moved(images));
        self.grainy(&self.coloured(&images)).clamp(-1.0, 1.0)
    }

    /// Mirrors half of the images; moves half by up to two pixels, scales and tilts them.
    fn moved(self, images: &Tensor) -> Tensor {
        let count = images.size()[0];
        let one = |draw, low, high| self.uniform(draw, [count], low, high);
        let mirror = one(Draw::Flip, 0.0, 1.0).ge(0.5).to_kind(Kind::Float) * 2.0 - 1.0;
        let moves = one(Draw::Moves, 0.0, 1.0).ge(0.5).to_kind(Kind::Float);
        let scale = one(Draw::Scale, -0.1, 0.1) * &moves + 1.0;
        let tilt = one(Draw::Tilt, -0.09, 0.09) * &moves;
        let right = one(Draw::Right, -0.12, 0.12) * &moves;
        let down = one(Draw::Down, -0.12, 0.12) * &moves;
        let (cosine, sine) = (tilt.cos() * &scale, tilt.sin() * &scale);
        let rows = [&cosine * &mirror, sine.neg(), right, &sine * &mirror, cosine, down];
        let maps = Tensor::stack(&rows, 1).view([count, 2, 3]);
        let places = Tensor::affine_grid_generator(&maps, images.size(), false);
        // Bilinear; the border is repeated.
        images.grid_sampler(&places, 0, 1, false)
    }

    /// Blurs two thirds of the images, or sharpens them slightly.
    fn blurred(self, images: &Tensor) -> Tensor {
        let count = images.size()[0];
        let each = [count, 1, 1, 1];
        let blurs = self.uniform(Draw::Blurs, each, 0.0, 1.0).le(2.0 / 3.0).to_kind(Kind::Float);
        let share = self.uniform(Draw::Blur, each, -0.3, 1.2) * blurs;
        let kernel = Tensor::from_slice(&[1.0_f32, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0]) / 16.0;
        let kernel = kernel.view([1, 1, 3, 3]).expand([3, 1, 3, 3], false);
        let framed = images.replication_pad2d([1, 1, 1, 1]);
        let soft = framed.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 3);
        images + (soft - images) * share
    }

    /// Changes saturation, contrast, light and tint.
    fn coloured(self, images: &Tensor) -> Tensor {
        let count = images.size()[0];
        let each = [count, 1, 1, 1];
        let grey = images.mean_dim([1].as_slice(), true, Kind::Float);
        let images = &grey + (images - &grey) * self.uniform(Draw::Saturation, each, 0.6, 1.4);
        let images = images * self.uniform(Draw::Contrast, each, 0.75, 1.25);
        let images = images + self.uniform(Draw::Brightness, each, -0.2, 0.2);
        images + self.uniform(Draw::Tint, [count, 3, 1, 1], -0.08, 0.08)
    }

    /// Adds grain of single pixels, and clouds of about four pixels.
    fn grainy(self, images: &Tensor) -> Tensor {
        let size = images.size();
        let (count, height, width) = (size[0], size[2], size[3]);
        let each = [count, 1, 1, 1];
        let amount = self.uniform(Draw::GrainSize, each, 0.0, 0.4).square();
        let grain = self.normal(Draw::Grain, [count, 3, height, width]) * amount;
        let amount = self.uniform(Draw::CloudSize, each, 0.0, 0.4).square();
        let cloud = self.normal(Draw::Cloud, [count, 3, height / 4, width / 4]) * amount;
        images + grain + cloud.upsample_bilinear2d([height, width], false, None, None)
    }

    fn key(self, draw: Draw) -> NoiseKey {
        NoiseKey { sample: draw as u32, ..self.key }
    }

    fn uniform<const N: usize>(self, draw: Draw, size: [i64; N], low: f64, high: f64) -> Tensor {
        let mut values = vec![0.0; size.iter().product::<i64>() as usize];
        self.key(draw).fill_uniform(&mut values);
        Tensor::from_slice(&values).view(&size[..]) * (high - low) + low
    }

    fn normal<const N: usize>(self, draw: Draw, size: [i64; N]) -> Tensor {
        let mut values = vec![0.0; size.iter().product::<i64>() as usize];
        self.key(draw).fill_normal(&mut values);
        Tensor::from_slice(&values).view(&size[..])
    }
}
