//! Selects the stored weights that can be deleted.

use crate::lease::FenceToken;
use crate::weights::WorkerReport;
use ddpo_rollout::order::WeightsId;
use std::time::Duration;

/// After this silence a worker's report is ignored.
const WORKER_TTL: Duration = Duration::from_secs(30);

/// After this silence a worker's report is deleted.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Largest number of versions kept for slow workers. Current weights and weights named by orders
/// are kept in addition.
const MOST_VERSIONS: u64 = 4;

/// One stored set of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub id: WeightsId,
    pub fence: FenceToken,
}

/// Returns the weights that can be deleted: those older than the version before the current one and
/// than the versions of all live workers, and newer ones left by a previous learner.
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
    fn keeps_current_and_previous_version_without_workers() {
        assert_eq!(gone(&stored(5..=9), &[], &[]), [5, 6, 7]);
    }

    #[test]
    fn live_workers_keep_their_version_and_silent_ones_do_not() {
        assert_eq!(gone(&stored(5..=9), &[worker(7, 1)], &[]), [5, 6]);
        assert_eq!(gone(&stored(5..=9), &[worker(7, 31)], &[]), [5, 6, 7]);
        assert_eq!(gone(&stored(5..=9), &[worker(9, 1)], &[]), [5, 6, 7]);
    }

    #[test]
    fn slow_workers_keep_at_most_four_versions() {
        assert_eq!(gone(&stored(1..=9), &[worker(1, 1)], &[]), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn keeps_weights_named_by_an_order() {
        assert_eq!(gone(&stored(5..=9), &[], &[policy(5)]), [6, 7]);
    }

    #[test]
    fn deletes_newer_weights_of_a_previous_learner_only() {
        let mut entries = stored(8..=9);
        entries.push(Stored { id: policy(11), fence: FenceToken(3) });
        entries.push(Stored { id: id(10, Track::Average), fence: FenceToken(7) });
        assert_eq!(gone(&entries, &[], &[]), [11]);
    }
}
