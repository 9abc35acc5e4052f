//! Dynamic batching: images that arrive one by one, from any sampler, are scored together. The model
//! lives on a thread of its own; the queue before it is bounded.

use crate::error::RewardError;
use crate::model::{RewardModel, check};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::Score;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

/// When a batch is full, or has waited long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatcherConfig {
    /// Images in a batch at most.
    pub max_batch: usize,
    /// How long the first image of a batch waits for others.
    pub max_wait: Duration,
    /// Images that may wait for the model.
    pub queue: usize,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self { max_batch: 32, max_wait: Duration::from_millis(10), queue: 1024 }
    }
}

/// Why an image has no score.
#[derive(Debug, Error)]
pub enum ScoringError {
    /// The model refused the image, or gave a reward that is no number.
    #[error("rewarder: {0}")]
    Refused(RewardError),
    /// The queue is full.
    #[error("rewarder: the queue of {0} images is full")]
    Full(usize),
    /// The model's thread has ended.
    #[error("rewarder: the reward model has stopped")]
    Stopped,
}

struct Job {
    image: RgbImage,
    answer: oneshot::Sender<Result<Score, ScoringError>>,
}

/// The queue before the model. Clones share it; the thread ends with the last of them.
#[derive(Clone)]
pub struct Batcher {
    queue: SyncSender<Job>,
    length: usize,
}

impl Batcher {
    /// Starts the model's thread.
    ///
    /// # Errors
    /// [`RewardError::Thread`].
    pub fn start(model: Box<dyn RewardModel>, config: BatcherConfig) -> Result<Self, RewardError> {
        let length = config.queue.max(1);
        let (queue, jobs) = sync_channel(length);
        std::thread::Builder::new()
            .name("reward-model".into())
            .spawn(move || serve(model, &jobs, config))
            .map_err(RewardError::Thread)?;
        Ok(Self { queue, length })
    }

    /// Scores one image, together with others that arrive meanwhile.
    ///
    /// # Errors
    /// [`ScoringError`].
    pub async fn score(&self, image: RgbImage) -> Result<Score, ScoringError> {
        let (answer, score) = oneshot::channel();
        self.queue.try_send(Job { image, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => ScoringError::Full(self.length),
            TrySendError::Disconnected(_) => ScoringError::Stopped,
        })?;
        score.await.map_err(|_| ScoringError::Stopped)?
    }
}

fn serve(mut model: Box<dyn RewardModel>, jobs: &Receiver<Job>, config: BatcherConfig) {
    while let Ok(first) = jobs.recv() {
        let batch = fill(first, jobs, config);
        let (images, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.image, job.answer)).unzip();
        for (answer, score) in answers.into_iter().zip(score(model.as_mut(), &images)) {
            // Whoever asked may be gone.
            let _ = answer.send(score.map_err(ScoringError::Refused));
        }
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

/// One result for each image: an image that cannot be scored does not take the others with it.
fn score(model: &mut dyn RewardModel, images: &[RgbImage]) -> Vec<Result<Score, RewardError>> {
    let together = model.score(images).and_then(|scores| check(images, &scores).map(|()| scores));
    match together {
        Ok(scores) => scores.into_iter().map(Ok).collect(),
        Err(error) if images.len() == 1 => vec![Err(error)],
        Err(_) => images.chunks(1).flat_map(|one| score(model, one)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RewardDescription;
    use std::sync::{Arc, Mutex};

    /// Scores an image by its first level; 13 is no number. Notes the sizes of its batches.
    struct Levels(Arc<Mutex<Vec<usize>>>);

    impl RewardModel for Levels {
        fn describe(&self) -> RewardDescription {
            RewardDescription { name: "levels".into(), unit: "1".into(), components: Vec::new() }
        }

        fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
            self.0.lock().unwrap().push(images.len());
            let score = |image: &RgbImage| match image.pixels()[0] {
                13 => Score::plain(f32::NAN),
                level => Score::plain(f32::from(level)),
            };
            Ok(images.iter().map(score).collect())
        }
    }

    fn image(level: u8) -> RgbImage {
        RgbImage::new(1, 1, vec![level; 3]).unwrap()
    }

    fn batcher(max_batch: usize) -> (Batcher, Arc<Mutex<Vec<usize>>>) {
        let sizes = Arc::default();
        let config =
            BatcherConfig { max_batch, max_wait: Duration::from_secs(20), ..Default::default() };
        (Batcher::start(Box::new(Levels(Arc::clone(&sizes))), config).unwrap(), sizes)
    }

    #[tokio::test]
    async fn images_that_arrive_together_are_scored_together() {
        let (batcher, sizes) = batcher(3);
        let (a, b, c) =
            tokio::join!(batcher.score(image(1)), batcher.score(image(2)), batcher.score(image(3)));
        let rewards = [a, b, c].map(|score| score.unwrap().reward);
        assert_eq!(rewards, [1.0, 2.0, 3.0]);
        assert_eq!(*sizes.lock().unwrap(), [3]);
    }

    #[tokio::test]
    async fn a_reward_that_is_no_number_is_the_error_of_its_image_alone() {
        let (batcher, _) = batcher(2);
        let (bad, good) = tokio::join!(batcher.score(image(13)), batcher.score(image(5)));
        assert!(matches!(bad, Err(ScoringError::Refused(RewardError::NotFinite { .. }))));
        assert_eq!(good.unwrap().reward, 5.0);
    }
}
