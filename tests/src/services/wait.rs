//! Waiting: always for something, never beyond a deadline.

use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The longest that anything is waited for that has no bound of its own. A busy machine is slow; a
/// hang is for ever.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until there is something to see, and gives it.
///
/// # Panics
/// Naming `what` when it does not come within [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(LOOK);
    }
}

/// [`until`], from the moment `since`; checks that it took no longer than `bound`, and prints how
/// long it took.
///
/// # Panics
/// Naming `what` when it does not come, or comes too late.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test's figures")]
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

/// Runs a future to its end, from a thread that is not asynchronous.
///
/// # Panics
/// When there is no runtime to be had.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a runtime")
    });
    RUNTIME.block_on(future)
}
