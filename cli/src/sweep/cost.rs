//! The time that a run took, all attempts added, in `cost.json` of its folder.

use anyhow::{Context, Result};
use ddpo_files::write_file;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file in the folder of a run.
const NAME: &str = "cost.json";

/// Ticks of a second in `/proc/PID/stat`; the same number on every platform of Linux that libtorch has.
const TICKS: f64 = 100.0;

/// `cost.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CostRecord {
    /// Whether the run is finished.
    pub finished: bool,
    /// Seconds of wall time.
    pub seconds: f64,
    /// Seconds of CPU time, user and system.
    pub cpu_seconds: f64,
}

impl CostRecord {
    /// Reads the record of the run in `folder`; that of a new run if there is none.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(Self::default()) };
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    /// Writes the record. The temporary file is outside the run's folder, where a starting run removes it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let beside = beside(folder);
        write_file(&beside, serde_json::to_string(self)?.as_bytes())?;
        let path = folder.join(NAME);
        std::fs::rename(&beside, &path).with_context(|| format!("{}", path.display()))
    }

    /// Returns the record after another attempt of this length.
    #[must_use]
    pub fn plus(self, seconds: f64, cpu_seconds: f64) -> Self {
        let (seconds, cpu_seconds) = (self.seconds + seconds, self.cpu_seconds + cpu_seconds);
        Self { seconds, cpu_seconds, ..self }
    }
}

fn beside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{NAME}"))
}

/// Returns the seconds of CPU time of a process and of its children that it has waited for. The process may
/// have exited, but its parent must not have waited for it.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    ticks(&text).map(|ticks| ticks as f64 / TICKS)
}

/// Returns the sum of the fields 14 to 17 of `/proc/PID/stat`: user and system time of the process and of its
/// children. The second field is a name in parentheses, which can contain spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_user_and_system_time_of_the_process_and_its_children() {
        let stat = "42 (a name) (x) S 1 42 42 0 -1 4194304 100 0 0 0 7 11 13 17 20 0 1 0 5 6";
        assert_eq!(ticks(stat), Some(7 + 11 + 13 + 17));
        assert_eq!(ticks("42 (x) S 1 2"), None);
        assert!(cpu_seconds(std::process::id()).is_some());
    }

    #[test]
    fn adds_attempts_and_reads_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("task-arm-7");
        std::fs::create_dir(&run).unwrap();
        assert_eq!(CostRecord::read(&run).unwrap(), CostRecord::default());
        let first = CostRecord::default().plus(1.0, 0.5);
        first.write(&run).unwrap();
        let second = CostRecord::read(&run).unwrap().plus(2.0, 0.25);
        let expected = CostRecord { finished: false, seconds: 3.0, cpu_seconds: 0.75 };
        assert_eq!(second, expected);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a file remains");
    }
}
