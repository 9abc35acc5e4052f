//! The allocator's counters, where there is a device and where there is none.

use ddpo_kernels::device_memory;
use tch::{Device, Kind, Tensor};

#[test]
fn a_device_that_is_not_there_has_no_memory() {
    let count = ddpo_kernels::runtime::cuda().devices.as_ref().map_or(0, |count| *count as i64);
    assert_eq!(device_memory(count as i8), None);
    assert_eq!(device_memory(-1), None);
}

#[test]
fn a_devices_tensors_are_counted() {
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
