//! The sums over an epoch's updates, which become its report.

use crate::config::{LearnerConfig, Objective};
use crate::epoch::Epoch;
use crate::pairs::Pair;
use crate::pass::PassOutput;
use crate::report::{LagReport, UpdateReport, UpdateSamples};
use std::collections::BTreeMap;

/// Sums over the pairs trained so far.
#[derive(Debug)]
pub struct Diagnostics {
    sums: Sums,
    by_lag: BTreeMap<u64, LagSums>,
    /// The report's values that are no means over pairs.
    report: UpdateReport,
    /// The ratio of every pair, in the unit of `log_prob`.
    ratios: Vec<f32>,
    /// Values in a state, C * H * W.
    dimensions: usize,
}

/// Sums over pairs.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    pairs: u64,
    loss: f64,
    /// Number of ratios outside the clip.
    clipped: f64,
    ratio: f64,
    /// (r - 1) - ln r, in the unit of `log_prob`.
    k3: f64,
    /// |log-ratio|, nats a dimension.
    log_ratio_abs: f64,
    /// KL from the pretrained model, nats a dimension.
    kl: f64,
    /// Gradient norms, over optimizer steps.
    gradient_norm: f64,
}

/// Sums over the pairs of one lag.
#[derive(Clone, Copy, Debug, Default)]
struct LagSums {
    trajectories: u64,
    pairs: u64,
    /// Number of ratios outside the clip.
    clipped: f64,
    ratio: f64,
    /// Importance weights, capped.
    importance: f64,
    /// Number of importance weights above the cap.
    capped: f64,
}

impl Diagnostics {
    /// Starts with no pairs; each trajectory has `random_steps` random steps.
    pub fn new(epoch: &Epoch<'_>, random_steps: usize) -> Self {
        let mut by_lag: BTreeMap<u64, LagSums> = BTreeMap::new();
        epoch.lags.iter().for_each(|lag| by_lag.entry(*lag).or_default().trajectories += 1);
        let ratio_gap_by_step = vec![0.0; random_steps];
        Self {
            sums: Sums::default(),
            by_lag,
            report: UpdateReport { ratio_gap_by_step, ..UpdateReport::default() },
            ratios: Vec::new(),
            dimensions: epoch.trajectories[0].header().shape.elements(),
        }
    }

    /// Returns the optimizer steps taken in this epoch.
    pub fn optimizer_steps(&self) -> u64 {
        self.report.optimizer_steps
    }

    /// Adds an optimizer step: the gradient norm before the clip, and the learning rate.
    pub fn add_optimizer_step(&mut self, gradient_norm: f64, rate: f64) {
        self.sums.gradient_norm += gradient_norm;
        self.report.optimizer_steps += 1;
        self.report.lr = rate;
    }

    /// Adds |ratio - 1| of `pair` before the first optimizer step.
    pub fn add_ratio_gap(&mut self, pair: &Pair, gap: f64) {
        let worst = &mut self.report.ratio_gap_by_step[pair.random];
        *worst = worst.max(gap);
    }

    /// Adds the pairs of a micro-batch.
    pub fn add_pairs(
        &mut self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        output: &PassOutput,
        config: &LearnerConfig,
    ) {
        let factor = config.log_prob.factor(self.dimensions);
        self.sums.kl += output.kl;
        self.sums.loss += output.loss;
        for (pair, &log_ratio) in pairs.iter().zip(&output.log_ratios) {
            let scaled = f64::from(log_ratio) * factor;
            let above_one = scaled.exp_m1();
            let clipped = f64::from(u8::from(above_one.abs() > config.clip_ratio));
            self.sums.pairs += 1;
            self.sums.clipped += clipped;
            self.sums.ratio += above_one + 1.0;
            self.ratios.push((above_one + 1.0) as f32);
            self.sums.k3 += above_one - scaled;
            self.sums.log_ratio_abs += f64::from(log_ratio).abs();
            let importance = (f64::from(epoch.drift(pair)) * factor).exp();
            let lag = self.by_lag.entry(epoch.lags[pair.trajectory]).or_default();
            lag.pairs += 1;
            lag.clipped += clipped;
            lag.ratio += above_one + 1.0;
            lag.importance += importance.min(config.importance_cap);
            lag.capped += f64::from(u8::from(importance > config.importance_cap));
        }
    }

    /// Returns the means, and the single values behind them. `with_kl` says whether the KL from the
    /// pretrained model was computed.
    pub fn finish(
        self,
        advantages: Vec<f32>,
        objective: Objective,
        with_kl: bool,
    ) -> (UpdateReport, UpdateSamples) {
        let mean = |sum: f64| sum / self.sums.pairs.max(1) as f64;
        let dimensions = self.dimensions as f64;
        let gaps = self.report.ratio_gap_by_step.iter().copied();
        let stale = self.by_lag.keys().any(|lag| *lag > 0);
        let by_lag = self.by_lag.iter().map(|(lag, sums)| sums.report(*lag, objective));
        let report = UpdateReport {
            loss: mean(self.sums.loss),
            clip_fraction: mean(self.sums.clipped),
            ratio_mean: mean(self.sums.ratio),
            ratio_gap_max: gaps.fold(0.0, f64::max),
            approx_kl: mean(self.sums.k3),
            log_ratio_abs: mean(self.sums.log_ratio_abs),
            log_ratio_abs_nats: mean(self.sums.log_ratio_abs) * dimensions,
            kl_to_pretrained_nats: with_kl.then(|| mean(self.sums.kl) * dimensions),
            grad_norm: self.sums.gradient_norm / self.report.optimizer_steps.max(1) as f64,
            pairs: self.sums.pairs,
            staleness: if stale { by_lag.collect() } else { Vec::new() },
            ..self.report
        };
        (report, UpdateSamples { advantages, ratios: self.ratios })
    }
}

impl LagSums {
    /// Returns the means; those of the importance weight for the decoupled objective only.
    fn report(&self, lag: u64, objective: Objective) -> LagReport {
        let mean = |sum: f64| sum / self.pairs.max(1) as f64;
        let decoupled = objective == Objective::Decoupled;
        LagReport {
            lag,
            trajectories: self.trajectories,
            clip_fraction: mean(self.clipped),
            ratio_mean: mean(self.ratio),
            importance_mean: decoupled.then(|| mean(self.importance)),
            importance_cut_fraction: decoupled.then(|| mean(self.capped)),
        }
    }
}
