//! The shutdown request, from SIGTERM or SIGINT.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after the second signal: 128 + SIGINT, as in shells.
pub const STATUS: i32 = 130;

/// A shutdown request. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Creates a request that only [`request`](Self::request) triggers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a request that SIGTERM and SIGINT trigger. A second signal exits immediately with
    /// [`STATUS`].
    ///
    /// # Errors
    /// Signal handlers cannot be installed.
    ///
    /// # Panics
    /// Outside the tokio runtime: a programming error.
    pub fn on_signals() -> std::io::Result<Self> {
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::new();
        tokio::spawn(listen(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// Requests shutdown.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Returns whether shutdown was requested.
    pub fn requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits for the request.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        self.token.clone().cancelled_owned()
    }

    /// Returns the cancellation token, for child tokens.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

async fn listen(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    let mut signals = 0;
    loop {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        signals += 1;
        if signals > 1 {
            tracing::warn!(signal = name, "second signal, exiting immediately");
            std::process::exit(STATUS);
        }
        tracing::info!(signal = name, "finishing; a second signal exits immediately");
        shutdown.request();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn shutdown_request_reaches_all_clones() {
        let shutdown = Shutdown::new();
        let waiting = shutdown.clone().wait();
        assert!(!shutdown.requested());
        shutdown.request();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap();
        assert!(shutdown.requested());
    }
}
