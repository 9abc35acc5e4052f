//! What every service does when its device fails: the failure gets a type at the boundary of the thread
//! that owns the device, and the process ends with a message and a status that say which one it was.
//!
//! libtorch's errors have no types outside C++. They arrive as panics of its bindings, or as errors
//! that quote its text. [`DeviceFault`] reads the text; [`DeviceWork`] is the boundary.

mod fault;
mod work;

pub use fault::DeviceFault;
pub use work::{DeviceFailure, DeviceWork, panic_text, quiet_faults};
