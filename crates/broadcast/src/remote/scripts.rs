//! The Lua scripts; Redis runs each atomically.

use redis::Script;
use std::time::Duration;

/// The scripts, named like their files in `lua/`.
pub(super) struct Scripts {
    pub(super) acquire: Script,
    pub(super) renew: Script,
    pub(super) put: Script,
    pub(super) commit: Script,
    pub(super) discard: Script,
    pub(super) prune: Script,
    pub(super) present: Script,
    pub(super) report: Script,
    pub(super) workers: Script,
    pub(super) issue: Script,
    pub(super) clear: Script,
    pub(super) keep_only: Script,
    pub(super) pending: Script,
    pub(super) take: Script,
    pub(super) hold: Script,
    pub(super) done: Script,
    pub(super) mend: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            acquire: Script::new(include_str!("lua/acquire.lua")),
            renew: fenced(include_str!("lua/renew.lua")),
            put: fenced(include_str!("lua/put.lua")),
            commit: fenced_and_retiring(include_str!("lua/commit.lua")),
            discard: retiring(include_str!("lua/discard.lua")),
            prune: fenced_and_retiring(include_str!("lua/prune.lua")),
            present: Script::new(include_str!("lua/present.lua")),
            report: Script::new(include_str!("lua/report.lua")),
            workers: Script::new(include_str!("lua/workers.lua")),
            issue: fenced(include_str!("lua/issue.lua")),
            clear: fenced(include_str!("lua/clear.lua")),
            keep_only: fenced(include_str!("lua/keep_only.lua")),
            pending: Script::new(include_str!("lua/pending.lua")),
            take: Script::new(include_str!("lua/take.lua")),
            hold: Script::new(include_str!("lua/hold.lua")),
            done: Script::new(include_str!("lua/done.lua")),
            mend: Script::new(include_str!("lua/mend.lua")),
        }
    }
}

/// Returns a script that first compares the fencing token.
fn fenced(code: &str) -> Script {
    Script::new(&format!("{}\n{code}", include_str!("lua/fenced.lua")))
}

/// Returns a script that retires chunks.
fn retiring(code: &str) -> Script {
    Script::new(&format!("{}\n{code}", include_str!("lua/retire.lua")))
}

fn fenced_and_retiring(code: &str) -> Script {
    fenced(&format!("{}\n{code}", include_str!("lua/retire.lua")))
}

/// Converts a duration to milliseconds for a script.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 4)
}
