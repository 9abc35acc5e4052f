//! The state that requests share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Store;

/// The content of the Hub and its traffic.
#[derive(Debug)]
pub(crate) struct HubState {
    store: Mutex<Store>,
    traffic: Mutex<Traffic>,
}

/// The requests so far and the faults to come.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) asked: Vec<String>,
    pub(crate) faults: Vec<Fault>,
}

/// A fault of some requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The start of the request's `METHOD path`.
    pub with: &'static str,
    /// Matching requests that are answered normally before.
    pub after: usize,
    /// Matching requests that fail.
    pub times: usize,
    /// The way they fail.
    pub what: Mishap,
}

/// The way a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The answer has this status and a message.
    Status(u16),
    /// The connection closes before the request is read and without an answer.
    Drop,
    /// The connection closes in the middle of the answer's body.
    Cut,
    /// The last byte of the answer's body is wrong.
    Corrupt,
    /// The request gets no answer.
    Stall,
}

impl HubState {
    pub(crate) fn new(store: Store) -> Self {
        Self { store: Mutex::new(store), traffic: Mutex::default() }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    /// Records a request and returns its fault.
    pub(crate) fn record(&mut self, line: String) -> Option<Mishap> {
        self.asked.push(line.clone());
        let matches = |fault: &&mut Fault| line.starts_with(fault.with) && fault.times > 0;
        let fault = self.faults.iter_mut().find(matches)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.what)
    }
}
