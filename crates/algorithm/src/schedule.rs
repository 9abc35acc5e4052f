//! The learning rate: linear warm-up, then half a cosine.

/// A learning-rate schedule over a known number of optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// Rate of the first step.
    pub initial: f64,
    /// Rate at the end of the warm-up.
    pub peak: f64,
    /// Share of all steps that the warm-up takes, from 0 to 1.
    pub warmup_fraction: f64,
    /// All optimizer steps of the run.
    pub total_steps: u64,
}

impl LearningRate {
    /// The rate of optimizer step `step`, from 0. Equal initial and peak rates mean a constant one;
    /// otherwise the cosine ends at a tenth of the initial rate.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if self.initial == self.peak {
            return self.initial;
        }
        let warmup = ((self.warmup_fraction * self.total_steps as f64) as u64).max(1);
        if step < warmup {
            return self.initial + step as f64 * (self.peak - self.initial) / warmup as f64;
        }
        let floor = 0.1 * self.initial;
        let rest = self.total_steps.saturating_sub(warmup).max(1);
        let progress = ((step - warmup) as f64 / rest as f64).min(1.0);
        floor + (self.peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}
