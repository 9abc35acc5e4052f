//! Wrappers that raise libtorch's errors at a chosen call, to test services whose device fails. The rest of
//! the service is real.

use ddpo_rewards::{Image, RewardDescription, RewardError, RewardModel, Rewards};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WeightsId;
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::{Digest, SampleCoordinates, Trajectory, TrajectoryHeader};
use ddpo_run::metrics::EpochMetrics;
use ddpo_run::progress::Progress;
use ddpo_sampler::backend::{Backend, BackendError, ReceivedWeights};
use ddpo_sampler::engine::{Observer, Progress as Steps, Provenance};
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::TchError;

/// The denoising step at which a batch fails, after its first states have been sent.
const STEP: usize = 2;

/// An error of libtorch, from the environment: `FAULT_TEXT` is its text, `FAULT_CALL` the first call that
/// fails, counted from 1. A sticky error stays: every later call fails too. With `FAULT_REFUSALS` that many
/// calls end with an ordinary error, and later ones work.
#[derive(Debug)]
pub struct Fault {
    text: String,
    first: usize,
    refusals: Option<usize>,
    calls: AtomicUsize,
}

impl Fault {
    /// Reads the environment. Without `FAULT_CALL` no call fails.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let first = variable("FAULT_CALL").parse().unwrap_or(usize::MAX);
        let refusals = variable("FAULT_REFUSALS").parse().ok();
        Self { text: variable("FAULT_TEXT"), first, refusals, calls: AtomicUsize::new(0) }
    }

    /// Counts a call that may end with an ordinary error, and returns the error's text if it does.
    fn refusal(&self, refusals: usize) -> Option<&str> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        (self.first..self.first + refusals).contains(&call).then_some(&self.text)
    }

    /// Counts a call.
    ///
    /// # Panics
    /// From the chosen call on, as tch does.
    #[expect(clippy::unwrap_used, reason = "tch's operators unwrap the same error")]
    pub fn call(&self) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("{}\nException raised from frame #0: c10\nframe #1: at", self.text);
        let done = if calls < self.first { Ok(()) } else { Err(TchError::Torch(text)) };
        done.unwrap();
    }
}

/// A backend whose draws fail. Each batch counts as a call.
pub struct FaultyBackend {
    /// The real backend.
    pub inner: Box<dyn Backend>,
    /// The error.
    pub fault: Fault,
}

impl Backend for FaultyBackend {
    fn load(&mut self, weights: &ReceivedWeights) -> Result<(), BackendError> {
        self.inner.load(weights)
    }

    fn loaded(&self) -> Option<(WeightsId, Digest)> {
        self.inner.loaded()
    }

    fn header(
        &self,
        coordinates: SampleCoordinates,
        purpose: Purpose,
        provenance: Provenance,
    ) -> TrajectoryHeader {
        self.inner.header(coordinates, purpose, provenance)
    }

    fn generate(
        &mut self,
        samples: &[SampleCoordinates],
        purpose: Purpose,
        provenance: Provenance,
        observe: &Observer<'_>,
    ) -> Result<Vec<Trajectory>, BackendError> {
        if let Some(refusals) = self.fault.refusals {
            return match self.fault.refusal(refusals) {
                Some(text) => Err(BackendError::Run { run_id: "toy".into(), reason: text.into() }),
                None => self.inner.generate(samples, purpose, provenance, observe),
            };
        }
        let fault = &self.fault;
        let observe = |steps: Steps<'_>| {
            let fails = steps.step == STEP;
            observe(steps);
            if fails {
                fault.call();
            }
        };
        self.inner.generate(samples, purpose, provenance, &observe)
    }
}

/// Rewards that fail. Each batch counts as a call. Held-out rewards are ignored.
pub struct FaultyRewards {
    /// The real rewards.
    pub inner: Rewards,
    /// The error.
    pub fault: Fault,
}

impl RewardModel for FaultyRewards {
    fn describe(&self) -> RewardDescription {
        self.inner.describe()
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let images: Vec<Image> = images.iter().cloned().map(Image::Levels).collect();
        self.score_states(&images)
    }

    fn score_states(&mut self, images: &[Image]) -> Result<Vec<Score>, RewardError> {
        self.fault.call();
        self.inner.score(images, Purpose::Rollout)
    }
}

/// The progress of a run that fails. Each step of the stage `FAULT_STAGE` counts as a call: an optimizer
/// step of `training`, a batch of `sampling`.
pub struct FaultyProgress<'p> {
    inner: Box<dyn Progress + 'p>,
    stage: String,
    fault: Fault,
}

impl<'p> FaultyProgress<'p> {
    /// Reads the environment.
    #[must_use]
    pub fn new(inner: Box<dyn Progress + 'p>) -> Self {
        let stage = std::env::var("FAULT_STAGE").unwrap_or_default();
        Self { inner, stage, fault: Fault::from_environment() }
    }
}

impl Progress for FaultyProgress<'_> {
    fn at(&self, stage: &'static str, done: usize, total: usize) {
        if stage == self.stage {
            self.fault.call();
        }
        self.inner.at(stage, done, total);
    }

    fn say(&self, line: &str) {
        self.inner.say(line);
    }

    fn epoch(&self, metrics: &EpochMetrics) {
        self.inner.epoch(metrics);
    }

    fn aside(&self, line: &str) {
        self.inner.aside(line);
    }

    fn finish(&self) {
        self.inner.finish();
    }
}
