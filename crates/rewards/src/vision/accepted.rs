//! The accepted values of the configs of reward networks and of their image processors. Validation reads
//! the tables; `make parity` requires a case of transformers for every value in them
//! (`tests/parity/test_vision_fields.py`). Any other value is refused by name.

use ddpo_diffusion::accepted::{Accepted, Field};

/// Upper limit for every size of a network: sides, widths, heads.
const LARGEST: i64 = 1 << 16;

/// Longest side of a resized picture, in pixels.
pub const LONGEST: usize = 1 << 14;

const FLAGS: &[Accepted] = &[Accepted::Flag(false), Accepted::Flag(true)];
/// A step of an image processor: transformers skips it if it is false or null.
const STEP: &[Accepted] = &[Accepted::Null, Accepted::Flag(false), Accepted::Flag(true)];
const COUNT: Accepted = Accepted::Whole(1, LARGEST);
const SIDE: Accepted = Accepted::Whole(1, LONGEST as i64);
const LENGTH: &[Accepted] = &[Accepted::Null, SIDE];
/// Converted to f32, the deviation must not be zero or infinite.
const DEVIATION: Accepted = Accepted::Number {
    expected: "a positive number",
    fits: |x| x as f32 > 0.0 && (x as f32).is_finite(),
};
const NOT_NEGATIVE: Accepted =
    Accepted::Number { expected: "0 or more", fits: |x| x >= 0.0 && x.is_finite() };
const ACTIVATIONS: &[Accepted] = &[
    Accepted::Name("gelu"),
    Accepted::Name("gelu_python"),
    Accepted::Name("gelu_new"),
    Accepted::Name("gelu_pytorch_tanh"),
    Accepted::Name("gelu_python_tanh"),
    Accepted::Name("gelu_fast"),
    Accepted::Name("quick_gelu"),
    Accepted::Name("relu"),
    Accepted::Name("silu"),
    Accepted::Name("swish"),
];

/// The fields that ViT and CLIP share.
const TOWER: [Field; 7] = [
    Field::one("hidden_size", &[COUNT]),
    Field::one("num_hidden_layers", &[COUNT]),
    Field::one("num_attention_heads", &[COUNT]),
    Field::one("intermediate_size", &[COUNT]),
    Field::one("hidden_act", ACTIVATIONS),
    Field::one("layer_norm_eps", &[NOT_NEGATIVE]),
    Field::one("num_channels", &[Accepted::Whole(3, 3)]),
];

/// `config.json` of `ViTForImageClassification`.
pub const VIT: [Field; 13] = [
    TOWER[0],
    TOWER[1],
    TOWER[2],
    TOWER[3],
    TOWER[4],
    TOWER[5],
    TOWER[6],
    Field::one("image_size", &[COUNT, Accepted::List(&COUNT)]),
    Field::one("patch_size", &[COUNT, Accepted::List(&COUNT)]),
    Field::one("model_type", &[Accepted::Name("vit")]),
    Field::one("qkv_bias", FLAGS),
    Field::one("num_labels", &[Accepted::Null, COUNT]),
    Field::one(
        "problem_type",
        &[
            Accepted::Null,
            Accepted::Name("single_label_classification"),
            Accepted::Name("multi_label_classification"),
        ],
    ),
];

/// `config.json` of `CLIPVisionModelWithProjection`, and `vision_config` of a whole CLIP.
pub const CLIP: [Field; 10] = [
    TOWER[0],
    TOWER[1],
    TOWER[2],
    TOWER[3],
    TOWER[4],
    TOWER[5],
    TOWER[6],
    Field::one("image_size", &[COUNT]),
    Field::one("patch_size", &[COUNT]),
    Field::one("projection_dim", &[COUNT]),
];

/// `preprocessor_config.json`, or `image_processor` of `processor_config.json`. A dot separates the name
/// of an object from that of a field in it. Fields of a step that is skipped are not read.
pub const PROCESSOR: [Field; 22] = [
    Field::one(
        "image_processor_type",
        &[
            Accepted::Null,
            Accepted::Name("ViTImageProcessor"),
            Accepted::Name("ViTImageProcessorFast"),
            Accepted::Name("ViTImageProcessorPil"),
            Accepted::Name("CLIPImageProcessor"),
            Accepted::Name("CLIPImageProcessorFast"),
            Accepted::Name("CLIPImageProcessorPil"),
        ],
    ),
    Field::one(
        "feature_extractor_type",
        &[
            Accepted::Null,
            Accepted::Name("ViTFeatureExtractor"),
            Accepted::Name("CLIPFeatureExtractor"),
        ],
    ),
    Field::one("do_resize", STEP),
    Field::one("size", &[Accepted::Null, SIDE, Accepted::List(&SIDE)]),
    Field::one("size.height", LENGTH),
    Field::one("size.width", LENGTH),
    Field::one("size.shortest_edge", LENGTH),
    Field::one(
        "resample",
        &[
            Accepted::Null,
            Accepted::Whole(1, 1),
            Accepted::Whole(2, 2),
            Accepted::Whole(3, 3),
            Accepted::Whole(4, 4),
            Accepted::Whole(5, 5),
        ],
    ),
    Field::one("do_center_crop", STEP),
    Field::one("crop_size", &[Accepted::Null, SIDE, Accepted::List(&SIDE)]),
    Field::one("crop_size.height", LENGTH),
    Field::one("crop_size.width", LENGTH),
    Field::one("do_rescale", STEP),
    Field::one("rescale_factor", &[Accepted::Null, Accepted::ANY_NUMBER]),
    Field::one("do_normalize", STEP),
    Field::one(
        "image_mean",
        &[Accepted::Null, Accepted::ANY_NUMBER, Accepted::List(&Accepted::ANY_NUMBER)],
    ),
    Field::one("image_std", &[Accepted::Null, DEVIATION, Accepted::List(&DEVIATION)]),
    // The pictures are RGB already.
    Field::one("do_convert_rgb", STEP),
    Field::one("do_pad", &[Accepted::Null, Accepted::Flag(false)]),
    Field::one("pad_size", &[Accepted::Null]),
    // Their meaning differs between transformers 4 and 5; these values change nothing in either.
    Field::one("use_square_size", &[Accepted::Null, Accepted::Flag(false)]),
    Field::one("default_to_square", FLAGS),
];
