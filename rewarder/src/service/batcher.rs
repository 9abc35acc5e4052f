//! Dynamic batching: scores images together that arrive one by one from any sampler. The model has
//! a dedicated thread behind a bounded queue.

use ddpo_rewards::{Image, RewardError, Rewards};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::Score;
use ddpo_service::device::{DeviceFailure, DeviceWork};
use ddpo_service::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

/// The rewarder's work, as messages about device failures name it.
pub const WORK: DeviceWork = DeviceWork {
    name: "rewarder",
    less_memory: "free memory on the device, lower max_batch, or start a new run with \
                  reward_dtype = \"bf16\" at the learner",
};

/// Limits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatcherConfig {
    /// Largest number of images in a batch.
    pub max_batch: usize,
    /// How long the first image of a batch waits for others.
    pub max_wait: Duration,
    /// Largest number of images waiting for the model.
    pub queue: usize,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self { max_batch: 32, max_wait: Duration::from_millis(10), queue: 1024 }
    }
}

/// Errors from scoring an image.
#[derive(Debug, Error)]
pub enum ScoringError {
    /// The model refused the image, or its reward is not finite.
    #[error("rewarder: {0}")]
    Refused(RewardError),
    /// The model is temporarily unavailable; the image is not the cause.
    #[error("rewarder: {0}")]
    Unavailable(String),
    /// The queue is full.
    #[error("rewarder: the queue of {0} images is full")]
    Full(usize),
    /// The model's thread has ended.
    #[error("rewarder: the reward model has stopped")]
    Stopped,
    /// The model's device failed; its thread has ended.
    #[error("{0}")]
    Device(String),
}

struct Job {
    image: Image,
    purpose: Purpose,
    answer: oneshot::Sender<Result<Score, ScoringError>>,
}

/// Receives the failure that ended the model's thread; closed if the thread ended with its queue.
pub type ModelEnd = oneshot::Receiver<DeviceFailure>;

/// The queue before the model. Clones share it. The thread ends with the last clone, or when the
/// device fails.
#[derive(Clone)]
pub struct Batcher {
    queue: SyncSender<Job>,
    length: usize,
    waiting: Arc<AtomicUsize>,
}

impl Batcher {
    /// Starts the model's thread, which records times and sizes of its batches in `metrics`.
    /// Returns the queue and the receiver of the thread's end.
    ///
    /// # Errors
    /// [`RewardError::Thread`].
    pub fn start(
        rewards: Rewards,
        config: BatcherConfig,
        metrics: Metrics,
    ) -> Result<(Self, ModelEnd), RewardError> {
        let length = config.queue.max(1);
        let (queue, jobs) = sync_channel(length);
        let (end, ended) = oneshot::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let thread = ModelThread { rewards, config, metrics, waiting: Arc::clone(&waiting) };
        std::thread::Builder::new()
            .name("reward-model".into())
            .spawn(move || {
                if let Err(failure) = thread.serve(&jobs) {
                    // The caller may have ended.
                    let _ = end.send(failure);
                }
            })
            .map_err(RewardError::Thread)?;
        Ok((Self { queue, length, waiting }, ended))
    }

    /// Returns the number of images waiting for the model.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Scores one image, in a batch with others that arrive meanwhile for the same purpose.
    ///
    /// # Errors
    /// [`ScoringError`].
    pub async fn score(&self, image: Image, purpose: Purpose) -> Result<Score, ScoringError> {
        let (answer, score) = oneshot::channel();
        // Counted before sending: the model's thread may take the job immediately.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(Job { image, purpose, answer }).map_err(|refused| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => ScoringError::Full(self.length),
                TrySendError::Disconnected(_) => ScoringError::Stopped,
            }
        })?;
        score.await.map_err(|_| ScoringError::Stopped)?
    }
}

/// The state of the model's thread.
struct ModelThread {
    rewards: Rewards,
    config: BatcherConfig,
    metrics: Metrics,
    waiting: Arc<AtomicUsize>,
}

impl ModelThread {
    /// Scores until the queue is closed.
    ///
    /// # Errors
    /// The failure of the device, after it was sent to the jobs of the batch.
    fn serve(mut self, jobs: &Receiver<Job>) -> Result<(), DeviceFailure> {
        while let Ok(first) = jobs.recv() {
            let batch = fill(first, jobs, self.config);
            self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            // Held-out rewards score only evaluation images.
            let evaluated = |job: &Job| job.purpose == Purpose::Evaluation;
            let (evaluated, others): (Vec<Job>, Vec<Job>) = batch.into_iter().partition(evaluated);
            self.answer(evaluated, Purpose::Evaluation)?;
            self.answer(others, Purpose::Rollout)?;
        }
        Ok(())
    }

    fn answer(&mut self, jobs: Vec<Job>, purpose: Purpose) -> Result<(), DeviceFailure> {
        if jobs.is_empty() {
            return Ok(());
        }
        let (images, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.image, job.answer)).unzip();
        self.metrics.batch_samples.observe(["score"], images.len() as f64);
        let timer = self.metrics.stage_seconds.time(["score"]);
        let scores = WORK.catch(|| score(&mut self.rewards, &images, purpose)).flatten();
        drop(timer);
        let (scores, done) = match scores {
            Ok(scores) => (scores, Ok(())),
            Err(failure) => {
                let failed = images.iter().map(|_| Err(ScoringError::Device(failure.to_string())));
                (failed.collect(), Err(failure))
            }
        };
        for (answer, score) in answers.into_iter().zip(scores) {
            // The caller may have ended.
            let _ = answer.send(score);
        }
        done
    }
}

