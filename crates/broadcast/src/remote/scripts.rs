//! The Lua scripts: each is one step that nobody else can come between.

use redis::Script;
use std::time::Duration;

/// Every script, by the name of its file in `lua/`.
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
    pub(super) pending: Script,
    pub(super) take: Script,
    pub(super) hold: Script,
    pub(super) done: Script,
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
            pending: Script::new(include_str!("lua/pending.lua")),
            take: Script::new(include_str!("lua/take.lua")),
            hold: Script::new(include_str!("lua/hold.lua")),
            done: Script::new(include_str!("lua/done.lua")),
        }
    }
}

/// A script that compares the fencing token first.
fn fenced(code: &str) -> Script {
    Script::new(&format!("{}\n{code}", include_str!("lua/fenced.lua")))
}

/// A script that takes chunks out of use.
fn retiring(code: &str) -> Script {
    Script::new(&format!("{}\n{code}", include_str!("lua/retire.lua")))
}

fn fenced_and_retiring(code: &str) -> Script {
    fenced(&format!("{}\n{code}", include_str!("lua/retire.lua")))
}

/// A duration as an argument of a script, in milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 4)
}
