//! Records which samples are awaited and which have arrived, and decides on every trajectory. Each
//! sample of an awaited batch is accepted once, regardless of its sender.

use crate::service::facts::RunFacts;
use ddpo_rollout::facts::same;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::reward::RewardId;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{Digest, TrajectoryHeader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Names a batch: all samples of an epoch, or of an evaluation of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BatchKey {
    /// The rollouts of an epoch.
    Epoch(u32),
    /// The evaluation of some weights.
    Evaluation(WeightsId),
}

impl BatchKey {
    /// Returns the epoch of the coordinates of the batch's samples: 0 for an evaluation.
    pub fn epoch(self) -> u32 {
        match self {
            Self::Epoch(epoch) => epoch,
            Self::Evaluation(_) => 0,
        }
    }
}

/// A batch that the learner waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Names the batch.
    pub key: BatchKey,
    /// Seed of the noise.
    pub run_seed: u64,
    /// Number of samples, counted from 0.
    pub samples: u32,
    /// The weights to draw with.
    pub weights: WeightsId,
    /// Digest of the weights.
    pub weights_digest: Digest,
}

/// A trajectory offered to the ledger.
#[derive(Debug)]
pub struct Offer {
    /// The run that the trajectory names.
    pub run_id: String,
    /// The weights that the trajectory names.
    pub weights: WeightsId,
    /// The reward that the trajectory was scored with.
    pub reward: RewardId,
    /// The trajectory and its score.
    pub scored: ScoredTrajectory,
}

/// The decision on an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The trajectory is kept.
    Accepted,
    /// The sample has arrived before.
    Duplicate,
    /// The batch is not awaited, or the weights are too old.
    Stale(String),
    /// The trajectory does not match its order.
    Invalid(String),
}

/// The number of decisions of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted.
    pub accepted: u64,
    /// Arrived before.
    pub duplicate: u64,
    /// Not awaited.
    pub stale: u64,
    /// Not matching the order.
    pub invalid: u64,
}

/// The ledger, shared by the streams and the thread that trains.
#[derive(Debug)]
pub struct Ledger {
    run: RunFacts,
    /// The id of the run's reward, which every score must carry.
    reward: RewardId,
    state: Mutex<State>,
    complete: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: BTreeMap<BatchKey, Batch>,
    /// The first epoch that has not been trained.
    next_epoch: u32,
    evaluated: BTreeSet<WeightsId>,
    /// Component names of the first accepted score of each purpose. A reward server chooses them
    /// once.
    components: Vec<(Purpose, Vec<String>)>,
    counts: Counts,
}

#[derive(Debug)]
struct Batch {
    awaited: Awaited,
    received: Vec<Option<ScoredTrajectory>>,
    missing: usize,
}

impl Ledger {
    /// Creates an empty ledger for a run whose epochs below `next_epoch` have been trained.
    pub fn new(run: RunFacts, next_epoch: u32) -> Self {
        let state = State { next_epoch, ..State::default() };
        let reward = run.reward.id();
        Self { run, reward, state: Mutex::new(state), complete: Condvar::new() }
    }

    /// Returns the facts of the run.
    pub fn run(&self) -> &RunFacts {
        &self.run
    }

    /// Waits for a batch from now on. A batch that is already awaited with the same weights is
    /// unchanged.
    pub fn expect(&self, awaited: Awaited) {
        let mut state = self.lock();
        let known = state.batches.get(&awaited.key).is_some_and(|batch| batch.awaited == awaited);
        if !known {
            let samples = awaited.samples as usize;
            let received = (0..samples).map(|_| None).collect();
            state.batches.insert(awaited.key, Batch::new(awaited, received));
        }
    }

