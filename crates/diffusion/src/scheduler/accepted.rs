//! The accepted values of the schedulers' fields.

use crate::accepted::{Accepted, Field};

/// The values of `_class_name` whose files have no other fields than [`FIELDS`] and [`OLD_OPTIONS`].
pub const CLASSES: [&str; 2] = ["DDPMScheduler", "DDIMScheduler"];

/// Other accepted values of `_class_name`: solvers of models that were trained with the betas of DDPM.
/// Their files are read as by `from_config` of `DDPMScheduler` and `DDIMScheduler`, which ignores the
/// fields of the solver.
pub const SOLVERS: [&str; 13] = [
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DDIMParallelScheduler",
    "DDPMParallelScheduler",
];

/// Fields of solvers that change the meaning of the model, with the value that does not.
pub const SOLVER_MEANINGS: [(&str, &str); 2] =
    [("timestep_type", "discrete"), ("use_flow_sigmas", "false")];

/// Options in files from 2022, of earlier diffusers versions. Today's DDIM and DDPM schedulers ignore
/// them.
pub const OLD_OPTIONS: [&str; 3] = ["tensor_format", "timestep_values", "skip_prk_steps"];

/// The accepted values of every field of [`super::config::SchedulerConfig`]. Each value works with both
/// schedulers, except the schedules that `Transitions::new` rejects for DDIM.
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
            Accepted::Name("laplace"),
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
    )
    .refusing(&[
        ("learned", LEARNED_VARIANCE),
        ("learned_range", LEARNED_VARIANCE),
        ("fixed_large_log", "diffusers takes the square root of this logarithm, which is negative"),
    ]),
    Field::one("thresholding", &[Accepted::Flag(false), Accepted::Flag(true)]),
    Field::one("rescale_betas_zero_snr", &[Accepted::Flag(false), Accepted::Flag(true)]),
    Field::one("dynamic_thresholding_ratio", &[Accepted::FROM_0_TO_1]),
    Field::one("sample_max_value", &[Accepted::POSITIVE]),
];

const LEARNED_VARIANCE: &str = "the model predicts the variance in additional output channels, and \
                                the log-probabilities of training need a fixed one";
