//! The trajectories of a process, and notifications of their changes.

use crate::clock::now_unix_ms;
use crate::record::{Record, Stage};
use bytes::Bytes;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::Score;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Limits of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardLimits {
    /// Finished trajectories that stay listed.
    pub finished: usize,
    /// Finished trajectories that keep their latest state for an image.
    pub pictures: usize,
    /// Changes queued for a watcher; a watcher that falls further behind is disconnected.
    pub news: usize,
}

impl Default for BoardLimits {
    fn default() -> Self {
        Self { finished: 512, pictures: 32, news: 1024 }
    }
}

/// The live trajectories of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Board {
    limits: BoardLimits,
    shelves: Arc<Mutex<Shelves>>,
    news: broadcast::Sender<Arc<Record>>,
}

#[derive(Debug, Default)]
struct Shelves {
    records: HashMap<Arc<str>, Record>,
    /// Ids of finished trajectories, the oldest first.
    finished: VecDeque<Arc<str>>,
}

impl Board {
    /// Creates an empty board.
    pub fn new(limits: BoardLimits) -> Self {
        let (news, _) = broadcast::channel(limits.news.max(1));
        Self { limits, shelves: Arc::default(), news }
    }

    /// Adds a trajectory, or restarts it.
    pub fn open(&self, record: Record) {
        let news = {
            let mut shelves = self.lock();
            let id = Arc::clone(&record.trajectory_id);
            shelves.finished.retain(|known| *known != id);
            shelves.records.insert(id, record.clone());
            record
        };
        self.tell(news);
    }

    /// Records a state after `step` steps.
    pub fn state(&self, trajectory_id: &str, step: usize, state: Bytes) {
        self.change(trajectory_id, |record| {
            record.steps_done = step;
            record.state = Some(state);
        });
    }

    /// Records that all states have arrived.
    pub fn complete(&self, trajectory_id: &str, log_probs: &[f32]) {
        self.change(trajectory_id, |record| {
            record.stage = Stage::Complete;
            record.log_probs = log_probs.to_vec();
        });
    }

    /// Records a score.
    pub fn scored(&self, trajectory_id: &str, score: &Score) {
        self.change(trajectory_id, |record| {
            record.stage = Stage::Scored;
            record.score = Some(score.clone());
        });
    }

    /// Records that the learner has accepted the trajectory.
    pub fn accepted(&self, trajectory_id: &str) {
        self.change(trajectory_id, |record| record.stage = Stage::Accepted);
    }

    /// Records that an update has used the trajectory.
    pub fn trained(&self, trajectory_id: &str) {
        self.change(trajectory_id, |record| record.stage = Stage::Trained);
    }

    /// Records that updates have used the accepted rollouts of all epochs before `epoch`.
    pub fn trained_before(&self, epoch: u32) {
        let done = |record: &&Record| {
            let accepted = record.stage == Stage::Accepted;
            accepted && record.purpose == Purpose::Rollout && record.epoch < epoch
        };
        let ids: Vec<_> = {
            let shelves = self.lock();
            shelves
                .records
                .values()
                .filter(done)
                .map(|one| Arc::clone(&one.trajectory_id))
                .collect()
        };
        ids.iter().for_each(|id| self.trained(id));
    }

    /// Records that the trajectory was rejected or abandoned.
    pub fn rejected(&self, trajectory_id: &str, reason: &str) {
        self.change(trajectory_id, |record| {
            record.stage = Stage::Rejected;
            reason.clone_into(&mut record.reason);
        });
    }

    /// Returns at most `limit` records, the latest change first.
    pub fn list(&self, limit: usize) -> Vec<Record> {
        let mut records: Vec<Record> = self.lock().records.values().cloned().collect();
        records.sort_by(|a, b| {
            let order = |record: &Record| (record.updated_unix_ms, record.epoch, record.sample);
            order(b).cmp(&order(a))
        });
        records.truncate(limit);
        records
    }

    /// Returns one record.
    pub fn get(&self, trajectory_id: &str) -> Option<Record> {
        self.lock().records.get(trajectory_id).cloned()
    }

