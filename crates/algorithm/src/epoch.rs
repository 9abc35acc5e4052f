//! What is known of an epoch while it is trained: its data, and sums that become its report.

use crate::config::{LearnerConfig, Objective};
use crate::pairs::Pair;
use crate::proximal::Proximal;
use crate::report::{LagReport, LagSums, Sums, UpdateReport};
use ddpo_diffusion::scheduler::Transitions;
use ddpo_rollout::trajectory::Trajectory;
use std::collections::BTreeMap;

/// The epoch's data and what is known of it so far.
pub struct Epoch<'a> {
    pub trajectories: &'a [&'a Trajectory],
    pub advantages: &'a [f32],
    /// How many versions older than the learner's each trajectory's weights are.
    pub lags: &'a [u64],
    /// Log-probabilities under the weights before the first update, for the decoupled objective.
    pub proximal: Option<Proximal>,
    pub sums: Sums,
    pub report: UpdateReport,
    /// The ratio of every pair that was trained, in the objective's unit.
    pub ratios: Vec<f32>,
    by_lag: BTreeMap<u64, LagSums>,
    dimensions: usize,
}

impl<'a> Epoch<'a> {
    pub fn new(
        trajectories: &'a [&'a Trajectory],
        advantages: &'a [f32],
        lags: &'a [u64],
        transitions: &Transitions,
    ) -> Self {
        let report = UpdateReport {
            ratio_gap_by_step: vec![0.0; transitions.random_steps().len()],
            ..UpdateReport::default()
        };
        let mut by_lag: BTreeMap<u64, LagSums> = BTreeMap::new();
        lags.iter().for_each(|lag| by_lag.entry(*lag).or_default().trajectories += 1);
        Self {
            trajectories,
            advantages,
            lags,
            proximal: None,
            sums: Sums::default(),
            report,
            ratios: Vec::new(),
            by_lag,
            dimensions: trajectories[0].header().shape.elements(),
        }
    }

    /// The log-probability of `pair` that the clip is around, mean over dimensions: the sampling
    /// one where the objective knows no proximal policy.
    pub fn proximal(&self, pair: &Pair) -> f32 {
        self.proximal.as_ref().map_or_else(|| self.sampled(pair), |proximal| proximal.of(pair))
    }

    /// How far that lies above the sampling one.
    pub fn drift(&self, pair: &Pair) -> f32 {
        self.proximal(pair) - self.sampled(pair)
    }

    fn sampled(&self, pair: &Pair) -> f32 {
        self.trajectories[pair.trajectory].log_probs()[pair.random]
    }

    /// Counts a micro-batch. `log_ratios` are those that the objective clips.
    pub fn add(&mut self, loss: f64, pairs: &[Pair], log_ratios: &[f32], config: &LearnerConfig) {
        let factor = config.reduction.factor(self.dimensions);
        self.sums.loss += loss;
        for (pair, &log_ratio) in pairs.iter().zip(log_ratios) {
            let scaled = f64::from(log_ratio) * factor;
            let above_one = scaled.exp_m1();
            let clipped = f64::from(u8::from(above_one.abs() > config.clip_ratio));
            self.sums.pairs += 1;
            self.sums.clipped += clipped;
            self.sums.ratio += above_one + 1.0;
            self.ratios.push((above_one + 1.0) as f32);
            self.sums.k3 += above_one - scaled;
            self.sums.log_ratio_abs += f64::from(log_ratio).abs();
            let importance = (f64::from(self.drift(pair)) * factor).exp();
            let lag = self.by_lag.entry(self.lags[pair.trajectory]).or_default();
            lag.pairs += 1;
            lag.clipped += clipped;
            lag.ratio += above_one + 1.0;
            lag.importance += importance.min(config.importance_cap);
            lag.cut += f64::from(u8::from(importance > config.importance_cap));
        }
    }

    pub fn finish(self, objective: Objective, with_kl: bool) -> UpdateReport {
        let mean = |sum: f64| sum / self.sums.pairs.max(1) as f64;
        let dimensions = self.dimensions as f64;
        let gaps = self.report.ratio_gap_by_step.iter().copied();
        let stale = self.by_lag.keys().any(|lag| *lag > 0);
        let decoupled = objective == Objective::Decoupled;
        let by_lag = self.by_lag.iter().map(|(lag, sums)| LagReport::of(*lag, sums, decoupled));
        UpdateReport {
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
        }
    }
}
