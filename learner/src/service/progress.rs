//! Reports a run's progress as log lines and metrics.

use ddpo_run::metrics::EpochMetrics;
use ddpo_run::progress::Progress;
use ddpo_run::signal::NoSignal;
use ddpo_service::metrics::Metrics;

/// Writes the run's events to the log and its numbers to the metrics.
#[derive(Clone, Debug)]
pub struct LogProgress {
    /// The service's metrics.
    pub metrics: Metrics,
}

impl Progress for LogProgress {
    fn at(&self, stage: &'static str, done: usize, total: usize) {
        tracing::debug!(stage, done, total);
    }

    fn say(&self, line: &str) {
        for line in line.lines() {
            tracing::info!("{line}");
        }
    }

    fn epoch(&self, epoch: &EpochMetrics) {
        let (metrics, update) = (&self.metrics, &epoch.update);
        metrics.reward_mean.set([], epoch.rewards.reward_mean);
        metrics.reward_std.set([], epoch.rewards.reward_std);
        metrics.loss.set([], update.loss);
        metrics.ratio_gap.set([], update.ratio_gap_max);
        metrics.clip_fraction.set([], update.clip_fraction);
        metrics.gradient_norm.set([], update.grad_norm);
        metrics.learning_rate.set([], update.lr);
        for cause in NoSignal::ALL {
            let applies = epoch.no_signal.contains(&cause);
            metrics.no_signal.set([cause.name()], f64::from(u8::from(applies)));
        }
        if let Some(share) = epoch.spread.saturated_fraction {
            metrics.saturated_fraction.set([], share);
        }
        let lag = update.staleness.iter().map(|one| one.lag).max().unwrap_or(0);
        metrics.staleness.set([], lag as f64);
        if let Some(mean) = epoch.eval_reward_mean {
            metrics.reward_eval.set([], mean);
        }
        metrics.optimizer_steps.add([], update.optimizer_steps);
        if let Some(kl) = update.kl_to_pretrained_nats {
            metrics.kl.set([], kl);
        }
        if let Some(rate) = epoch.seconds.flops_training {
            metrics.flops_per_second.set(["train"], rate);
        }
        metrics.stage_seconds.observe(["sample"], epoch.seconds.seconds_sampling);
        metrics.stage_seconds.observe(["train"], epoch.seconds.seconds_training);
    }

    fn aside(&self, line: &str) {
        tracing::info!("{line}");
    }

    fn finish(&self) {}
}
