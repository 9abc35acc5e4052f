//! The bound of the predicted image: none, a fixed range, or a quantile of each sample.

use crate::scheduler::config::SchedulerConfig;
use tch::Tensor;

/// The largest number of values of one sample that libtorch computes a quantile of.
pub const MAX_THRESHOLDED_VALUES: usize = 1 << 24;

/// The bound of the predicted image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// The image is unbounded.
    None,
    /// `clip_sample`: the image is clipped to plus and minus the number.
    Range(f64),
    /// `thresholding` (Saharia et al. 2022, section 2.3; diffusers `_threshold_sample`). With s the
    /// quantile `ratio` of a sample's absolute values, clamped to 1 to `most`:
    ///
    /// ```text
    /// image = clamp(image, -s, s) / s
    /// ```
    Quantile { ratio: f64, most: f64 },
}

impl Bound {
    /// Returns the bound of a scheduler; `thresholding` replaces `clip_sample`.
    pub(super) fn of(config: &SchedulerConfig) -> Self {
        if config.thresholding {
            let (ratio, most) = (config.dynamic_thresholding_ratio, config.sample_max_value);
            return Self::Quantile { ratio, most };
        }
        if config.clip_sample { Self::Range(config.clip_sample_range) } else { Self::None }
    }

    /// Bounds `image` f32 `[B, C, H, W]`. The gradient is autograd's through the same operations as in
    /// diffusers: with `thresholding` it includes the gradient of the quantile.
    pub(super) fn apply(self, image: Tensor) -> Tensor {
        match self {
            Self::None => image,
            Self::Range(range) => image.clamp(-range, range),
            Self::Quantile { ratio, most } => {
                let flat = image.flatten(1, -1);
                let bounds = flat.abs().quantile_scalar(ratio, 1, true, "linear").clamp(1.0, most);
                let clamped = flat.clamp_tensor(Some(&-&bounds), Some(&bounds));
                (clamped / bounds).reshape(image.size())
            }
        }
    }

    /// Returns numbers that differ between bounds, for the digest of a schedule.
    pub(super) fn numbers(self) -> Vec<f64> {
        match self {
            Self::None => vec![f64::INFINITY],
            Self::Range(range) => vec![range],
            Self::Quantile { ratio, most } => vec![f64::NEG_INFINITY, ratio, most],
        }
    }
}
