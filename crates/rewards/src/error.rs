//! Errors from opening reward models and scoring images.

use crate::external::server::error::ServerError;
use crate::external::torchscript::error::ScriptError;
use crate::pinned::PinError;
use crate::vision::error::VisionError;
use ddpo_rollout::image::PixelMap;
use ddpo_rollout::reward::AgeClassesError;
use ddpo_rollout::score::OutOfRange;
use ddpo_service::device::{DeviceFailure, DeviceWork};
use thiserror::Error;

/// Errors from opening reward models and scoring images.
#[derive(Debug, Error)]
pub enum RewardError {
    /// `reward_model` names one network for rewards that need different ones.
    #[error(
        "reward_model = {model}: expected rewards that use the same network, found ages and the \
         aesthetic score; hint: leave it out so that each uses its own"
    )]
    OneNetwork {
        /// The network.
        model: String,
    },
    /// `age_classes` names a label that the classifier does not have.
    #[error(transparent)]
    AgeClasses(#[from] AgeClassesError),
    /// The specification lacks a part that the reward needs.
    #[error("reward specification: expected the part \"{missing}\" for its reward, found none")]
    Incomplete {
        /// The field of the specification.
        missing: &'static str,
    },
    /// A model or file differs from the one that the specification pins.
    #[error(transparent)]
    Pin(Box<PinError>),
    /// One reward of several could not score.
    #[error("reward \"{label}\": {error}")]
    Part {
        /// The reward.
        label: String,
        /// The error.
        error: Box<RewardError>,
    },
    /// A network cannot be used.
    #[error(transparent)]
    Vision(Box<VisionError>),
    /// A TorchScript file cannot score.
    #[error(transparent)]
    Script(Box<ScriptError>),
    /// A reward server cannot score.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// The image of a state lacks the map of a reward: an error of the program.
    #[error("image {index}: expected the pixel map {map:?}, found none")]
    NotMapped {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// The map.
        map: PixelMap,
    },
    /// A picture cannot be preprocessed for a network.
    #[error("image {index}: {reason}")]
    Picture {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An image has a side that JPEG does not support.
    #[error("image {index}: expected sides of 1 to 65500 pixels, found {width}x{height}")]
    Size {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// An image could not be encoded.
    #[error("image {index}: jpeg encoder: {source}")]
    Encoding {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// The error of libjpeg-turbo.
        source: turbojpeg::Error,
    },
    /// The encoder could not be set up.
    #[error("jpeg encoder: {0}")]
    Encoder(turbojpeg::Error),
    /// A scoring thread could not be started.
    #[error("scoring thread: {0}")]
    Thread(std::io::Error),
    /// A scoring thread panicked.
    #[error("scoring thread: expected scores, found a panic")]
    Lost,
    /// A model returned too few or too many scores.
    #[error("scores: expected {expected}, one for each image, found {found}")]
    Count {
        /// Number of images.
        expected: usize,
        /// Number of scores.
        found: usize,
    },
    /// A model returned a score that is not finite.
    #[error("image {index}: expected a finite {name}, found {value}")]
    NotFinite {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// `reward`, or the component's name.
        name: String,
        /// The value: infinite or NaN.
        value: f32,
    },
    /// A model returned a score that is too large to train on.
    #[error("image {index}: {found}")]
    OutOfRange {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// The number.
        found: OutOfRange,
    },
}

/// Boxes an error, because inline it would make every `Result` large.
macro_rules! boxed {
    ($($source:ident => $variant:ident),+) => {
        $(impl From<$source> for RewardError {
            fn from(error: $source) -> Self {
                Self::$variant(Box::new(error))
            }
        })+
    };
}

boxed!(VisionError => Vision, ScriptError => Script, ServerError => Server, PinError => Pin);

impl RewardError {
    /// Returns whether the error is temporary: the same images may be scored later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Server(error) => error.is_passing(),
            Self::Part { error, .. } => error.is_passing(),
            _ => false,
        }
    }

    /// Returns whether a reward or a component was not finite.
    pub fn is_not_finite(&self) -> bool {
        match self {
            Self::NotFinite { .. } => true,
            Self::Server(error) => error.is_not_finite(),
            Self::Part { error, .. } => error.is_not_finite(),
            _ => false,
        }
    }

    /// Returns the failure of this process's device that caused the error, if any. A reward server's
    /// error concerns the device of the server instead.
    #[must_use]
    pub fn device_failure(&self, work: DeviceWork) -> Option<DeviceFailure> {
        match self {
            Self::Server(_) => None,
            Self::Part { error, .. } => error.device_failure(work),
            error => work.failure(&error.to_string()),
        }
    }

    /// Returns whether scoring was cancelled.
    pub fn is_called_off(&self) -> bool {
        match self {
            Self::Server(error) => matches!(**error, ServerError::CalledOff(_)),
            Self::Part { error, .. } => error.is_called_off(),
            _ => false,
        }
    }
}