    /// Returns the number of unfinished trajectories.
    pub fn in_flight(&self) -> usize {
        let shelves = self.lock();
        shelves.records.len() - shelves.finished.len()
    }

    /// Returns a receiver of all changes from now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Record>> {
        self.news.subscribe()
    }

    fn change(&self, trajectory_id: &str, change: impl FnOnce(&mut Record)) {
        let news = {
            let mut shelves = self.lock();
            let Some(record) = shelves.records.get_mut(trajectory_id) else { return };
            let ended = record.stage.is_final();
            change(record);
            record.updated_unix_ms = now_unix_ms();
            let news = record.clone();
            if news.stage.is_final() && !ended {
                shelves.retire(Arc::clone(&news.trajectory_id), self.limits);
            }
            news
        };
        self.tell(news);
    }

    fn tell(&self, record: Record) {
        if self.news.receiver_count() > 0 {
            // An error means that the last watcher has just left.
            let _ = self.news.send(Arc::new(record));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        // A panic under the lock may leave one record half changed, which is only displayed.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn retire(&mut self, id: Arc<str>, limits: BoardLimits) {
        self.finished.push_back(id);
        let kept = self.finished.len().saturating_sub(limits.pictures);
        if let Some(old) = kept.checked_sub(1).and_then(|last| self.finished.get(last))
            && let Some(record) = self.records.get_mut(old)
        {
            record.state = None;
        }
        while self.finished.len() > limits.finished {
            if let Some(old) = self.finished.pop_front() {
                self.records.remove(&old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_rollout::trajectory::{StateDtype, StateShape};

    fn record(sample: u32) -> Record {
        Record {
            trajectory_id: format!("t{sample}").into(),
            run_id: "run".into(),
            worker_id: "worker".into(),
            purpose: Purpose::Rollout,
            epoch: 0,
            sample,
            policy_version: 0,
            timesteps: [999, 499].into(),
            dtype: StateDtype::F32,
            shape: StateShape { channels: 1, height: 1, width: 1 },
            stage: Stage::Growing,
            steps_done: 0,
            state: None,
            log_probs: Vec::new(),
            score: None,
            reason: String::new(),
            updated_unix_ms: 0,
        }
    }

    #[test]
    fn board_keeps_its_limits() {
        let board = Board::new(BoardLimits { finished: 3, pictures: 1, news: 4 });
        for sample in 0..10 {
            board.open(record(sample));
            board.state(&format!("t{sample}"), 1, Bytes::from_static(&[0; 4]));
            board.accepted(&format!("t{sample}"));
        }
        assert_eq!(board.list(100).len(), 3);
        assert_eq!(board.in_flight(), 0);
        let pictures = board.list(100).iter().filter(|record| record.state.is_some()).count();
        assert_eq!(pictures, 1);
        assert!(board.get("t0").is_none());
        assert!(board.get("t9").is_some_and(|record| record.state.is_some()));
    }

    #[test]
    fn resent_trajectory_is_unfinished_again() {
        let board = Board::new(BoardLimits::default());
        board.open(record(1));
        board.rejected("t1", "cut off");
        assert_eq!(board.in_flight(), 0);
        board.open(record(1));
        assert_eq!(board.in_flight(), 1);
        board.accepted("t1");
        board.trained("t1");
        assert_eq!((board.in_flight(), board.list(9).len()), (0, 1));
    }

    #[tokio::test]
    async fn watcher_gets_every_change_or_a_lag_error() {
        let board = Board::new(BoardLimits { news: 2, ..BoardLimits::default() });
        let mut watcher = board.watch();
        board.open(record(1));
        board.state("t1", 1, Bytes::new());
        let first = watcher.recv().await.map(|record| record.steps_done);
        let second = watcher.recv().await.map(|record| record.steps_done);
        assert_eq!((first, second), (Ok(0), Ok(1)));
        (0..5).for_each(|_| board.accepted("t1"));
        assert!(matches!(watcher.recv().await, Err(broadcast::error::RecvError::Lagged(_))));
    }
}
