//! The last samples with their rewards, from the board of this process.

use crate::playback::{Snapshot, State, picture};
use ddpo_inspector::board::Board;
use ddpo_inspector::record::Record;
use ddpo_rollout::noise::Purpose;
use serde::Serialize;
use std::sync::Arc;

/// Number of samples to show.
const SHOWN: usize = 16;

/// Number of records to search.
const LOOKED: usize = 256;

/// The samples of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Samples {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Version of the weights that drew them.
    pub version: u64,
    /// The samples, in the order of their indices.
    pub samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Its index.
    pub sample: u32,
    /// Its reward.
    pub reward: f32,
    /// The image as a data URI.
    pub picture: String,
}

/// The samples that were shown last.
#[derive(Debug, Default)]
pub struct Gallery {
    shown: Vec<Arc<str>>,
}

impl Gallery {
    /// Returns the last samples with scores, if they differ from the previous ones.
    pub fn look(&mut self, board: &Board) -> Option<Samples> {
        let mut records = board.list(LOOKED);
        let is_sample = |record: &Record| {
            let whole = record.steps_done == record.timesteps.len() && record.state.is_some();
            whole && record.purpose == Purpose::Rollout && record.score.is_some()
        };
        records.retain(is_sample);
        let epoch = records.iter().map(|record| record.epoch).max()?;
        records.retain(|record| record.epoch == epoch);
        records.truncate(SHOWN);
        records.sort_by_key(|record| record.sample);
        let ids: Vec<_> = records.iter().map(|record| Arc::clone(&record.trajectory_id)).collect();
        if ids == self.shown {
            return None;
        }
        self.shown = ids;
        let version = records.first()?.policy_version;
        let samples = records.into_iter().filter_map(sample).collect();
        Some(Samples { epoch: epoch + 1, version, samples })
    }
}

fn sample(record: Record) -> Option<Sample> {
    let snapshot = Snapshot::of(Arc::new(record));
    let picture = snapshot.state.as_ref().and_then(|state: &State| picture(state))?;
    Some(Sample { sample: snapshot.sample, reward: snapshot.reward?, picture })
}
