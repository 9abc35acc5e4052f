//! Batch sizes that follow from the memory of the device.

use crate::batch_size::BatchSize;
use crate::error::RunError;
use crate::model::Model;
use crate::plan::Plan;
use crate::settings::Settings;
use ddpo_algorithm::error::LearnError;
use ddpo_diffusion::device;
use ddpo_diffusion::memory::PassMemory;

/// Replaces batch sizes of `auto` by the largest numbers that the free memory of the run's device
/// allows. Opens the model's config and the device only if a size is `auto`.
///
/// # Errors
/// [`RunError`] if the model or the device cannot be used, or a size does not fit the settings.
pub fn settle(plan: Plan, progress: &mut dyn FnMut(&str)) -> Result<Plan, RunError> {
    let settings = &plan.settings;
    let wanted = [settings.micro_batch_size, settings.sample_batch_size];
    if !wanted.contains(&Some(BatchSize::Auto)) {
        return Ok(plan);
    }
    let device = device::open(&settings.device, plan.numerics())?;
    let model = Model::open(&settings.ddpm_ckpt, &mut *progress)?;
    let memory = PassMemory::of(model.config(), plan.kind(), device);
    let free = device::free_memory(device).unwrap_or(0);
    let fixed = memory.fixed(settings.ema_decay.is_some(), plan.needs_reference());
    let pairs = settings.batch_size.saturating_mul(settings.num_inference_steps);
    let samples = settings.num_samples_per_epoch;
    let settled = |size: Option<BatchSize>, most: usize, useful: usize| match size {
        Some(BatchSize::Auto) => Some(BatchSize::Of(largest_divisor(useful, most))),
        size => size,
    };
    let micro_batch_size =
        settled(settings.micro_batch_size, memory.micro_batch(free, fixed), pairs);
    let sample_batch_size = settled(settings.sample_batch_size, memory.sample_batch(free), samples);
    let shown = |size: Option<BatchSize>| size.map_or("-".into(), |size| size.to_string());
    progress(&format!(
        "batches for {:.1} GiB of free memory: micro_batch_size = {}, sample_batch_size = {}",
        free as f64 / f64::from(1 << 30),
        shown(micro_batch_size),
        shown(sample_batch_size),
    ));
    let settled = Plan::new(Settings { micro_batch_size, sample_batch_size, ..plan.settings });
    settled.map_err(|error| LearnError::from(error).into())
}

/// Returns the largest divisor of `whole` that is at most `most`, so that all batches are equal.
fn largest_divisor(whole: usize, most: usize) -> usize {
    let most = most.clamp(1, whole.max(1));
    (1..=most).rev().find(|size| whole.is_multiple_of(*size)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_the_largest_divisor_that_fits() {
        assert_eq!(largest_divisor(200, 16), 10);
        assert_eq!(largest_divisor(200, 1000), 200);
        assert_eq!(largest_divisor(7, 6), 1);
        assert_eq!(largest_divisor(7, 0), 1);
    }
}
