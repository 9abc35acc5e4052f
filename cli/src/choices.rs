//! Flags with a fixed set of values.

use clap::ValueEnum;

/// The maps of images to 8-bit levels.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PixelMaps {
    /// From -1 to 1, with rounding
    Signed,
    /// The map of each task in alcazar90/ddpo-celebahq, as with upstream_compat
    #[value(alias = "unit")]
    Upstream,
}

/// What a model predicts, named as in scheduler configs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PredictionType {
    /// The noise
    Epsilon,
    /// The clean image
    Sample,
    /// The velocity of Salimans & Ho 2022
    #[value(name = "v_prediction")]
    VPrediction,
}

impl PredictionType {
    /// Returns the name in a scheduler config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
            Self::VPrediction => "v_prediction",
        }
    }
}
