//! What a service tells of itself.

use ddpo_rollout::trajectory::{Digest, PolicyVersion};
use std::collections::BTreeMap;

/// What a service is and how it fares now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// sampler, rewarder or learner.
    pub service: &'static str,
    /// Name of this process in the run.
    pub worker_id: String,
    /// Its start, in milliseconds since 1970.
    pub incarnation: u64,
    /// The run.
    pub run_id: String,
    /// Whether it takes work.
    pub serving: bool,
    /// What it is doing, or why it does not serve.
    pub activity: String,
    /// Its weights.
    pub weights: Option<(PolicyVersion, Digest)>,
    /// Epoch that it works on, from 0.
    pub epoch: Option<u32>,
    /// Counters since its start, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Tells the status when asked.
pub trait StatusSource: Send + Sync + 'static {
    /// The status now.
    fn status(&self) -> Status;
}

/// Resident memory of this process and the largest so far, in bytes; zeros where the system does not
/// tell.
#[must_use]
pub fn memory_bytes() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes =
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    };
    (read("VmRSS:"), read("VmHWM:"))
}
