//! The trajectories of an uplink, oldest first.

use super::entry::{Ending, Entry, Planned, Progress};
use super::link::Link;
use bytes::Bytes;
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::Receipt;
use ddpo_proto::wire;
use std::collections::BTreeMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The trajectories of an uplink.
#[derive(Debug, Default)]
pub(super) struct Table {
    next_id: u64,
    entries: BTreeMap<u64, Entry>,
}

/// The events that the task may have to wait for.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// When the trajectory that waits longest for its receipt was sent.
    pub(super) oldest_sent: Option<Instant>,
    /// When the next trajectory may be resent.
    pub(super) next_retry: Option<Instant>,
    /// Whether a trajectory could be opened with another credit.
    pub(super) may_open: bool,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn insert(
        &mut self,
        header: wire::TrajectoryHeader,
        receipt: oneshot::Sender<Receipt>,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.entries.insert(id, Entry::new(header, receipt));
        id
    }

    pub(super) fn append(&mut self, id: u64, state: Bytes) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.states.push(state);
        }
    }

    pub(super) fn end(&mut self, id: u64, ending: Ending) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if matches!(ending, Ending::Abandoned(_)) && entry.progress == Progress::Waiting {
            self.entries.remove(&id);
        } else {
            entry.ending = Some(ending);
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// Removes a trajectory that has its receipt or was abandoned.
    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        self.entries.remove(&id)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Prepares for a new stream: everything is resent except abandoned trajectories.
    pub(super) fn reset(&mut self) {
        self.entries.retain(|_, entry| !matches!(entry.ending, Some(Ending::Abandoned(_))));
        for entry in self.entries.values_mut() {
            entry.progress = Progress::Waiting;
        }
    }

    /// Handles RETRY_LATER: the trajectory is resent after `not_before`, or removed if it was
    /// abandoned meanwhile.
    pub(super) fn retry(&mut self, id: u64, not_before: impl FnOnce(u32) -> Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if matches!(entry.ending, Some(Ending::Abandoned(_))) {
            self.entries.remove(&id);
            return;
        }
        entry.progress = Progress::Waiting;
        entry.not_before = Some(not_before(entry.retries));
        entry.retries = entry.retries.saturating_add(1);
    }

    /// Returns the next frame: of the oldest trajectory that has one and, for a header, a credit.
    pub(super) fn next(&mut self, link: &Link, now: Instant, limits: &Limits) -> Option<Planned> {
        self.entries.iter_mut().find_map(|(&id, entry)| {
            if link.has_credit() && entry.may_open(now) {
                let resent = entry.was_opened;
                return Some(Planned { id, next: entry.open(link.free_slot()), resent });
            }
            let next = entry.advance(now, limits)?;
            Some(Planned { id, next, resent: false })
        })
    }

    pub(super) fn survey(&self, now: Instant) -> Survey {
        let mut survey = Survey::default();
        for entry in self.entries.values() {
            match (entry.progress, entry.not_before) {
                (Progress::Sent { at }, _) => {
                    survey.oldest_sent = Some(survey.oldest_sent.map_or(at, |old| old.min(at)));
                }
                (Progress::Waiting, Some(then)) if then > now => {
                    survey.next_retry = Some(survey.next_retry.map_or(then, |old| old.min(then)));
                }
                (Progress::Waiting, _) => survey.may_open = true,
                (Progress::Open { .. } | Progress::Footed { .. }, _) => {}
            }
        }
        survey
    }
}
