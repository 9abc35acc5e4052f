//! The one place where programs write to standard output and standard error.
//!
//! A reader may close its end of a pipe at any time, as `head -1` does. `println!` then panics, so the
//! lint `print_stdout` bars it, and everything goes through [`write()`], which drops what nobody reads.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: the answer of a command.
    Output,
    /// Standard error: progress and errors.
    Error,
}

/// The first failure of standard output. Later text is dropped.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Writes `text` and flushes the stream. A stream that fails never stops the work: [`is_closed`] and
/// [`written`] tell the commands that want to know.
pub fn write(stream: Stream, text: &str) {
    match stream {
        Stream::Output => to_output(text),
        // A failure of standard error cannot be reported anywhere else.
        Stream::Error => drop(put(&mut io::stderr().lock(), text)),
    }
}

fn to_output(text: &str) {
    if FAILURE.get().is_some() {
        return;
    }
    if let Err(error) = put(&mut io::stdout().lock(), text) {
        // Only the first failure counts.
        let _ = FAILURE.set(error);
    }
}

fn put(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// Returns whether nobody reads standard output any more. A command that only prints can then end.
#[must_use]
pub fn is_closed() -> bool {
    FAILURE.get().is_some()
}

/// Checks that standard output has taken everything, or that its reader has closed it.
///
/// # Errors
/// The first failure other than a closed pipe, such as a full disk.
pub fn written() -> io::Result<()> {
    match FAILURE.get().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
        Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
        None => Ok(()),
    }
}
