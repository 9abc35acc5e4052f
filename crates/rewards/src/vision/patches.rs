//! Embeds patches of pixels: the strided convolution of ViT and CLIP as one matrix product.

use ddpo_diffusion::layers::Bias;
use ddpo_diffusion::parameters::Path;
use tch::{Kind, Tensor};

use crate::vision::config::TowerConfig;

/// `torch.nn.Conv2d` with the patch as kernel and stride.
#[derive(Debug)]
pub struct Patches {
    weight: Tensor,
    bias: Option<Tensor>,
    grid: [i64; 2],
    patch: [i64; 2],
}

impl Patches {
    /// Declares `weight` `[C, 3, ph, pw]` and, if used, `bias` `[C]`.
    pub fn new(mut path: Path<'_>, config: &TowerConfig, bias: Bias) -> Self {
        let (width, patch) = (config.hidden_size, config.patch_size);
        Self {
            weight: path.tensor("weight", &[width, 3, patch[0], patch[1]]),
            bias: (bias == Bias::With).then(|| path.tensor("bias", &[width])),
            grid: config.grid(),
            patch,
        }
    }

    /// Maps pixels f32 `[B, 3, H, W]` to tokens `[B, rows * columns, C]` of dtype `kind`.
    pub fn forward(&self, pixels: &Tensor, kind: Kind) -> Tensor {
        let ([rows, columns], [height, width]) = (self.grid, self.patch);
        let batch = pixels.size()[0];
        let whole = pixels.narrow(2, 0, rows * height).narrow(3, 0, columns * width);
        let patches = whole
            .reshape([batch, 3, rows, height, columns, width])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, rows * columns, 3 * height * width])
            .to_kind(kind);
        patches.linear(&self.weight.flatten(1, 3), self.bias.as_ref())
    }
}
