//! Self-attention over positions (diffusers `models/attention_processor.py`, `Attention` with
//! `AttnProcessor2_0`, `residual_connection=True`).

use crate::activations;
use crate::flops::add_product;
use crate::layers::{GroupNorm, Linear};
use crate::parameters::Path;
use crate::unet::config::UNetConfig;
use tch::Tensor;

/// Channels, heads and norm of an [`Attention`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Channels in and out.
    pub channels: i64,
    /// Channels of one head.
    pub head_dim: i64,
    /// Groups of the norm before the projections; `None` for no norm.
    pub norm_groups: Option<i64>,
    /// Divisor of the residual sum.
    pub output_scale_factor: f64,
}

/// Multi-head self-attention over the H * W positions (Vaswani et al. 2017, equation 1), with a group norm
/// before it and a residual connection around it:
///
/// ```text
/// h          = group_norm(x)                        [B, H W, C]
/// q, k, v    = to_q(h), to_k(h), to_v(h)            [B, heads, H W, head_dim]
/// attended   = softmax(q k^T / sqrt(head_dim)) v    [B, heads, H W, head_dim]
/// y          = (to_out(attended) + x) / output_scale_factor
/// ```
#[derive(Debug)]
pub struct Attention {
    group_norm: Option<GroupNorm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: i64,
    output_scale_factor: f64,
}

impl Attention {
    /// Declares the block's parameters under diffusers' current names. The number of heads is
    /// `channels / head_dim`, rounded down; a validated config has at least 1.
    pub fn new(mut path: Path<'_>, shape: AttentionShape, config: &UNetConfig) -> Self {
        let AttentionShape { channels, head_dim, norm_groups, output_scale_factor } = shape;
        let heads = channels / head_dim;
        let inner = heads * head_dim;
        let eps = config.norm_eps;
        Self {
            group_norm: norm_groups
                .map(|groups| GroupNorm::new(path.at("group_norm"), groups, channels, eps)),
            to_q: Linear::new(path.at("to_q"), channels, inner),
            to_k: Linear::new(path.at("to_k"), channels, inner),
            to_v: Linear::new(path.at("to_v"), channels, inner),
            to_out: Linear::new(path.at("to_out.0"), inner, channels),
            heads,
            output_scale_factor,
        }
    }

    /// Maps `[B, C, H, W]` to `[B, C, H, W]`; the type of `x` is kept.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (batch, channels, height, width) = match x.size()[..] {
            [b, c, h, w] => (b, c, h, w),
            _ => unreachable!("the UNet passes four dimensions"),
        };
        let positions = height * width;
        // [B, C, H, W] -> [B, HW, C]: no copy where x is channels-last.
        let flat = |x: &Tensor| x.permute([0, 2, 3, 1]).reshape([batch, positions, channels]);
        let hidden = match &self.group_norm {
            Some(norm) => flat(&norm.forward(x)),
            None => flat(x),
        };
        let split = |map: &Linear| {
            map.forward(&hidden).view([batch, positions, self.heads, -1]).transpose(1, 2)
        };
        let (q, k, v) = (split(&self.to_q), split(&self.to_k), split(&self.to_v));
        // The input was counted for each of the three maps that share it, which stands for q and k too.
        activations::product(&v);
        let attended = Tensor::scaled_dot_product_attention(
            &q,
            &k,
            &v,
            None::<Tensor>,
            0.0,
            false,
            None,
            false,
        );
        // Products of queries with keys, and of the weights with values.
        let outputs = 2 * (batch * self.heads * positions) as usize;
        add_product(&attended, outputs, positions * q.size()[3]);
        let merged = attended.transpose(1, 2).reshape([batch, positions, -1]);
        let out = self.to_out.forward(&merged);
        let out = out.view([batch, height, width, channels]).permute([0, 3, 1, 2]);
        let sum = out + x;
        if self.output_scale_factor == 1.0 { sum } else { sum / self.output_scale_factor }
    }
}
