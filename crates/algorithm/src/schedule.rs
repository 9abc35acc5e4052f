//! The learning rate: linear warm-up, then half a cosine.

/// A learning-rate schedule over a known number of optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// Rate of the first step.
    pub initial_lr: f64,
    /// Rate at the end of the warm-up.
    pub peak_lr: f64,
    /// Share of all steps that the warm-up takes, from 0 to 1.
    pub warmup_pct: f64,
    /// Optimizer steps of the whole run.
    pub total_steps: u64,
}

impl LearningRate {
    /// Returns W, the number of steps of the warm-up: max(1, floor(`warmup_pct` * `total_steps`)), or 0
    /// for a constant rate.
    pub fn warm_up_steps(&self) -> u64 {
        if self.initial_lr == self.peak_lr {
            return 0;
        }
        ((self.warmup_pct * self.total_steps as f64) as u64).max(1)
    }

    /// Returns the rate of optimizer step `step`, from 0.
    ///
    /// With W = [`warm_up_steps`](Self::warm_up_steps): linear from `initial_lr` at step 0 to
    /// `peak_lr` at step W, then floor + (`peak_lr` - floor) (1 + cos(pi p)) / 2 with
    /// floor = `initial_lr` / 10 and p = (step - W) / (`total_steps` - W), at most 1. Equal initial
    /// and peak rates give a constant rate.
    pub fn at(&self, step: u64) -> f64 {
        if self.initial_lr == self.peak_lr {
            return self.initial_lr;
        }
        let warmup = self.warm_up_steps();
        if step < warmup {
            let rise = self.peak_lr - self.initial_lr;
            return self.initial_lr + step as f64 * rise / warmup as f64;
        }
        let floor = 0.1 * self.initial_lr;
        let rest = self.total_steps.saturating_sub(warmup).max(1);
        let progress = ((step - warmup) as f64 / rest as f64).min(1.0);
        floor + (self.peak_lr - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}
