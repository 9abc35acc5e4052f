//! Records which samples are awaited and which have arrived, and decides on every trajectory. Each
//! sample of an awaited batch is accepted once, regardless of its sender.

use crate::service::facts::{RunFacts, same};
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
            state.batches.insert(awaited.key, Batch { awaited, received, missing: samples });
        }
    }

    /// Returns whether a batch is awaited, complete or not.
    pub fn expects(&self, key: BatchKey) -> bool {
        self.lock().batches.contains_key(&key)
    }

    /// Decides on a trajectory, and keeps it if its sample is awaited.
    pub fn offer(&self, offer: Offer) -> Decision {
        let mut state = self.lock();
        let decision = self.decide(&mut state, offer);
        match &decision {
            Decision::Accepted => state.counts.accepted += 1,
            Decision::Duplicate => state.counts.duplicate += 1,
            Decision::Stale(_) => state.counts.stale += 1,
            Decision::Invalid(_) => state.counts.invalid += 1,
        }
        drop(state);
        if decision == Decision::Accepted {
            self.complete.notify_all();
        }
        decision
    }

    /// Counts a trajectory that was rejected by its header.
    pub fn refuse(&self) {
        self.lock().counts.invalid += 1;
    }

    fn decide(&self, state: &mut State, offer: Offer) -> Decision {
        let header = offer.scored.trajectory.header();
        if let Err(reason) = self.fits_run(&offer, header) {
            return Decision::Invalid(reason);
        }
        let sample = header.coordinates.sample;
        let key = match header.purpose {
            Purpose::Rollout => BatchKey::Epoch(header.coordinates.epoch),
            Purpose::Evaluation => BatchKey::Evaluation(offer.weights),
            other => return Decision::Invalid(format!("expected a rollout, found {other:?}")),
        };
        let Some(batch) = state.batches.get_mut(&key) else { return state.past(key) };
        let awaited = batch.awaited;
        if let Err(decision) = fits_batch(&offer, header, &awaited) {
            return decision;
        }
        let Some(slot) = batch.received.get_mut(sample as usize) else {
            let samples = awaited.samples;
            return Decision::Invalid(format!("expected a sample below {samples}, found {sample}"));
        };
        if slot.is_some() {
            return Decision::Duplicate;
        }
        let names: Vec<String> =
            offer.scored.score.components.iter().map(|component| component.name.clone()).collect();
        match state.components.iter().find(|(purpose, _)| *purpose == header.purpose) {
            Some((_, expected)) if *expected != names => {
                let reason =
                    format!("components of a score: expected {expected:?}, found {names:?}");
                return Decision::Invalid(reason);
            }
            Some(_) => {}
            None => state.components.push((header.purpose, names)),
        }
        *slot = Some(offer.scored);
        batch.missing -= 1;
        Decision::Accepted
    }

    fn fits_run(&self, offer: &Offer, header: &TrajectoryHeader) -> Result<(), String> {
        self.run.check_header(&offer.run_id, header)?;
        same("reward", &self.reward, &offer.reward)?;
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

impl State {
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

fn fits_batch(offer: &Offer, header: &TrajectoryHeader, awaited: &Awaited) -> Result<(), Decision> {
    let (expected, found) = (awaited.weights, offer.weights);
    same("weights", &expected, &found).map_err(|reason| {
        if found.version < expected.version {
            Decision::Stale(reason)
        } else {
            Decision::Invalid(reason)
        }
    })?;
    same("policy version", &expected.version, &header.policy_version)
        .and_then(|()| same("weights digest", &awaited.weights_digest, &header.weights_digest))
        .and_then(|()| same("run seed", &awaited.run_seed, &header.coordinates.run_seed))
        .map_err(Decision::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::facts::ChainFacts;
    use bytes::Bytes;
    use ddpo_rollout::chain::{Chain, NeededStates};
    use ddpo_rollout::dtype::Dtype;
    use ddpo_rollout::order::Track;
    use ddpo_rollout::reward::RewardSpec;
    use ddpo_rollout::score::{Component, Score};
    use ddpo_rollout::trajectory::{PolicyVersion, SampleCoordinates, Trajectory};
    use ddpo_rollout::trajectory::{StateDtype, StateShape};

    const SHAPE: StateShape = StateShape { channels: 1, height: 1, width: 1 };

    fn reward() -> RewardSpec {
        RewardSpec::plain("torchscript:smile.pt".parse().unwrap())
    }

    fn ledger() -> Ledger {
        let chain = Chain {
            timesteps: [9].into(),
            random_steps: [].into(),
            digest: Digest([1; 32]),
            window: None,
            needed: NeededStates::Image,
        };
        let run = RunFacts {
            run_id: "run".into(),
            reward: reward(),
            dtype: StateDtype::F32,
            shape: Some(SHAPE),
            chain: ChainFacts::Known(chain),
        };
        Ledger::new(run, 3)
    }

    fn version(number: u64) -> WeightsId {
        WeightsId { version: PolicyVersion(number), track: Track::Policy }
    }

    fn awaited(samples: u32) -> Awaited {
        Awaited {
            key: BatchKey::Epoch(3),
            run_seed: 7,
            samples,
            weights: version(3),
            weights_digest: Digest([2; 32]),
        }
    }

    fn offer(sample: u32, change: impl FnOnce(&mut TrajectoryHeader)) -> Offer {
        let mut header = TrajectoryHeader {
            coordinates: SampleCoordinates { run_seed: 7, epoch: 3, sample },
            purpose: Purpose::Rollout,
            policy_version: PolicyVersion(3),
            weights_digest: Digest([2; 32]),
            scheduler_digest: Digest([1; 32]),
            dtype: StateDtype::F32,
            shape: SHAPE,
            timesteps: [9].into(),
            random_steps: [].into(),
            kept_states: [1].into(),
        };
        change(&mut header);
        let weights = version(header.policy_version.0);
        let states = vec![Bytes::from_static(&[0; 4]); header.kept_states.len()];
        let log_probs = vec![0.0; header.random_steps.len()];
        let trajectory = Trajectory::new(header, states, log_probs).unwrap();
        let scored = ScoredTrajectory { trajectory, score: Score::plain(sample as f32) };
        Offer { run_id: "run".into(), weights, reward: reward().id(), scored }
    }

    #[test]
    fn accepts_each_sample_once_and_returns_samples_in_order() {
        let ledger = ledger();
        ledger.expect(awaited(3));
        for sample in [2, 0] {
            assert_eq!(ledger.offer(offer(sample, |_| {})), Decision::Accepted);
        }
        assert_eq!(ledger.offer(offer(2, |_| {})), Decision::Duplicate);
        assert_eq!(ledger.missing(BatchKey::Epoch(3)), [1]);
        assert_eq!((ledger.awaited(), ledger.held()), (1, 2));
        assert!(ledger.take(BatchKey::Epoch(3)).is_none());
        assert!(!ledger.wait(BatchKey::Epoch(3), Duration::ZERO));
        assert_eq!(ledger.offer(offer(1, |_| {})), Decision::Accepted);
        assert!(ledger.wait(BatchKey::Epoch(3), Duration::ZERO));
        let batch = ledger.take(BatchKey::Epoch(3)).unwrap();
        let rewards: Vec<f32> = batch.iter().map(|one| one.score.reward).collect();
        assert_eq!(rewards, [0.0, 1.0, 2.0]);
        assert_eq!(ledger.offer(offer(1, |_| {})), Decision::Duplicate);
        let counts = ledger.counts();
        assert_eq!((counts.accepted, counts.duplicate), (3, 2));
    }

    #[test]
    fn rejects_trajectories_that_do_not_match_the_order() {
        let ledger = ledger();
        ledger.expect(awaited(2));
        let invalid = |offer: Offer| match ledger.offer(offer) {
            Decision::Invalid(reason) => reason,
            other => panic!("{other:?}"),
        };
        let other_run = Offer { run_id: "walk".into(), ..offer(0, |_| {}) };
        assert_eq!(invalid(other_run), "run: expected run, found walk");
        let other = RewardSpec { dtype: Dtype::Bf16, ..reward() };
        let (expected, found) = (reward().id(), other.id());
        let other_reward = Offer { reward: other.id(), ..offer(0, |_| {}) };
        assert_eq!(invalid(other_reward), format!("reward: expected {expected}, found {found}"));
        let mut invented = offer(0, |_| {});
        invented.scored.score.components =
            vec![Component { name: "invented".into(), value: 1.0 }; 200];
        assert!(invalid(invented).contains("expected 0, found 200; \"invented\""));
        let shifted = offer(0, |header| header.timesteps = [8].into());
        assert_eq!(invalid(shifted), "timesteps: expected [9], found [8]");
        let random = offer(0, |header| header.random_steps = [0].into());
        assert_eq!(invalid(random), "random steps: expected [], found [0]");
        let kept = offer(0, |header| header.kept_states = [0, 1].into());
        assert_eq!(invalid(kept), "kept states: expected [1], found [0, 1]");
        let digest = offer(0, |header| header.weights_digest = Digest([3; 32]));
        assert!(invalid(digest).starts_with("weights digest: expected 0202"));
        let scheduler = offer(0, |header| header.scheduler_digest = Digest([3; 32]));
        assert!(invalid(scheduler).starts_with("scheduler digest: expected 0101"));
        let seed = offer(0, |header| header.coordinates.run_seed = 8);
        assert_eq!(invalid(seed), "run seed: expected 7, found 8");
        assert_eq!(invalid(offer(2, |_| {})), "expected a sample below 2, found 2");
        assert_eq!(
            invalid(offer(0, |header| header.policy_version = PolicyVersion(4))),
            "weights: expected v3, found v4"
        );
        assert_eq!(ledger.counts().accepted, 0);
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn early_and_late_samples_are_stale_and_trained_ones_are_duplicates() {
        let ledger = ledger();
        ledger.expect(awaited(2));
        let old = offer(0, |header| header.policy_version = PolicyVersion(2));
        assert!(matches!(ledger.offer(old), Decision::Stale(_)));
        let early = offer(0, |header| header.coordinates.epoch = 4);
        assert!(matches!(ledger.offer(early), Decision::Stale(_)));
        let trained = offer(0, |header| header.coordinates.epoch = 2);
        assert_eq!(ledger.offer(trained), Decision::Duplicate);
    }

    #[test]
    fn wait_returns_when_another_thread_completes_the_batch() {
        let ledger = ledger();
        ledger.expect(awaited(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ledger.wait(BatchKey::Epoch(3), Duration::from_secs(20)));
            assert_eq!(ledger.offer(offer(0, |_| {})), Decision::Accepted);
            assert!(waiting.join().unwrap());
        });
    }
}
