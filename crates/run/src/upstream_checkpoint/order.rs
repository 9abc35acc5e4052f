//! The order in which `UNet2DModel` registers its parameters, which is that of its state dict and of
//! its optimizer's numbers. It is not the order in which they are used.
//!
//! Source: diffusers 0.38, the constructors in `models/unets/unet_2d.py`, `unet_2d_blocks.py`,
//! `models/resnet.py` and `attention_processor.py`.

/// Parts of names, each before those that come after it within the same module.
const PARTS: [&str; 26] = [
    "conv_in",
    "time_embedding",
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

/// What to sort a parameter's name by.
pub fn key(name: &str) -> Vec<usize> {
    let place = |part: &str| match part.parse() {
        Ok(index) => index,
        // A bias comes after its weight, and so would what is not known here.
        Err(_) => PARTS.iter().position(|known| *known == part).unwrap_or(PARTS.len()),
    };
    name.split('.').map(place).collect()
}
