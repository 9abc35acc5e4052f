//! Handles device failures of all services. The thread that owns the device converts a failure to a
//! typed error, and the process ends with a message and an exit status for it.
//!
//! libtorch's errors have no types outside C++: they arrive as panics of its bindings, or as errors
//! that quote its text. [`DeviceFault`] parses the text; [`DeviceWork`] is the boundary.

mod fault;
mod work;

pub use fault::DeviceFault;
pub use work::{DeviceFailure, DeviceWork, panic_text, quiet_faults};
