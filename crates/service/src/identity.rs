//! The identity of a process: its name and its start time.

use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// Longest worker id.
const LONGEST: usize = 128;

/// A process of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Name: the setting, or host name and process id.
    pub id: String,
    /// Start in milliseconds since 1970; it distinguishes restarts with the same name.
    pub incarnation: u64,
}

/// The worker id contains characters that are not allowed in a key.
#[derive(Debug, Error)]
#[error(
    "worker_id = {found:?}: expected 1 to {LONGEST} letters, digits, dots, hyphens and underscores"
)]
pub struct WorkerIdError {
    found: String,
}

impl Worker {
    /// Creates the identity of this process.
    ///
    /// # Errors
    /// The id contains characters that are not allowed in a key.
    pub fn new(id: Option<&str>) -> Result<Self, WorkerIdError> {
        let id = id.map_or_else(default_id, str::to_owned);
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || id.len() > LONGEST || !id.chars().all(fits) {
            return Err(WorkerIdError { found: id });
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let incarnation = u64::try_from(started.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { id, incarnation })
    }
}

fn default_id() -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(fits).take(LONGEST / 2).collect();
    let host = if host.is_empty() { "host" } else { &host };
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_name_ends_in_the_process_id() {
        let worker = Worker::new(None).unwrap();
        assert!(worker.id.ends_with(&format!("-{}", std::process::id())), "{}", worker.id);
        assert!(worker.incarnation > 1_700_000_000_000);
    }

    #[test]
    fn rejects_an_id_that_cannot_be_part_of_a_key() {
        assert_eq!(Worker::new(Some("sampler-0")).unwrap().id, "sampler-0");
        let message = Worker::new(Some("a:b")).unwrap_err().to_string();
        assert!(message.starts_with("worker_id = \"a:b\": expected"), "{message}");
        assert!(Worker::new(Some("")).is_err());
    }
}
