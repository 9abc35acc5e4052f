//! Checks of the recorded log-probabilities.
//!
//! Before the first optimizer step of an epoch, the learner still has the weights that drew the samples, so
//! every ratio is one up to rounding. The check covers the pairs of the first mini-batch. With
//! [`OldLogProbs::Learner`] or the decoupled objective, the learner evaluates all pairs before the first
//! step, and the check covers all of them. Later mini-batches cannot be checked: the policy has changed,
//! and no threshold separates a wrong record from a large update. At a high learning rate, a nearly
//! deterministic step moves by tens of nats per dimension.
//!
//! After a check has failed, [`Learner::false_samples`] finds all samples of the epoch that would fail it,
//! so that they can be drawn again.

use crate::config::OldLogProbs;
use crate::diagnostics::Diagnostics;
use crate::epoch::Epoch;
use crate::error::LearnError;
use crate::learner::Learner;
use crate::pairs::Pair;
use crate::proximal::proximal_log_probs;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::SampleCoordinates;
use std::collections::BTreeSet;

/// Factor on `ratio_tolerance` for the sampler's log-probabilities if the learner recomputes them.
/// The sampler's batches have another shape, so the values differ slightly; other weights or
/// another scheduler would make them differ far more.
const ACROSS_SHAPES: f64 = 100.0;

/// Returns whether a gap is above its limit, or is not a number.
fn exceeds(gap: f64, limit: f64) -> bool {
    gap.is_nan() || gap > limit
}

fn across_shapes(is_taken_anew: bool) -> f64 {
    if is_taken_anew { ACROSS_SHAPES } else { 1.0 }
}

/// Returns the index of the pair's sample.
fn sample_of(epoch: &Epoch<'_>, pair: &Pair) -> u32 {
    epoch.trajectories[pair.trajectory].header().coordinates.sample
}

/// Returns the number of values of a state of the pair's trajectory.
fn dimensions(epoch: &Epoch<'_>, pair: &Pair) -> f64 {
    epoch.trajectories[pair.trajectory].header().shape.elements() as f64
}

impl Learner {
    /// Checks each pair: |ratio - 1| (log-probabilities as means over dimensions) against
    /// `ratio_tolerance`, and |log-ratio| in nats against `ratio_tolerance_nats`. Records the
    /// largest gap by step. The mean hides a gap that is spread over many dimensions: 1e-4 allows
    /// 20 nats at 3 x 256 x 256.
    ///
    /// Compares trajectories of the current weights with the sampler's log-probabilities and, with
    /// [`OldLogProbs::Learner`], also with the learner's. Compares older ones with the proximal policy's,
    /// or skips them if the objective has none.
    pub(crate) fn check_ratio(
        &self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        log_ratios: &[f32],
        diagnostics: &mut Diagnostics,
    ) -> Result<(), LearnError> {
        for (pair, log_ratio) in pairs.iter().zip(log_ratios) {
            let fresh = epoch.lags[pair.trajectory] == 0;
            if !fresh && epoch.proximal_log_probs.is_none() {
                continue;
            }
            let dimensions = dimensions(epoch, pair);
            let taken_anew = self.config.old_log_probs == OldLogProbs::Learner;
            let recorded = if fresh { log_ratio + epoch.drift(pair) } else { *log_ratio };
            let compared = if taken_anew { *log_ratio } else { recorded };
            let gap = |log_ratio: f32| f64::from(log_ratio).exp_m1().abs();
            let nats = |log_ratio: f32| f64::from(log_ratio).abs() * dimensions;
            diagnostics.add_ratio_gap(pair, gap(compared));
            for (log_ratio, factor) in [(compared, 1.0), (recorded, across_shapes(taken_anew))] {
                let (gap, nats) = (gap(log_ratio), nats(log_ratio));
                if exceeds(gap, factor * self.config.ratio_tolerance) {
                    return Err(self.ratio_gap(epoch, pair, gap));
                }
                if exceeds(nats, factor * self.config.ratio_tolerance_nats) {
                    return Err(self.gap_in_nats(epoch, pair, nats));
                }
            }
        }
        Ok(())
    }

    /// Checks the sampler's log-probabilities of all pairs of the epoch, with the limits of
    /// [`check_ratio`](Self::check_ratio). Does nothing if the learner has not evaluated the pairs before
    /// the first optimizer step.
    pub(crate) fn check_recorded(
        &self,
        epoch: &Epoch<'_>,
        mini_batches: &[Vec<Pair>],
    ) -> Result<(), LearnError> {
        if epoch.proximal_log_probs.is_none() {
            return Ok(());
        }
        mini_batches.iter().flatten().try_for_each(|pair| self.check_drift(epoch, pair))
    }

