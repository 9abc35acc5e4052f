//! Waits for conditions with a deadline.

use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest wait for conditions without a bound of their own. Only a hang exceeds it, not a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two checks.
const LOOK: Duration = Duration::from_millis(10);

/// Calls `look` until it returns a value, and returns the value.
///
/// # Panics
/// If that takes longer than [`PATIENCE`]; the message contains `what`.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not seen within {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Waits as [`until`] and prints the time since `since`.
///
/// # Panics
/// If it takes longer than `bound`; the message contains `what`.
#[track_caller]
#[expect(clippy::print_stdout, reason = "prints measurements")]
pub fn within<T>(
    what: &str,
    since: Instant,
    bound: Duration,
    look: impl FnMut() -> Option<T>,
) -> T {
    let seen = until(what, look);
    let took = since.elapsed();
    println!("measured: {what}: {:.2} s of {} s", took.as_secs_f64(), bound.as_secs_f64());
    assert!(took <= bound, "{what}: took {took:?}, expected at most {bound:?}");
    seen
}

/// Runs a future to completion on a thread outside of any runtime.
///
/// # Panics
/// If no runtime can be made.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a runtime")
    });
    RUNTIME.block_on(future)
}
