//! Sums over the updates of an epoch, from which its report is computed.

use crate::config::{ForwardWeighting, LearnerConfig, Objective, TrustRegion};
use crate::epoch::Epoch;
use crate::objective::is_far;
use crate::pairs::Pair;
use crate::pass::PassOutput;
use crate::report::{LagReport, StepReport, UpdateReport, UpdateSamples};
use std::collections::BTreeMap;

/// Sums over the pairs trained so far.
#[derive(Debug)]
pub struct Diagnostics {
    sums: Sums,
    by_lag: BTreeMap<u64, LagSums>,
    /// By position among the random steps or the noise levels of a pass.
    by_slot: Vec<SlotSums>,
    /// The values of the report that are not means over pairs.
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
    /// (r - 1) - ln r of the ratio of joint densities, nats.
    k3: f64,
    /// Number of pairs of the second optimizer step, and of these the number outside the clip.
    first: f64,
    first_clipped: f64,
    /// Squared errors of predictions, mean over dimensions.
    error: f64,
    /// |log-ratio|, nats per dimension.
    log_ratio_abs: f64,
    /// KL from the pretrained model, nats per dimension.
    kl: f64,
    /// Gradient norms, over optimizer steps.
    gradient_norm: f64,
    /// Number of anchors, and the squared errors of their predictions, mean over dimensions.
    anchors: usize,
    anchor_error: f64,
}