    /// Checks the sampler's log-probability of one pair against the learner's in
    /// `epoch.proximal_log_probs`.
    fn check_drift(&self, epoch: &Epoch<'_>, pair: &Pair) -> Result<(), LearnError> {
        if epoch.lags[pair.trajectory] > 0 {
            return Ok(());
        }
        let factor = across_shapes(self.config.old_log_probs == OldLogProbs::Learner);
        let drift = f64::from(epoch.drift(pair));
        let (gap, nats) = (drift.exp_m1().abs(), drift.abs() * dimensions(epoch, pair));
        if exceeds(gap, factor * self.config.ratio_tolerance) {
            return Err(self.ratio_gap(epoch, pair, gap));
        }
        if exceeds(nats, factor * self.config.ratio_tolerance_nats) {
            return Err(self.gap_in_nats(epoch, pair, nats));
        }
        Ok(())
    }

    /// Returns the indices, in ascending order, of the samples that were drawn with the current weights and
    /// whose recorded log-probabilities differ from the learner's by more than [`update`](Self::update)
    /// allows. Runs one forward pass over every pair of the epoch, about a third of the cost of an update.
    ///
    /// # Errors
    /// [`LearnError`] for a malformed batch or a failed evaluation. A ratio gap is not an error here: its
    /// sample is in the result.
    pub fn false_samples(&mut self, batch: &[ScoredTrajectory]) -> Result<Vec<u32>, LearnError> {
        let batch = self.sorted_and_checked(batch)?;
        // Log-probabilities need no advantages.
        let (mut epoch, mini_batches) = self.begin_epoch(&batch, Vec::new());
        let size = self.config.micro_batch_size;
        let wanted = |pair: &Pair| epoch.lags[pair.trajectory] == 0;
        let found = proximal_log_probs(&mut self.lanes, &epoch, &mini_batches, size, wanted)?;
        epoch.proximal_log_probs = Some(found);
        let is_false = |pair: &&Pair| self.check_drift(&epoch, pair).is_err();
        let sample = |pair: &Pair| sample_of(&epoch, pair);
        let samples: BTreeSet<u32> =
            mini_batches.iter().flatten().filter(is_false).map(sample).collect();
        Ok(samples.into_iter().collect())
    }

    /// Checks that each step drawn with the current weights has almost no KL from the policy that sampled
    /// it. A large KL means that the sampler did not use the noise of the trajectory's key. `moved` holds
    /// the KL of each pair in nats; it is empty without
    /// [`TrustRegion::Kl`](crate::config::TrustRegion::Kl).
    pub(crate) fn check_noise(
        &self,
        epoch: &Epoch<'_>,
        pairs: &[Pair],
        moved: &[f32],
    ) -> Result<(), LearnError> {
        // Rounding moves a step by less; other noise moves it by about a nat per dimension.
        let limit = self.config.kl_limit.max(self.config.ratio_tolerance_nats);
        for (pair, &nats) in pairs.iter().zip(moved) {
            let nats = f64::from(nats);
            if epoch.lags[pair.trajectory] == 0 && exceeds(nats, limit) {
                let header = epoch.trajectories[pair.trajectory].header();
                let SampleCoordinates { run_seed, epoch, sample } = header.coordinates;
                let (step, timestep) = (pair.step, header.timesteps[pair.step]);
                let noise =
                    LearnError::Noise { epoch, sample, step, timestep, run_seed, nats, limit };
                return Err(noise);
            }
        }
        Ok(())
    }

    fn gap_in_nats(&self, epoch: &Epoch<'_>, pair: &Pair, nats: f64) -> LearnError {
        let header = epoch.trajectories[pair.trajectory].header();
        LearnError::GapInNats {
            epoch: header.coordinates.epoch,
            sample: header.coordinates.sample,
            step: pair.step,
            timestep: header.timesteps[pair.step],
            nats,
            tolerance: self.config.ratio_tolerance_nats,
            sampled: header.policy_version,
            learned: self.version,
        }
    }

    fn ratio_gap(&self, epoch: &Epoch<'_>, pair: &Pair, gap: f64) -> LearnError {
        let (header, step) = (epoch.trajectories[pair.trajectory].header(), pair.step);
        let (sampled, learned) = (header.policy_version, self.version);
        let (tolerance, timestep) = (self.config.ratio_tolerance, header.timesteps[step]);
        let fresh = epoch.lags[pair.trajectory] == 0;
        let SampleCoordinates { epoch, sample, .. } = header.coordinates;
        if fresh {
            LearnError::RatioGap { epoch, sample, step, timestep, gap, tolerance, sampled, learned }
        } else {
            LearnError::ProximalGap { epoch, step, timestep, gap, tolerance, learned }
        }
    }
}
