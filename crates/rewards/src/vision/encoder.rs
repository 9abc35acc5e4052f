//! The pre-norm Transformer of ViT and CLIP (transformers 5.8, `modeling_vit.py` `ViTLayer` and
//! `modeling_clip.py` `CLIPEncoderLayer`).

use ddpo_diffusion::layers::{LayerNorm, Linear};
use ddpo_diffusion::parameters::Path;
use tch::Tensor;

use crate::vision::activation::Activation;
use crate::vision::config::TowerConfig;

/// Names of the parts of a block in a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct BlockNames {
    /// Norm before the attention.
    pub norm1: &'static str,
    /// Module of queries, keys and values.
    pub attention: &'static str,
    /// Names of queries, keys and values.
    pub qkv: [&'static str; 3],
    /// Output projection of the attention.
    pub out: &'static str,
    /// Norm before the perceptron.
    pub norm2: &'static str,
    /// First layer of the perceptron.
    pub up: &'static str,
    /// Second layer of the perceptron.
    pub down: &'static str,
}

/// Multi-head self-attention over tokens.
#[derive(Debug)]
struct Attention {
    /// Queries, keys and values as one layer.
    qkv: Linear,
    out: Linear,
    heads: i64,
    width: i64,
}

impl Attention {
    /// Maps `x` `[B, N, C]` to `[B, queries, C]`: the first `queries` tokens attend to all tokens.
    fn forward(&self, x: &Tensor, queries: i64) -> Tensor {
        let size = x.size();
        let (batch, tokens, width) = (size[0], size[1], self.width);
        let heads = |x: Tensor, tokens: i64| {
            x.view([batch, tokens, self.heads, width / self.heads]).transpose(1, 2)
        };
        let [q, k, v] = if queries == tokens {
            let all = self.qkv.infer(x).view([batch, tokens, 3, self.heads, width / self.heads]);
            [0, 1, 2].map(|part| all.select(2, part).transpose(1, 2))
        } else {
            let q = self.qkv.narrow(0, width).infer(&x.narrow(1, 0, queries));
            let kv = self.qkv.narrow(width, 2 * width).infer(x);
            let kv = kv.view([batch, tokens, 2, self.heads, width / self.heads]);
            let [k, v] = [0, 1].map(|part| kv.select(2, part).transpose(1, 2));
            [heads(q, queries), k, v]
        };
        let mask = None::<Tensor>;
        let attended =
            Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None, false);
        self.out.infer(&attended.transpose(1, 2).reshape([batch, queries, width]))
    }
}

/// One block: x + attention(norm(x)), then x + perceptron(norm(x)).
#[derive(Debug)]
pub struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl Block {
    /// Declares the block's parameters under the checkpoint's names.
    pub fn new(mut path: Path<'_>, names: &BlockNames, config: &TowerConfig) -> Self {
        let (width, inner, eps) =
            (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        Self {
            norm1: LayerNorm::new(path.at(names.norm1), width, eps),
            attention: Attention {
                qkv: Linear::stacked(
                    &mut path.at(names.attention),
                    &names.qkv,
                    (width, width),
                    config.qkv_bias,
                ),
                out: Linear::new(path.at(names.out), width, width),
                heads: config.num_attention_heads,
                width,
            },
            norm2: LayerNorm::new(path.at(names.norm2), width, eps),
            up: Linear::new(path.at(names.up), width, inner),
            down: Linear::new(path.at(names.down), inner, width),
            activation: config.hidden_act,
        }
    }

    /// Maps `x` `[B, N, C]` to the outputs of the first `kept` tokens, `[B, kept, C]`.
    pub fn forward(&self, x: Tensor, kept: i64) -> Tensor {
        let attended = self.attention.forward(&self.norm1.forward(&x), kept);
        let x = attended + x.narrow(1, 0, kept);
        let inner = self.activation.apply(self.up.infer(&self.norm2.forward(&x)));
        self.down.infer(&inner) + x
    }
}

/// The sequence of all blocks.
#[derive(Debug)]
pub struct Encoder {
    layers: Vec<Block>,
}

impl Encoder {
    /// Declares the blocks `0`, `1` and so on.
    pub fn new(mut path: Path<'_>, names: &BlockNames, config: &TowerConfig) -> Self {
        let layers = (0..config.num_hidden_layers)
            .map(|index| Block::new(path.at(index), names, config))
            .collect();
        Self { layers }
    }

    /// Maps `[B, N, C]` to the class token `[B, C]`. The last block computes only the class token,
    /// because no later layer reads the others.
    pub fn forward_class(&self, mut x: Tensor) -> Tensor {
        let tokens = x.size()[1];
        let last = self.layers.len().saturating_sub(1);
        for (index, block) in self.layers.iter().enumerate() {
            x = block.forward(x, if index == last { 1 } else { tokens });
        }
        x.select(1, 0)
    }
}
