//! The boundary of a device thread: converts failures to errors with a hint.

use crate::device::fault::DeviceFault;
use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use thiserror::Error;

/// Prefix of tch's error messages, which contain libtorch's text.
const TCH: &str = "Internal torch error: ";

/// Exit status after any other failure.
const FAILURE: u8 = 1;

/// The hint after a sticky fault.
const RESTART: &str = "start the process again; if the fault comes back, look for Xid errors of the \
                       GPU in the kernel's log";

/// The work on a device, as messages about its failures name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceWork {
    /// Name of the service or the stage.
    pub name: &'static str,
    /// The hint after running out of memory: the settings to change.
    pub less_memory: &'static str,
}

/// The failure that ended the work on a device. The process must end too.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceFailure {
    /// The device failed.
    #[error("{}: {fault}; hint: {}", work.name, work.hint(fault))]
    Fault {
        /// The work.
        work: DeviceWork,
        /// The fault.
        fault: DeviceFault,
    },
    /// The work panicked: libtorch refused a call, or the program has an error.
    #[error("{}: stopped inside the program: {text}", work.name)]
    Panicked {
        /// The work.
        work: DeviceWork,
        /// The first line of the panic's message.
        text: String,
    },
}

impl DeviceFailure {
    /// Returns the failure among `error` and its causes.
    #[must_use]
    pub fn of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        chain(error).find_map(|error| error.downcast_ref())
    }

    /// Returns the exit status of a process that `error` ends.
    #[must_use]
    pub fn status_of(error: &(dyn Error + 'static)) -> u8 {
        match Self::of(error) {
            Some(Self::Fault { fault, .. }) => fault.status(),
            Some(Self::Panicked { .. }) | None => FAILURE,
        }
    }
}

impl DeviceWork {
    /// Runs a job. Returns a panic, or a device fault among the causes of the job's error, as
    /// [`DeviceFailure`].
    ///
    /// # Errors
    /// The failure of the device, or the error of the job.
    pub fn run<T, E>(self, job: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        E: AsRef<dyn Error> + From<DeviceFailure>,
    {
        self.catch(job)?.map_err(|error| {
            // Other errors may quote another process, such as a reward server.
            let torch = |error: &&(dyn Error + 'static)| error.to_string().starts_with(TCH);
            let found = chain(error.as_ref()).find(torch);
            let failure = found.and_then(|error| self.failure(&error.to_string()));
            failure.map_or(error, E::from)
        })
    }

    /// Runs a job and returns its panic as an error.
    ///
    /// # Errors
    /// [`DeviceFailure`] if the job panicked.
    pub fn catch<T>(self, job: impl FnOnce() -> T) -> Result<T, DeviceFailure> {
        catch_unwind(AssertUnwindSafe(job)).map_err(|cause| {
            let panicked = || DeviceFailure::Panicked { work: self, text: panic_text(&*cause) };
            self.failure(message(&*cause)).unwrap_or_else(panicked)
        })
    }

    /// Returns the failure in an error message; `None` if the message contains no fault.
    #[must_use]
    pub fn failure(self, message: &str) -> Option<DeviceFailure> {
        DeviceFault::of_text(message).map(|fault| DeviceFailure::Fault { work: self, fault })
    }

    fn hint(self, fault: &DeviceFault) -> &'static str {
        match fault {
            DeviceFault::OutOfMemory { .. } => self.less_memory,
            DeviceFault::Sticky { .. } => RESTART,
        }
    }
}

/// Returns the first line of a panic's message. libtorch's failures arrive as panics with a C++
/// backtrace after the first line.
#[must_use]
pub fn panic_text(cause: &(dyn Any + Send)) -> String {
    let text = message(cause);
    // A line break inside a quoted error is escaped.
    let first = text.split("\\n").next().unwrap_or(text).lines().next().unwrap_or(text);
    first.to_owned()
}

/// Keeps the panic hook from printing device faults with their C++ backtraces: the code that
/// catches a fault reports it in one line. Other panics are printed as before.
pub fn quiet_faults() {
    let others = take_hook();
    set_hook(Box::new(move |panic| {
        if DeviceFault::of_text(message(panic.payload())).is_none() {
            others(panic);
        }
    }));
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn message(cause: &dyn Any) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("unknown cause")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: DeviceWork = DeviceWork { name: "sampler", less_memory: "lower the batch size" };

    /// An error that displays its cause and returns it as its source.
    #[derive(Debug, Error)]
    #[error("{0}")]
    struct Outer(#[source] DeviceFailure);

    #[test]
    fn fault_message_has_name_hint_and_status() {
        let caught =
            WORK.catch::<()>(|| panic!("Torch(\"CUDA out of memory. Tried to\\nframe #0\")"));
        let failure = caught.unwrap_err();
        let expected = "sampler: out of memory on the GPU; hint: lower the batch size";
        assert_eq!(failure.to_string(), expected);
        assert_eq!(DeviceFailure::status_of(&Outer(failure)), 71);
        let failure = WORK.failure("CUDA error: misaligned address").unwrap();
        let text = failure.to_string();
        let start = "sampler: fault of the GPU: misaligned address; hint: start the process again";
        assert!(text.starts_with(start), "{text}");
        assert_eq!(DeviceFailure::status_of(&Outer(failure)), 70);
    }

    /// An error like tch's, and an error that wraps it.
    #[derive(Debug, Error)]
    enum Torch {
        #[error("Internal torch error: {0}")]
        Own(&'static str),
        #[error("learner: {0}")]
        Learner(#[source] Box<Self>),
        #[error("reward server: CUDA error: misaligned address")]
        Quoted,
    }

    #[test]
    fn recognises_faults_of_tch_but_not_of_quoted_text() {
        let run = |error| {
            let job = || Err::<(), Box<dyn Error>>(Box::new(error));
            WORK.run(job).unwrap_err()
        };
        let torch = Torch::Own("CUDA error: misaligned address\nCUDA kernel errors");
        let failed = run(Torch::Learner(Box::new(torch)));
        assert_eq!(DeviceFailure::status_of(&*failed), 70);
        assert_eq!(DeviceFailure::status_of(&*run(Torch::Quoted)), 1);
        // A failure named by an inner boundary keeps its name.
        let inner = || Err::<(), Box<dyn Error>>(WORK.failure("std::bad_alloc").unwrap().into());
        let outer = DeviceWork { name: "outer", ..WORK };
        let text = outer.run(inner).unwrap_err().to_string();
        assert!(text.starts_with("sampler: out of memory on the host; "), "{text}");
    }

    #[test]
    fn shows_the_first_line_of_other_panics() {
        let caught = WORK.catch::<()>(|| panic!("shape '[3]' is invalid\\nframe #0: c10"));
        let failure = caught.unwrap_err();
        let expected = "sampler: stopped inside the program: shape '[3]' is invalid";
        assert_eq!(
            (failure.to_string().as_str(), DeviceFailure::status_of(&failure)),
            (expected, 1)
        );
        assert_eq!(WORK.failure("nothing of the kind"), None);
    }
}