    /// Waits for some samples of a batch again after it was taken. `scored` are all its trajectories, ordered
    /// by sample; those of `samples` are dropped.
    pub fn expect_again(&self, awaited: Awaited, scored: Vec<ScoredTrajectory>, samples: &[u32]) {
        let mut received: Vec<Option<ScoredTrajectory>> = scored.into_iter().map(Some).collect();
        for sample in samples {
            if let Some(slot) = received.get_mut(*sample as usize) {
                *slot = None;
            }
        }
        self.lock().batches.insert(awaited.key, Batch::new(awaited, received));
    }

    /// Returns whether a batch is awaited, complete or not.
    pub fn expects(&self, key: BatchKey) -> bool {
        self.lock().batches.contains_key(&key)
    }

    /// Decides on a trajectory by its header, before any of its states has arrived: its run and its
    /// form, and whether its sample is awaited with these weights.
    ///
    /// # Errors
    /// The decision on a trajectory that [`Ledger::offer`] would not accept.
    pub fn admit(
        &self,
        run_id: &str,
        weights: WeightsId,
        header: &TrajectoryHeader,
    ) -> Result<(), Decision> {
        let mut state = self.lock();
        let fits = self.run.trajectories.check(run_id, header);
        let fits = fits.map_err(|misfit| Decision::Invalid(misfit.to_string()));
        let admitted = fits.and_then(|()| state.place(weights, header).map(|_| ()));
        admitted.inspect_err(|decision| state.counts.note(decision))
    }

    /// Decides on a complete trajectory, and keeps it if its sample is awaited.
    pub fn offer(&self, offer: Offer) -> Decision {
        let mut state = self.lock();
        let decision = self.decide(&mut state, offer);
        state.counts.note(&decision);
        drop(state);
        if decision == Decision::Accepted {
            self.complete.notify_all();
        }
        decision
    }

    fn decide(&self, state: &mut State, offer: Offer) -> Decision {
        let header = offer.scored.trajectory.header();
        if let Err(reason) = self.fits_run(&offer, header) {
            return Decision::Invalid(reason);
        }
        let (key, sample) = match state.place(offer.weights, header) {
            Ok(place) => place,
            Err(decision) => return decision,
        };
        if let Err(reason) = state.fits_first_score(header.purpose, &offer) {
            return Decision::Invalid(reason);
        }
        let Some(batch) = state.batches.get_mut(&key) else { return state.past(key) };
        batch.received[sample] = Some(offer.scored);
        batch.missing -= 1;
        Decision::Accepted
    }

    fn fits_run(&self, offer: &Offer, header: &TrajectoryHeader) -> Result<(), String> {
        let fits = self.run.trajectories.check(&offer.run_id, header);
        fits.and_then(|()| same("reward", &self.reward, &offer.reward))
            .map_err(|misfit| misfit.to_string())?;
        self.run.check_score(header.purpose, &offer.scored.score)
    }

    /// Waits until a batch is complete, for at most `patience`.
    pub fn wait(&self, key: BatchKey, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if state.batches.get(&key).is_some_and(|batch| batch.missing == 0) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.complete.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns the samples of a batch that have not arrived.
    pub fn missing(&self, key: BatchKey) -> Vec<u32> {
        let state = self.lock();
        let Some(batch) = state.batches.get(&key) else { return Vec::new() };
        let open = batch.received.iter().enumerate().filter(|(_, slot)| slot.is_none());
        open.map(|(index, _)| index as u32).collect()
    }

    /// Takes a complete batch, ordered by sample; `None` if it is not complete. Its samples are
    /// duplicates from now on.
    pub fn take(&self, key: BatchKey) -> Option<Vec<ScoredTrajectory>> {
        let mut state = self.lock();
        if state.batches.get(&key).is_none_or(|batch| batch.missing > 0) {
            return None;
        }
        let batch = state.batches.remove(&key)?;
        match key {
            BatchKey::Epoch(epoch) => state.next_epoch = state.next_epoch.max(epoch + 1),
            BatchKey::Evaluation(weights) => _ = state.evaluated.insert(weights),
        }
        Some(batch.received.into_iter().flatten().collect())
    }

    /// Returns the number of awaited samples that have not arrived.
    pub fn awaited(&self) -> usize {
        self.lock().batches.values().map(|batch| batch.missing).sum()
    }

    /// Returns the number of trajectories that have arrived and are not taken yet.
    pub fn held(&self) -> usize {
        let state = self.lock();
        state.batches.values().map(|batch| batch.received.len() - batch.missing).sum()
    }

    /// Returns the number of decisions of each kind.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so a poisoned state is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn new(awaited: Awaited, received: Vec<Option<ScoredTrajectory>>) -> Self {
        let missing = received.iter().filter(|slot| slot.is_none()).count();
        Self { awaited, received, missing }
    }
}

