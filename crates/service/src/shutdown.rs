//! From SIGTERM to the exit: a token that everything listens to, and a bounded drain.

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use std::future::Future;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Exit status after the second signal: 128 + SIGINT, as shells have it.
pub const STATUS: i32 = 130;

/// Whether the process has been asked to stop. Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// One that only [`request`](Self::request) sets off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM and SIGINT set off. A second signal exits at once with [`STATUS`].
    ///
    /// # Errors
    /// The system does not let the signals be taken over.
    ///
    /// # Panics
    /// Outside the tokio runtime: an error of the program.
    pub fn on_signals() -> std::io::Result<Self> {
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::new();
        tokio::spawn(listen(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// Asks the process to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether somebody has asked to stop.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends when somebody asks to stop.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        self.token.clone().cancelled_owned()
    }

    /// The token itself; children of it can be cancelled on their own.
    #[must_use]
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
            tracing::warn!(signal = name, "second signal, exiting at once");
            std::process::exit(STATUS);
        }
        tracing::info!(signal = name, "finishing; a second signal exits at once");
        shutdown.request();
    }
}

/// What did not finish within the grace period.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not finished within {} s: {}", grace.as_secs_f64(), parts.join(", "))]
pub struct Unfinished {
    /// The grace period.
    pub grace: Duration,
    /// Names of the parts.
    pub parts: Vec<String>,
}

/// Runs `future` for at most `grace`.
///
/// # Errors
/// [`Unfinished`] with `name`; the future is dropped.
pub async fn drain<F: Future>(
    grace: Duration,
    name: &str,
    future: F,
) -> Result<F::Output, Unfinished> {
    let unfinished = |_| Unfinished { grace, parts: vec![name.to_owned()] };
    tokio::time::timeout(grace, future).await.map_err(unfinished)
}

/// Parts that finish side by side within one grace period.
#[derive(Default)]
pub struct Drain<'a> {
    parts: Vec<(String, BoxFuture<'a, ()>)>,
}

impl<'a> Drain<'a> {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, name: &str, future: impl Future<Output = ()> + Send + 'a) -> Self {
        self.parts.push((name.to_owned(), future.boxed()));
        self
    }

    /// Runs all parts for at most `grace`.
    ///
    /// # Errors
    /// [`Unfinished`] names the parts that are still running; they are dropped.
    pub async fn run(self, grace: Duration) -> Result<(), Unfinished> {
        let deadline = Instant::now() + grace;
        let mut names: Vec<String> = self.parts.iter().map(|(name, _)| name.clone()).collect();
        let named = |(name, future): (String, BoxFuture<'a, ()>)| future.map(|()| name);
        let mut running: FuturesUnordered<_> = self.parts.into_iter().map(named).collect();
        loop {
            match timeout_at(deadline, running.next()).await {
                Ok(Some(finished)) => names.retain(|name| *name != finished),
                Ok(None) => return Ok(()),
                Err(_) => return Err(Unfinished { grace, parts: names }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn what_did_not_finish_in_time_is_named() {
        let drain = Drain::new()
            .part("quick", async {})
            .part("orders", pending())
            .part("slow", tokio::time::sleep(Duration::from_secs(3)))
            .part("streams", pending());
        let began = Instant::now();
        let message = drain.run(Duration::from_secs(5)).await.unwrap_err().to_string();
        assert_eq!(message, "not finished within 5 s: orders, streams");
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn parts_that_finish_end_the_drain_early() {
        let second = || tokio::time::sleep(Duration::from_secs(1));
        let began = Instant::now();
        let drained = Drain::new().part("a", second()).part("b", second());
        drained.run(Duration::from_secs(60)).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_future_is_bounded_and_gives_its_value() {
        let grace = Duration::from_secs(2);
        assert_eq!(drain(grace, "a", async { 7 }).await, Ok(7));
        let error = drain(grace, "checkpoint", pending::<()>()).await.unwrap_err();
        assert_eq!(error.parts, ["checkpoint"]);
    }

    #[tokio::test]
    async fn a_request_reaches_every_clone() {
        let shutdown = Shutdown::new();
        let waiting = shutdown.clone().wait();
        assert!(!shutdown.requested());
        shutdown.request();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap();
        assert!(shutdown.requested());
    }
}
