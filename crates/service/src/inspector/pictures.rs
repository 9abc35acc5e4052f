//! Limits the rate of images for a watcher. Images are the most expensive part of a watch, and
//! small models produce hundreds of states per second. Each watcher therefore has an allowance, and
//! only new states get images.

use ddpo_inspector::record::{Record, Stage};
use std::time::Instant;

/// Images per second for one watcher, and in a burst after a pause.
const PER_SECOND: f64 = 48.0;

/// The image allowance of one watcher.
#[derive(Debug)]
pub struct Pictures {
    side: usize,
    left: f64,
    counted: Instant,
}

impl Pictures {
    /// Creates a full allowance of images of at most `side` pixels per side.
    pub fn new(side: usize, now: Instant) -> Self {
        Self { side, left: PER_SECOND, counted: now }
    }

    /// Returns the side of the image for this change at time `now`, if the allowance permits one.
    /// The last half of the allowance is reserved for final states.
    pub fn due(&mut self, record: &Record, now: Instant) -> Option<usize> {
        if record.stage != Stage::Growing || record.state.is_none() {
            return None;
        }
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.left = (self.left + passed * PER_SECOND).min(PER_SECOND);
        self.counted = now;
        let is_final = record.steps_done == record.timesteps.len();
        let kept_back = if is_final { 0.0 } else { PER_SECOND / 2.0 };
        if self.left - 1.0 < kept_back {
            return None;
        }
        self.left -= 1.0;
        Some(self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ddpo_rollout::noise::Purpose;
    use ddpo_rollout::trajectory::{StateDtype, StateShape};
    use std::time::Duration;

    fn record(stage: Stage, steps_done: usize) -> Record {
        Record {
            trajectory_id: "one".into(),
            run_id: "run".into(),
            worker_id: "worker".into(),
            purpose: Purpose::Rollout,
            epoch: 0,
            sample: 0,
            policy_version: 0,
            timesteps: [9, 5, 1].into(),
            dtype: StateDtype::F32,
            shape: StateShape { channels: 1, height: 1, width: 1 },
            stage,
            steps_done,
            state: Some(Bytes::from_static(&[0; 4])),
            log_probs: Vec::new(),
            score: None,
            reason: String::new(),
            updated_unix_ms: 0,
        }
    }

    #[test]
    fn only_new_states_get_images() {
        let now = Instant::now();
        let mut pictures = Pictures::new(64, now);
        assert_eq!(pictures.due(&record(Stage::Growing, 1), now), Some(64));
        for stage in [Stage::Complete, Stage::Scored, Stage::Accepted, Stage::Rejected] {
            assert_eq!(pictures.due(&record(stage, 3), now), None);
        }
    }

    #[test]
    fn half_of_the_image_allowance_is_for_final_states() {
        let now = Instant::now();
        let mut pictures = Pictures::new(8, now);
        let mut given = |steps_done, now| {
            (0..100)
                .filter(|_| pictures.due(&record(Stage::Growing, steps_done), now).is_some())
                .count()
        };
        assert_eq!(given(1, now), 24);
        assert_eq!(given(3, now), 24);
        assert_eq!(given(3, now + Duration::from_millis(250)), 12);
        assert_eq!(given(1, now + Duration::from_secs(9)), 24);
    }
}
