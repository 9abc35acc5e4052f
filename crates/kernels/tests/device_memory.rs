//! Tests the allocator's counters, with and without a CUDA device.

use ddpo_kernels::device_memory;
use tch::{Device, Kind, Tensor};

#[test]
fn missing_devices_have_no_memory() {
    let count = ddpo_kernels::runtime::cuda().devices.as_ref().map_or(0, |count| *count as i64);
    assert_eq!(device_memory(count as i8), None);
    assert_eq!(device_memory(-1), None);
}

#[test]
fn counts_the_tensors_on_a_device() {
    if ddpo_kernels::runtime::cuda().devices.is_err() {
        println!("skipped: this machine has no CUDA device");
        return;
    }
    let tensor = Tensor::zeros([1 << 20], (Kind::Float, Device::Cuda(0)));
    let (allocated, reserved) = device_memory(0).expect("a device with a tensor");
    assert!(allocated >= 4 << 20 && reserved >= allocated, "{allocated} of {reserved}");
    drop(tensor);
    let (after, _) = device_memory(0).expect("a device");
    assert!(after < allocated, "{after}, before {allocated}");
}
