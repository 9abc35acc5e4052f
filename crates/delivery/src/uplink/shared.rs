//! The state of an uplink.

use super::counters::UplinkCounters;
use super::link::LinkState;
use super::settings::UplinkSettings;
use super::table::Table;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// The state shared by the handles and the task.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: UplinkSettings,
    pub(super) table: Mutex<Table>,
    /// Wakes the task when a frame may be ready.
    pub(super) wake: Notify,
    pub(super) in_flight: watch::Sender<usize>,
    pub(super) link: watch::Sender<LinkState>,
    pub(super) counters: Arc<UplinkCounters>,
    pub(super) closed: CancellationToken,
}

impl Shared {
    pub(super) fn new(settings: UplinkSettings) -> Self {
        Self {
            settings,
            table: Mutex::default(),
            wake: Notify::new(),
            in_flight: watch::Sender::new(0),
            link: watch::Sender::new(LinkState::Idle),
            counters: Arc::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Locks the table. Changes are complete even after a panic, so a poisoned lock is usable.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table, then updates `in_flight`.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let (result, left) = {
            let mut table = self.table();
            let result = change(&mut table);
            (result, table.len())
        };
        self.in_flight.send_if_modified(|held| std::mem::replace(held, left) != left);
        result
    }
}
