//! The images of one call. Free servers take batches, failed servers return them, and the call ends
//! when every image has a score.

use ddpo_delivery::reward::EncodedImage;
use ddpo_proto::limits::Limits;
use ddpo_rollout::score::Score;
use std::cell::RefCell;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// The queue of images to score. Used only on the client's thread.
pub(super) struct Work {
    images: Vec<EncodedImage>,
    /// Largest batch that still leaves every server a share.
    share: usize,
    state: RefCell<State>,
    changed: Notify,
}

struct State {
    waiting: VecDeque<usize>,
    scores: Vec<Option<Score>>,
    missing: usize,
}

impl Work {
    /// Queues all images, for `servers` servers.
    pub(super) fn new(images: Vec<EncodedImage>, servers: usize) -> Self {
        let count = images.len();
        let state =
            State { waiting: (0..count).collect(), scores: vec![None; count], missing: count };
        let share = count.div_ceil(servers.max(1)).max(1);
        Self { images, share, state: RefCell::new(state), changed: Notify::new() }
    }

    /// Waits until an image is queued or all images have scores. Returns whether one is queued.
    pub(super) async fn wanted(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state.borrow();
                if state.missing == 0 || !state.waiting.is_empty() {
                    return state.missing > 0;
                }
            }
            changed.await;
        }
    }

    /// Takes the next images: at most `max_batch`, and as many as fit into one request. Empty if other
    /// servers were faster.
    pub(super) fn take(&self, max_batch: usize, limits: &Limits) -> Vec<usize> {
        let mut state = self.state.borrow_mut();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(&next) = state.waiting.front()
            && taken.len() < max_batch.min(self.share)
        {
            bytes += self.images[next].bytes();
            if !taken.is_empty() && bytes > limits.max_score_request_bytes {
                break;
            }
            state.waiting.pop_front();
            taken.push(next);
        }
        taken
    }

    /// Returns the images of a batch.
    pub(super) fn images(&self, batch: &[usize]) -> Vec<EncodedImage> {
        batch.iter().map(|&index| self.images[index].clone()).collect()
    }

    /// Returns a batch to the queue.
    pub(super) fn put_back(&self, batch: &[usize]) {
        let mut state = self.state.borrow_mut();
        for &index in batch.iter().rev() {
            state.waiting.push_front(index);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Records the scores of a batch.
    pub(super) fn done(&self, batch: &[usize], scores: Vec<Score>) {
        let mut state = self.state.borrow_mut();
        for (&index, score) in batch.iter().zip(scores) {
            if state.scores[index].replace(score).is_none() {
                state.missing -= 1;
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until every image has a score.
    pub(super) async fn finished(&self) {
        loop {
            let changed = self.changed.notified();
            if self.state.borrow().missing == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Returns the scores in the order of the images, after [`finished`](Self::finished).
    pub(super) fn into_scores(self) -> Vec<Score> {
        self.state.into_inner().scores.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_rollout::image::RgbImage;

    fn work(sides: &[usize], servers: usize) -> Work {
        let limits = Limits::default();
        let image = |&side: &usize| RgbImage::new(side, side, vec![0; side * side * 3]).unwrap();
        let encoded = |side| EncodedImage::new(0, &image(side), &limits).unwrap();
        Work::new(sides.iter().map(encoded).collect(), servers)
    }

    #[test]
    fn limits_batches_by_share_and_request_size() {
        let limits = Limits::default();
        assert_eq!(work(&[8; 10], 1).take(4, &limits), [0, 1, 2, 3]);
        let shared = work(&[8; 10], 3);
        assert_eq!(shared.take(32, &limits), [0, 1, 2, 3]);
        assert_eq!(shared.take(32, &limits), [4, 5, 6, 7]);
        assert_eq!(shared.take(32, &limits), [8, 9]);
        assert_eq!(shared.take(32, &limits), [0_usize; 0]);
        // 1 MiB and 3 MiB exceed one request together; the last image needs a request for itself.
        let large = work(&[594, 1023, 1023, 1300, 8], 1);
        assert_eq!(large.take(32, &limits), [0]);
        assert_eq!(large.take(32, &limits), [1]);
        large.put_back(&[0, 1]);
        for expected in [0, 1, 2, 3, 4] {
            assert_eq!(large.take(32, &limits), [expected]);
        }
    }

    #[tokio::test]
    async fn finishes_when_all_images_have_scores() {
        let work = work(&[8; 2], 1);
        assert!(work.wanted().await);
        let batch = work.take(32, &Limits::default());
        work.done(&batch, vec![Score::plain(1.0), Score::plain(2.0)]);
        assert!(!work.wanted().await);
        work.finished().await;
        assert_eq!(work.into_scores(), [Score::plain(1.0), Score::plain(2.0)]);
    }
}
