//! libtorch, CUDA and its devices.

use super::findings::{Cuda, Device, Libtorch};
use ddpo_kernels::runtime::{self, Version};

pub fn libtorch() -> Libtorch {
    Libtorch { version: runtime::libtorch_version(), path: runtime::libtorch_path() }
}

pub fn cuda() -> Cuda {
    let found = runtime::cuda();
    let known = |version: Version| (version != Version::default()).then(|| version.to_string());
    let count = found.devices.as_ref().map_or(0, |count| *count);
    Cuda {
        runtime: known(found.runtime),
        driver: known(found.driver),
        cudnn: (found.cudnn > 0).then_some(found.cudnn),
        nccl: runtime::nccl_version(),
        devices: (0..count).filter_map(|index| device(index, count)).collect(),
        reason: found.devices.as_ref().err().map(ToString::to_string),
    }
}

fn device(index: usize, count: usize) -> Option<Device> {
    let found = runtime::cuda_device(index)?;
    let peers = (0..count).filter(|&peer| runtime::can_access_peer(index, peer));
    Some(Device {
        device: format!("cuda:{index}"),
        name: found.name,
        memory: found.memory,
        capability: found.capability.to_string(),
        processors: found.processors,
        peers: peers.map(|peer| format!("cuda:{peer}")).collect(),
    })
}