fn fill(first: Job, jobs: &Receiver<Job>, config: BatcherConfig) -> Vec<Job> {
    let deadline = Instant::now() + config.max_wait;
    let mut batch = vec![first];
    while batch.len() < config.max_batch {
        match jobs.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(job) => batch.push(job),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}

/// Returns one result per image: an image that fails does not fail the others.
///
/// # Errors
/// The failure of the device; then no image is scored.
fn score(
    rewards: &mut Rewards,
    images: &[Image],
    purpose: Purpose,
) -> Result<Vec<Result<Score, ScoringError>>, DeviceFailure> {
    let error = match rewards.score(images, purpose) {
        Ok(scores) => return Ok(scores.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    if let Some(failure) = error.device_failure(WORK) {
        return Err(failure);
    }
    if error.is_passing() {
        let unavailable = || Err(ScoringError::Unavailable(error.to_string()));
        return Ok(images.iter().map(|_| unavailable()).collect());
    }
    if images.len() == 1 {
        return Ok(vec![Err(ScoringError::Refused(error))]);
    }
    let each = images.chunks(1).map(|one| score(rewards, one, purpose));
    Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_rewards::external::server::error::ServerError;
    use ddpo_rewards::model::{RewardDescription, RewardModel};
    use ddpo_rollout::image::RgbImage;
    use std::sync::Mutex;

    /// Scores an image by its first level; fails with a value that is not finite for 13, and with
    /// an unavailable server for 14. Records the sizes of its batches.
    struct Levels(Arc<Mutex<Vec<usize>>>);

    impl RewardModel for Levels {
        fn describe(&self) -> RewardDescription {
            RewardDescription { name: "levels".into(), unit: "1".into(), components: Vec::new() }
        }

        fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
            self.0.lock().unwrap().push(images.len());
            if images.iter().any(|image| image.pixels()[0] == 14) {
                return Err(ServerError::CalledOff("nobody".into()).into());
            }
            let score = |image: &RgbImage| match image.pixels()[0] {
                13 => Score::plain(f32::NAN),
                level => Score::plain(f32::from(level)),
            };
            Ok(images.iter().map(score).collect())
        }
    }

    fn image(level: u8) -> Image {
        Image::Levels(RgbImage::new(1, 1, vec![level; 3]).unwrap())
    }

    fn batcher(max_batch: usize) -> (Batcher, Arc<Mutex<Vec<usize>>>) {
        let sizes = Arc::default();
        let config =
            BatcherConfig { max_batch, max_wait: Duration::from_secs(20), ..Default::default() };
        let rewards = Rewards::alone(Box::new(Levels(Arc::clone(&sizes))));
        (Batcher::start(rewards, config, Metrics::new().unwrap()).unwrap().0, sizes)
    }

    /// Panics like libtorch's bindings.
    struct Broken;

    impl RewardModel for Broken {
        fn describe(&self) -> RewardDescription {
            RewardDescription { name: "broken".into(), unit: "1".into(), components: Vec::new() }
        }

        fn score(&mut self, _: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
            panic!("Torch(\"CUDA error: device-side assert triggered\\nframe #0\")")
        }
    }

    #[tokio::test]
    async fn device_failure_answers_the_batch_and_ends_the_thread() {
        let (rewards, config) = (Rewards::alone(Box::new(Broken)), BatcherConfig::default());
        let started = Batcher::start(rewards, config, Metrics::new().unwrap());
        let (batcher, ended) = started.unwrap();
        let score = batcher.score(image(1), Purpose::Rollout).await;
        assert!(matches!(score, Err(ScoringError::Device(_))), "{score:?}");
        let failure = ended.await.unwrap().to_string();
        let start = "rewarder: fault of the GPU: device-side assert triggered; hint: ";
        assert!(failure.starts_with(start), "{failure}");
        let score = batcher.score(image(1), Purpose::Rollout).await;
        assert!(matches!(score, Err(ScoringError::Stopped)), "{score:?}");
    }

    #[tokio::test]
    async fn scores_images_that_arrive_together_in_one_batch() {
        let (batcher, sizes) = batcher(3);
        let score = |level| batcher.score(image(level), Purpose::Rollout);
        let (a, b, c) = tokio::join!(score(1), score(2), score(3));
        let rewards = [a, b, c].map(|score| score.unwrap().reward);
        assert_eq!((rewards, batcher.waiting()), ([1.0, 2.0, 3.0], 0));
        assert_eq!(*sizes.lock().unwrap(), [3]);
    }

    #[tokio::test]
    async fn non_finite_reward_fails_only_its_image() {
        let (batcher, _) = batcher(2);
        let score = |level| batcher.score(image(level), Purpose::Rollout);
        let (bad, good) = tokio::join!(score(13), score(5));
        assert!(matches!(bad, Err(ScoringError::Refused(RewardError::NotFinite { .. }))));
        assert_eq!(good.unwrap().reward, 5.0);
    }

    #[tokio::test]
    async fn unavailable_model_rejects_no_image_and_is_called_once_per_batch() {
        let (batcher, sizes) = batcher(2);
        let score = |level| batcher.score(image(level), Purpose::Rollout);
        let (one, other) = tokio::join!(score(14), score(5));
        for score in [one, other] {
            assert!(matches!(score, Err(ScoringError::Unavailable(_))), "{score:?}");
        }
        assert_eq!(*sizes.lock().unwrap(), [2]);
    }
}
