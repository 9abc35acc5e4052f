//! Sizes of batches that follow from the memory of the device.

use crate::error::RunError;
use crate::model::Model;
use crate::settings::Settings;
use ddpo_diffusion::device;
use ddpo_diffusion::dtype::TorchKind;
use ddpo_diffusion::memory::PassMemory;
use ddpo_rollout::numerics::Numerics;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The size of a batch, or that which the device has memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// As many as the device's free memory takes, found when the run begins. `run.toml` records the number.
    Auto,
    /// This many.
    Of(usize),
}

impl BatchSize {
    /// Returns the number; `None` for [`BatchSize::Auto`].
    #[must_use]
    pub fn number(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Of(number) => Some(number),
        }
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Of(number) => write!(formatter, "{number}"),
        }
    }
}

impl FromStr for BatchSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Of).map_err(|_| "expected a whole number or auto"),
        }
    }
}

impl Serialize for BatchSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Of(number) => number.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BatchSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(usize),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self::Of(number)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// Replaces `auto` in the sizes of batches by the numbers that the free memory of the run's device allows.
/// Opens the model's config and the device only where a size is `auto`.
///
/// # Errors
/// [`RunError`] of a model or a device that cannot be used.
pub fn settle(settings: Settings, progress: &mut dyn FnMut(&str)) -> Result<Settings, RunError> {
    let wanted = [settings.micro_batch_size, settings.sample_batch_size];
    if !wanted.contains(&Some(BatchSize::Auto)) {
        return Ok(settings);
    }
    let numerics = Numerics {
        deterministic: settings.deterministic,
        matmul_precision: settings.matmul_precision,
    };
    let device = device::open(&settings.device, numerics)?;
    let model = Model::open(&settings.ddpm_ckpt, &mut *progress)?;
    let memory = PassMemory::of(model.config(), settings.dtype.kind(), device);
    let free = device::free_memory(device).unwrap_or(0);
    let has_reference = settings.kl_coef > 0.0 || settings.kl_stop.is_some();
    let fixed = memory.fixed(settings.ema_decay.is_some(), has_reference);
    let pairs = settings.batch_size.saturating_mul(settings.num_inference_steps);
    let settled = |size: Option<BatchSize>, most: usize, useful: usize| match size {
        Some(BatchSize::Auto) => Some(BatchSize::Of(largest_divisor(useful, most))),
        size => size,
    };
    let settings = Settings {
        micro_batch_size: settled(
            settings.micro_batch_size,
            memory.micro_batch(free, fixed),
            pairs,
        ),
        sample_batch_size: settled(
            settings.sample_batch_size,
            memory.sample_batch(free),
            settings.num_samples_per_epoch,
        ),
        ..settings
    };
    let shown = |size: Option<BatchSize>| size.map_or("-".into(), |size| size.to_string());
    progress(&format!(
        "batches for {:.1} GiB of free memory: micro_batch_size = {}, sample_batch_size = {}",
        free as f64 / f64::from(1 << 30),
        shown(settings.micro_batch_size),
        shown(settings.sample_batch_size),
    ));
    Ok(settings)
}

/// The largest divisor of `whole` that is at most `most`: no batch is smaller than the others.
fn largest_divisor(whole: usize, most: usize) -> usize {
    let most = most.clamp(1, whole.max(1));
    (1..=most).rev().find(|size| whole.is_multiple_of(*size)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_and_auto_and_writes_them_back() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert_eq!("16".parse(), Ok(BatchSize::Of(16)));
        assert_eq!("-1".parse::<BatchSize>(), Err("expected a whole number or auto"));
        for size in [BatchSize::Auto, BatchSize::Of(3)] {
            let text = serde_json::to_string(&size).unwrap();
            assert_eq!(serde_json::from_str::<BatchSize>(&text).unwrap(), size);
        }
    }

    #[test]
    fn batches_are_of_one_size() {
        assert_eq!(largest_divisor(200, 16), 10);
        assert_eq!(largest_divisor(200, 1000), 200);
        assert_eq!(largest_divisor(7, 6), 1);
        assert_eq!(largest_divisor(7, 0), 1);
    }
}
