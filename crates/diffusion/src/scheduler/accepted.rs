//! The accepted values of the schedulers' fields.

use crate::accepted::{Accepted, Field};

/// The accepted values of `_class_name`.
pub const CLASSES: [&str; 2] = ["DDPMScheduler", "DDIMScheduler"];

/// Options in files from 2022, of earlier diffusers versions. Today's DDIM and DDPM schedulers ignore
/// them.
pub const OLD_OPTIONS: [&str; 3] = ["tensor_format", "timestep_values", "skip_prk_steps"];

/// The accepted values of every field of [`super::config::SchedulerConfig`]. Each value works with both
/// schedulers, except a schedule that `Transitions::new` rejects for DDIM.
pub const FIELDS: &[Field] = &[
    Field::one("num_train_timesteps", &[Accepted::Whole(1, 100_000)]),
    Field::one("beta_start", &[Accepted::BETWEEN_0_AND_1]),
    Field::one("beta_end", &[Accepted::BETWEEN_0_AND_1]),
    Field::one(
        "beta_schedule",
        &[
            Accepted::Name("linear"),
            Accepted::Name("scaled_linear"),
            Accepted::Name("squaredcos_cap_v2"),
            Accepted::Name("sigmoid"),
        ],
    ),
    Field::one("trained_betas", &[Accepted::Null, Accepted::List(&Accepted::BETWEEN_0_AND_1)]),
    Field::one("clip_sample", &[Accepted::Flag(true), Accepted::Flag(false)]),
    Field::one("clip_sample_range", &[Accepted::POSITIVE]),
    Field::one("set_alpha_to_one", &[Accepted::Flag(true), Accepted::Flag(false)]),
    Field::one("steps_offset", &[Accepted::ANY_WHOLE]),
    Field::one(
        "prediction_type",
        &[Accepted::Name("epsilon"), Accepted::Name("sample"), Accepted::Name("v_prediction")],
    ),
    Field::one(
        "timestep_spacing",
        &[Accepted::Name("leading"), Accepted::Name("trailing"), Accepted::Name("linspace")],
    ),
    Field::one(
        "variance_type",
        &[
            Accepted::Name("fixed_small"),
            Accepted::Name("fixed_small_log"),
            Accepted::Name("fixed_large"),
        ],
    ),
    Field::one("thresholding", &[Accepted::Flag(false)]),
    Field::one("rescale_betas_zero_snr", &[Accepted::Flag(false)]),
    Field::one("dynamic_thresholding_ratio", &[Accepted::ANY_NUMBER]),
    Field::one("sample_max_value", &[Accepted::ANY_NUMBER]),
];
