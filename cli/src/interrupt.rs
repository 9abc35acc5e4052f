//! Ctrl-C and SIGTERM: the first requests a stop at the next safe point, the second stops at once.

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static FINISHING: AtomicUsize = AtomicUsize::new(0);

/// Exit status of an interrupted run: 128 + SIGINT, as in shells.
pub const STATUS: u8 = 130;

/// Installs the handlers of SIGINT and SIGTERM.
pub fn install() -> Result<()> {
    let handler = || {
        if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(i32::from(STATUS));
        }
    };
    ctrlc::set_handler(handler).context("could not install the handler of Ctrl-C")
}

/// Returns whether a stop was requested.
pub fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

/// Work that the first signal does not end, until it is dropped.
#[derive(Debug)]
pub struct Finishing(());

impl Finishing {
    /// Begins the work.
    pub fn begin() -> Self {
        FINISHING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        FINISHING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns whether work is in progress that the first signal does not end.
pub fn is_finishing() -> bool {
    FINISHING.load(Ordering::SeqCst) > 0
}
