//! The accepted values of `UNet2DModel`'s fields.

use crate::accepted::{Accepted, Field};
use ddpo_rollout::classes::MOST_CLASSES;

const FLAGS: &[Accepted] = &[Accepted::Flag(false), Accepted::Flag(true)];
const COUNT: Accepted = Accepted::Whole(1, 1 << 20);
const SIDE: Accepted = Accepted::Whole(1, 8192);
const RESAMPLING: &[Accepted] = &[Accepted::Name("conv"), Accepted::Name("resnet")];

/// The most residual blocks of a down block. Published models have at most 3.
pub const MAX_LAYERS: usize = 64;

/// The most blocks: each one halves the sides, which have at most 8192 pixels.
pub const MAX_BLOCKS: usize = 14;

/// The most parameters, 16 GiB of f32 values.
pub const MAX_PARAMETERS: i64 = 1 << 32;

/// The accepted values of every field of [`super::config::UNetConfig`]. `UNetConfig::from_json` checks
/// relations between fields besides.
pub const FIELDS: &[Field] = &[
    Field::one("sample_size", &[Accepted::Null, SIDE, Accepted::List(&SIDE)]),
    Field::one("in_channels", &[COUNT]),
    Field::one("out_channels", &[COUNT]),
    Field::one("center_input_sample", FLAGS),
    Field::one("time_embedding_type", &[Accepted::Name("positional")]).refusing(&[(
        "fourier",
        "fourier embeddings take the logarithm of the timestep and divide by it, and DDPM and DDIM \
         visit timestep 0",
    )]),
    Field::one("time_embedding_dim", &[Accepted::Null, COUNT]),
    Field::one("freq_shift", &[Accepted::ANY_NUMBER]),
    Field::one("flip_sin_to_cos", FLAGS),
    Field::list(
        "down_block_types",
        &[
            Accepted::Name("DownBlock2D"),
            Accepted::Name("AttnDownBlock2D"),
            Accepted::Name("ResnetDownsampleBlock2D"),
            Accepted::Name("SkipDownBlock2D"),
            Accepted::Name("AttnSkipDownBlock2D"),
        ],
    ),
    Field::one("mid_block_type", &[Accepted::Name("UNetMidBlock2D"), Accepted::Null]),
    Field::list(
        "up_block_types",
        &[
            Accepted::Name("UpBlock2D"),
            Accepted::Name("AttnUpBlock2D"),
            Accepted::Name("ResnetUpsampleBlock2D"),
            Accepted::Name("SkipUpBlock2D"),
            Accepted::Name("AttnSkipUpBlock2D"),
        ],
    ),
    Field::list("block_out_channels", &[COUNT]),
    Field::one("layers_per_block", &[Accepted::Whole(1, MAX_LAYERS as i64)]),
    Field::one("mid_block_scale_factor", &[Accepted::POSITIVE]),
    Field::one("downsample_padding", &[Accepted::Whole(0, 0), Accepted::Whole(1, 1)]),
    Field::one("downsample_type", RESAMPLING),
    Field::one("upsample_type", RESAMPLING),
    Field::one("dropout", &[Accepted::FROM_0_TO_1]),
    Field::one(
        "act_fn",
        &[
            Accepted::Name("silu"),
            Accepted::Name("swish"),
            Accepted::Name("mish"),
            Accepted::Name("gelu"),
            Accepted::Name("relu"),
        ],
    ),
    Field::one("attention_head_dim", &[Accepted::Null, COUNT]),
    Field::one("norm_num_groups", &[COUNT]),
    Field::one("attn_norm_num_groups", &[Accepted::Null, COUNT]),
    Field::one("norm_eps", &[Accepted::POSITIVE]),
    Field::one(
        "resnet_time_scale_shift",
        &[Accepted::Name("default"), Accepted::Name("scale_shift")],
    ),
    Field::one("add_attention", FLAGS),
    Field::one("class_embed_type", &[Accepted::Null]).refusing(&[
        (
            "timestep",
            "its labels are embedded like timesteps, and a sample has a class, not a number",
        ),
        ("identity", "its labels are embeddings, and a sample has a class"),
    ]),
    Field::one("num_class_embeds", &[Accepted::Null, Accepted::Whole(1, MOST_CLASSES as i64)]),
    Field::one("num_train_timesteps", &[Accepted::Null, Accepted::ANY_WHOLE]),
];