impl Counts {
    fn note(&mut self, decision: &Decision) {
        match decision {
            Decision::Accepted => self.accepted += 1,
            Decision::Duplicate => self.duplicate += 1,
            Decision::Stale(_) => self.stale += 1,
            Decision::Invalid(_) => self.invalid += 1,
        }
    }
}

impl State {
    /// Returns the batch that awaits a trajectory, and the index of its sample.
    ///
    /// # Errors
    /// The decision on a trajectory that no batch awaits.
    fn place(
        &self,
        weights: WeightsId,
        header: &TrajectoryHeader,
    ) -> Result<(BatchKey, usize), Decision> {
        let key = match header.purpose {
            Purpose::Evaluation => BatchKey::Evaluation(weights),
            _ => BatchKey::Epoch(header.coordinates.epoch),
        };
        let Some(batch) = self.batches.get(&key) else { return Err(self.past(key)) };
        fits_batch(weights, header, &batch.awaited)?;
        let sample = header.coordinates.sample;
        match batch.received.get(sample as usize) {
            Some(None) => Ok((key, sample as usize)),
            Some(Some(_)) => Err(Decision::Duplicate),
            None => {
                let samples = batch.awaited.samples;
                let reason = format!("expected a sample below {samples}, found {sample}");
                Err(Decision::Invalid(reason))
            }
        }
    }

    /// Checks that a score has the components of the first accepted one of its purpose, or takes it as
    /// the first.
    fn fits_first_score(&mut self, purpose: Purpose, offer: &Offer) -> Result<(), String> {
        let components = offer.scored.score.components.iter();
        let names: Vec<String> = components.map(|component| component.name.clone()).collect();
        match self.components.iter().find(|(of, _)| *of == purpose) {
            Some((_, expected)) if *expected != names => {
                Err(format!("components of a score: expected {expected:?}, found {names:?}"))
            }
            Some(_) => Ok(()),
            None => {
                self.components.push((purpose, names));
                Ok(())
            }
        }
    }

    /// Decides on a trajectory whose batch is not awaited.
    fn past(&self, key: BatchKey) -> Decision {
        let had = match key {
            BatchKey::Epoch(epoch) => epoch < self.next_epoch,
            BatchKey::Evaluation(weights) => self.evaluated.contains(&weights),
        };
        match had {
            true => Decision::Duplicate,
            false => Decision::Stale("nobody waits for its batch".to_owned()),
        }
    }
}

fn fits_batch(
    found: WeightsId,
    header: &TrajectoryHeader,
    awaited: &Awaited,
) -> Result<(), Decision> {
    let expected = awaited.weights;
    same("weights", &expected, &found).map_err(|misfit| {
        if found.version < expected.version {
            Decision::Stale(misfit.to_string())
        } else {
            Decision::Invalid(misfit.to_string())
        }
    })?;
    same("policy version", &expected.version, &header.policy_version)
        .and_then(|()| same("weights digest", &awaited.weights_digest, &header.weights_digest))
        .and_then(|()| same("run seed", &awaited.run_seed, &header.coordinates.run_seed))
        .and_then(|()| same("epoch", &awaited.key.epoch(), &header.coordinates.epoch))
        .map_err(|misfit| Decision::Invalid(misfit.to_string()))
}

#[cfg(test)]
mod tests;
