//! Which stored weights nobody needs any more.

use crate::lease::FenceToken;
use crate::weights::WorkerReport;
use ddpo_rollout::order::WeightsId;
use std::time::Duration;

/// A worker that has not reported for this long does not count.
const WORKER_TTL: Duration = Duration::from_secs(30);

/// When a silent worker's report is deleted.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// The most versions that are kept for slow workers. The current weights and those that an order
/// names are kept beyond it.
const MOST_VERSIONS: u64 = 4;

/// One stored set of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub id: WeightsId,
    pub fence: FenceToken,
}

/// The stored weights that can go: older than what every live worker draws with and older than the
/// version before the current one, or newer than the current ones and left by a former learner.
pub(crate) fn expendable(
    stored: &[Stored],
    current: Stored,
    workers: &[WorkerReport],
    keep: &[WeightsId],
) -> Vec<WeightsId> {
    let version = current.id.version;
    let oldest_in_use = workers
        .iter()
        .filter(|worker| worker.silent_for < WORKER_TTL)
        .map(|worker| worker.version.0)
        .min()
        .unwrap_or(u64::MAX);
    let oldest_kept = version.0.saturating_sub(MOST_VERSIONS - 1);
    let floor = oldest_in_use.min(version.0.saturating_sub(1)).max(oldest_kept);
    let spared = |id: WeightsId| id == current.id || keep.contains(&id);
    let left_behind = |entry: &Stored| entry.id.version > version && entry.fence < current.fence;
    stored
        .iter()
        .filter(|entry| entry.id.version.0 < floor || left_behind(entry))
        .map(|entry| entry.id)
        .filter(|&id| !spared(id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_rollout::order::Track;
    use ddpo_rollout::trajectory::PolicyVersion;

    fn id(version: u64, track: Track) -> WeightsId {
        WeightsId { version: PolicyVersion(version), track }
    }

    fn policy(version: u64) -> WeightsId {
        id(version, Track::Policy)
    }

    fn stored(versions: impl IntoIterator<Item = u64>) -> Vec<Stored> {
        versions.into_iter().map(|v| Stored { id: policy(v), fence: FenceToken(7) }).collect()
    }

    fn worker(version: u64, silent_secs: u64) -> WorkerReport {
        let silent_for = Duration::from_secs(silent_secs);
        WorkerReport { worker: "w".to_owned(), version: PolicyVersion(version), silent_for }
    }

    fn gone(stored: &[Stored], workers: &[WorkerReport], keep: &[WeightsId]) -> Vec<u64> {
        let current = Stored { id: policy(9), fence: FenceToken(7) };
        let ids = expendable(stored, current, workers, keep);
        ids.iter().map(|id| id.version.0).collect()
    }

    #[test]
    fn without_workers_the_current_and_the_one_before_stay() {
        assert_eq!(gone(&stored(5..=9), &[], &[]), [5, 6, 7]);
    }

    #[test]
    fn a_live_worker_keeps_its_version_and_a_silent_one_does_not() {
        assert_eq!(gone(&stored(5..=9), &[worker(7, 1)], &[]), [5, 6]);
        assert_eq!(gone(&stored(5..=9), &[worker(7, 31)], &[]), [5, 6, 7]);
        assert_eq!(gone(&stored(5..=9), &[worker(9, 1)], &[]), [5, 6, 7]);
    }

    #[test]
    fn a_worker_that_lags_far_behind_keeps_four_versions_at_most() {
        assert_eq!(gone(&stored(1..=9), &[worker(1, 1)], &[]), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_an_order_names_stays() {
        assert_eq!(gone(&stored(5..=9), &[], &[policy(5)]), [6, 7]);
    }

    #[test]
    fn a_former_learner_s_newer_weights_go_and_one_s_own_stay() {
        let mut entries = stored(8..=9);
        entries.push(Stored { id: policy(11), fence: FenceToken(3) });
        entries.push(Stored { id: id(10, Track::Average), fence: FenceToken(7) });
        assert_eq!(gone(&entries, &[], &[]), [11]);
    }
}
