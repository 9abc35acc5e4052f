//! Copies between the host and a device. Copies to the device do not wait. Every copy that waits for the
//! device goes through [`read`] and is counted, because the device then idles until the host launches
//! more work.

use std::cell::Cell;
use tch::{Device, Kind, TchError, Tensor};

thread_local! {
    static BLOCKING_READS: Cell<u64> = const { Cell::new(0) };
}

/// Copies host values to `device` as a tensor of shape `size`. On a GPU the copy is asynchronous, from
/// pinned memory.
pub fn upload<T: tch::kind::Element>(values: &[T], size: &[i64], device: Device) -> Tensor {
    let host = Tensor::from_slice(values).view(size);
    if device == Device::Cpu {
        return host;
    }
    host.pin_memory(device).to_device_(device, T::KIND, true, false)
}

/// Queues a copy of `tensor` to pinned host memory. The values are valid after a [`read`] of a tensor
/// that was queued later on the same device. On the CPU the result is the tensor itself.
pub fn queue_download(tensor: &Tensor) -> Tensor {
    match tensor.device() {
        Device::Cpu => tensor.shallow_clone(),
        _ => tensor.to_device_(Device::Cpu, tensor.kind(), true, false),
    }
}

/// Waits for the device and returns the concatenated values of `tensors` as f64, in one transfer. The
/// conversion from f32 and bf16 is exact.
///
/// # Errors
/// [`TchError`] if this or an earlier operation failed on the device.
pub fn read(tensors: &[&Tensor]) -> Result<Vec<f64>, TchError> {
    BLOCKING_READS.set(BLOCKING_READS.get() + 1);
    let flat: Vec<Tensor> =
        tensors.iter().map(|tensor| tensor.detach().to_kind(Kind::Double).flatten(0, -1)).collect();
    Vec::<f64>::try_from(Tensor::f_cat(&flat, 0)?)
}

/// Returns the number of [`read`]s by this thread.
#[must_use]
pub fn blocking_reads() -> u64 {
    BLOCKING_READS.get()
}