/// Sums over the pairs of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct SlotSums {
    /// The largest timestep.
    timestep: i64,
    pairs: u64,
    clipped: f64,
    k3: f64,
    /// Norms of the gradient at the model's output.
    gradient: f64,
    error: f64,
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
    /// Starts with no pairs; each trajectory has `slots` random steps, or noise levels.
    pub fn new(epoch: &Epoch<'_>, slots: usize) -> Self {
        let mut by_lag: BTreeMap<u64, LagSums> = BTreeMap::new();
        epoch.lags.iter().for_each(|lag| by_lag.entry(*lag).or_default().trajectories += 1);
        let ratio_gap_by_step = vec![0.0; slots];
        Self {
            sums: Sums::default(),
            by_lag,
            by_slot: vec![SlotSums::default(); slots],
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
        let worst = &mut self.report.ratio_gap_by_step[pair.slot];
        *worst = worst.max(gap);
    }

    /// Adds the sum of the squared errors of `count` anchors.
    pub fn add_anchors(&mut self, count: usize, sum: f64) {
        self.sums.anchors += count;
        self.sums.anchor_error += sum;
    }

    /// Adds the pairs of a micro-batch; `gradients` are the norms of their gradients at the model's
    /// output.
    pub fn add_pairs(
        &mut self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        output: &PassOutput,
        gradients: &[f64],
        config: &LearnerConfig,
    ) {
        let dimensions = self.dimensions as f64;
        let factor = config.log_prob.factor(self.dimensions);
        self.sums.loss += output.loss;
        self.sums.kl += output.kl.iter().copied().map(f64::from).sum::<f64>();
        self.sums.error += output.errors.iter().copied().map(f64::from).sum::<f64>();
        for (index, (pair, &log_ratio)) in pairs.iter().zip(&output.log_ratios).enumerate() {
            let log_ratio = f64::from(log_ratio);
            let above_one = (log_ratio * factor).exp_m1();
            let advantage = f64::from(epoch.advantages[pair.trajectory]);
            // The KL trust region stops moves away from the old policy only; the clip counts both
            // directions.
            let counts = config.trust_region == TrustRegion::Clip || advantage * log_ratio > 0.0;
            let is_clipped =
                counts && is_far(config, self.dimensions, log_ratio, output.moved.get(index));
            let clipped = f64::from(u8::from(is_clipped));
            let k3 = k3(log_ratio * dimensions);
            self.sums.pairs += 1;
            self.sums.clipped += clipped;
            if self.report.optimizer_steps == 1 {
                self.sums.first += 1.0;
                self.sums.first_clipped += clipped;
            }
            self.sums.ratio += above_one + 1.0;
            self.ratios.push((above_one + 1.0) as f32);
            self.sums.k3 += k3;
            self.sums.log_ratio_abs += log_ratio.abs();
            let slot = &mut self.by_slot[pair.slot];
            slot.timestep = slot.timestep.max(timestep(epoch, pair, config));
            slot.pairs += 1;
            slot.clipped += clipped;
            slot.k3 += k3;
            slot.gradient += gradients[index];
            slot.error += output.errors.get(index).copied().map_or(0.0, f64::from);
            let lag = self.by_lag.entry(epoch.lags[pair.trajectory]).or_default();
            lag.pairs += 1;
            lag.clipped += clipped;
            lag.ratio += above_one + 1.0;
            if config.objective == Objective::Decoupled {
                let importance = (f64::from(epoch.drift(pair)) * dimensions).exp();
                lag.importance += importance.min(config.importance_cap);
                lag.capped += f64::from(u8::from(importance > config.importance_cap));
            }
        }
    }

    /// Returns the report of means, and the values behind them. `with_reference` says whether the
    /// distance from the pretrained model was computed.
    pub fn finish(
        self,
        epoch: Epoch<'_>,
        config: &LearnerConfig,
        with_reference: bool,
    ) -> (UpdateReport, UpdateSamples) {
        let objective = config.objective;
        let is_forward = objective == Objective::Forward;
        let mean = |sum: f64| sum / self.sums.pairs.max(1) as f64;
        let dimensions = self.dimensions as f64;
        let gaps = self.report.ratio_gap_by_step.iter().copied();
        let stale = self.by_lag.keys().any(|lag| *lag > 0);
        let by_lag = self.by_lag.iter().map(|(lag, sums)| sums.report(*lag, objective));
        let gradients = self.by_slot.iter().map(|slot| slot.gradient).sum::<f64>();
        let trained = self.by_slot.iter().filter(|slot| slot.pairs > 0);
        let steps = trained.map(|slot| slot.report(gradients, is_forward)).collect();
        // Only the clipped form of the forward objective has a ratio.
        let has_ratio = !is_forward || config.forward.weighting == ForwardWeighting::Advantage;
        let report = UpdateReport {
            loss: mean(self.sums.loss),
            clip_fraction: if has_ratio { mean(self.sums.clipped) } else { 0.0 },
            first_clip_fraction: (has_ratio && self.sums.first > 0.0)
                .then(|| self.sums.first_clipped / self.sums.first),
            ratio_mean: if has_ratio { mean(self.sums.ratio) } else { 1.0 },
            ratio_gap_max: gaps.fold(0.0, f64::max),
            approx_kl: if is_forward { 0.0 } else { mean(self.sums.k3) },
            log_ratio_abs: mean(self.sums.log_ratio_abs),
            log_ratio_abs_nats: mean(self.sums.log_ratio_abs) * dimensions,
            kl_to_pretrained_nats: (with_reference && !is_forward)
                .then(|| mean(self.sums.kl) * dimensions),
            distance_to_pretrained: (with_reference && is_forward).then(|| mean(self.sums.kl)),
            kl_coef: with_reference.then_some(epoch.kl_coef),
            denoising_error: is_forward.then(|| mean(self.sums.error)),
            anchor_error: (self.sums.anchors > 0)
                .then(|| self.sums.anchor_error / self.sums.anchors as f64),
            steps,
            grad_norm: self.sums.gradient_norm / self.report.optimizer_steps.max(1) as f64,
            pairs: self.sums.pairs,
            staleness: if stale { by_lag.collect() } else { Vec::new() },
            ..self.report
        };
        (report, UpdateSamples { advantages: epoch.advantages, ratios: self.ratios })
    }
}

/// (r - 1) - ln r for a log-ratio in nats, the k3 estimate of KL(old || new) (Schulman 2020).
/// Log-ratios above 30 count as 30, so that a single pair cannot make the mean infinite.
fn k3(log_ratio: f64) -> f64 {
    log_ratio.min(30.0).exp_m1() - log_ratio
}

fn timestep(epoch: &Epoch<'_>, pair: &Pair, config: &LearnerConfig) -> i64 {
    match config.objective {
        Objective::Forward => pair.step as i64,
        _ => epoch.trajectories[pair.trajectory].header().timesteps[pair.step],
    }
}

impl SlotSums {
    fn report(&self, gradients: f64, is_forward: bool) -> StepReport {
        let mean = |sum: f64| sum / self.pairs.max(1) as f64;
        StepReport {
            timestep: self.timestep,
            gradient_share: if gradients > 0.0 { self.gradient / gradients } else { 0.0 },
            clip_fraction: mean(self.clipped),
            approx_kl: if is_forward { 0.0 } else { mean(self.k3) },
            denoising_error: is_forward.then(|| mean(self.error)),
        }
    }
}

impl LagSums {
    /// Returns the means. The importance weight has a mean with the decoupled objective only.
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
