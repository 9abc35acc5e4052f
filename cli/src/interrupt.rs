//! Ctrl-C and SIGTERM: the first asks to stop at the next safe place, the second stops at once.

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Exit status of a run that was asked to stop: 128 + SIGINT, as shells have it.
pub const STATUS: u8 = 130;

/// Takes over SIGINT and SIGTERM.
pub fn install() -> Result<()> {
    let handler = || {
        if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(i32::from(STATUS));
        }
    };
    ctrlc::set_handler(handler).context("could not take over Ctrl-C")
}

/// Whether somebody has asked to stop.
pub fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}
