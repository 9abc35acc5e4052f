//! The order in which `UNet2DModel` registers its parameters. The state dict and the optimizer's
//! numbers follow it; the order of use in `forward` differs.
//!
//! Source: diffusers 0.42, the constructors in `models/unets/unet_2d.py`, `unet_2d_blocks.py`,
//! `models/resnet.py` and `attention_processor.py`.

/// Parts of parameter names, in the order of registration within a module.
const PARTS: [&str; 27] = [
    "conv_in",
    "time_embedding",
    "class_embedding",
    "down_blocks",
    "up_blocks",
    "mid_block",
    "conv_norm_out",
    "conv_out",
    "linear_1",
    "linear_2",
    "attentions",
    "resnets",
    "downsamplers",
    "upsamplers",
    "group_norm",
    "to_q",
    "to_k",
    "to_v",
    "to_out",
    "norm1",
    "conv1",
    "time_emb_proj",
    "norm2",
    "conv2",
    "conv_shortcut",
    "conv",
    "weight",
];

/// Returns the sort key of a parameter's name.
pub fn key(name: &str) -> Vec<usize> {
    let place = |part: &str| match part.parse() {
        Ok(index) => index,
        // Unknown parts sort last, and so does a bias, which follows its weight.
        Err(_) => PARTS.iter().position(|known| *known == part).unwrap_or(PARTS.len()),
    };
    name.split('.').map(place).collect()
}
