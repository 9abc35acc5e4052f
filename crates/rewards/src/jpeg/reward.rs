//! The two JPEG rewards, which encode a batch on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{RewardSpec, Task};
use ddpo_rollout::score::{Component, Score};

use crate::error::RewardError;
use crate::jpeg::encoder::{JpegEncoder, check_sides};
use crate::model::{RewardDescription, RewardModel};

const COMPONENT: &str = RewardSpec::JPEG_COMPONENT;

/// Pixels that justify another thread: about half a millisecond of encoding.
const PIXELS_A_THREAD: usize = 1 << 17;

/// Rewards the size as JPEG in kilobytes, or its negative.
pub struct JpegReward {
    task: Task,
    sign: f32,
    encoders: Vec<JpegEncoder>,
}

impl JpegReward {
    /// Opens the reward of `task`: minus the size for compressibility, the size for incompressibility.
    /// Uses `threads` threads, at least one.
    ///
    /// # Errors
    /// [`RewardError::Encoder`] if libjpeg-turbo cannot be set up.
    pub fn new(task: Task, threads: usize) -> Result<Self, RewardError> {
        let sign = if task == Task::JpegCompressibility { -1.0 } else { 1.0 };
        let encoders = (0..threads.max(1)).map(|_| JpegEncoder::new()).collect::<Result<_, _>>()?;
        Ok(Self { task, sign, encoders })
    }

    /// Returns the size of each image in bytes.
    fn sizes(&mut self, images: &[RgbImage]) -> Result<Vec<usize>, RewardError> {
        // Checked first, so that errors name the same image for any number of threads.
        for (index, image) in images.iter().enumerate() {
            check_sides(index, image)?;
        }
        let pixels: usize = images.iter().map(|image| image.width() * image.height()).sum();
        let workers = (pixels / PIXELS_A_THREAD).clamp(1, self.encoders.len());
        let queue = Queue { images, next: AtomicUsize::new(0) };
        // The calling thread works too, with the encoder `first`.
        let (first, others) = self.encoders[..workers].split_at_mut(1);
        let found = thread::scope(|scope| {
            let spawned: Vec<ScopedJoinHandle<'_, _>> = others
                .iter_mut()
                .map(|encoder| {
                    thread::Builder::new()
                        .name("jpeg-reward".to_owned())
                        .spawn_scoped(scope, || queue.work(encoder))
                        .map_err(RewardError::Thread)
                })
                .collect::<Result<_, _>>()?;
            let mut found = queue.work(&mut first[0])?;
            for handle in spawned {
                found.extend(handle.join().map_err(|_| RewardError::Lost)??);
            }
            Ok::<_, RewardError>(found)
        })?;
        let mut sizes = vec![0; images.len()];
        for (index, size) in found {
            sizes[index] = size;
        }
        Ok(sizes)
    }
}

/// Images that threads take one by one, so that other threads take over the share of a slow one.
struct Queue<'a> {
    images: &'a [RgbImage],
    next: AtomicUsize,
}

impl Queue<'_> {
    /// Encodes images until the queue is empty. Returns the index and the size in bytes of each.
    fn work(&self, encoder: &mut JpegEncoder) -> Result<Vec<(usize, usize)>, RewardError> {
        let mut found = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(image) = self.images.get(index) else { return Ok(found) };
            found.push((index, encoder.encode(index, image)?.len()));
        }
    }
}

impl RewardModel for JpegReward {
    fn describe(&self) -> RewardDescription {
        RewardDescription {
            name: self.task.name().to_owned(),
            unit: "kilobytes".to_owned(),
            components: vec![COMPONENT.to_owned()],
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let sizes = self.sizes(images)?;
        let score = |size: usize| {
            let kilobytes = (size as f64 / 1000.0) as f32;
            let component = Component { name: COMPONENT.to_owned(), value: kilobytes };
            Score { reward: self.sign * kilobytes, components: vec![component] }
        };
        Ok(sizes.into_iter().map(score).collect())
    }
}
