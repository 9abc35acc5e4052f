//! Patience with a process that has no free file descriptor: its connections are bounded and end soon.

use std::io;
use std::time::{Duration, Instant};

/// The process has too many open files (EMFILE).
const OF_PROCESS: i32 = 24;

/// The system has too many open files (ENFILE).
const OF_SYSTEM: i32 = 23;

/// Longest time to wait for a free descriptor.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls `open` until it succeeds or fails for another reason than a missing file descriptor, for at most
/// 30 s.
///
/// # Errors
/// The last error of `open`.
pub fn with_a_descriptor<T>(open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    within(PATIENCE, open)
}

fn within<T>(patience: Duration, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match open() {
            Err(error) if is_missing(&error) && Instant::now() < deadline => {
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(OF_PROCESS | OF_SYSTEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an opener that fails with `codes`, one after the other, and then succeeds.
    fn failing(codes: &[i32]) -> impl FnMut() -> io::Result<u32> {
        let mut codes = codes.iter().copied();
        move || codes.next().map_or(Ok(7), |code| Err(io::Error::from_raw_os_error(code)))
    }

    #[test]
    fn waits_for_a_free_descriptor_and_for_nothing_else() {
        assert_eq!(with_a_descriptor(failing(&[OF_PROCESS, OF_SYSTEM])).unwrap(), 7);
        let missing = with_a_descriptor(failing(&[2])).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn gives_up_after_its_patience() {
        let error = within(Duration::from_millis(120), || {
            Err::<u32, _>(io::Error::from_raw_os_error(OF_PROCESS))
        });
        assert_eq!(error.unwrap_err().raw_os_error(), Some(OF_PROCESS));
    }
}
