//! Which device and how many threads a command runs on.

use anyhow::{Context, Result, bail};
use tch::{Cuda, Device};

/// Parses `auto`, `cpu`, `cuda` or `cuda:N` and checks that the device is there.
pub fn parse(name: &str) -> Result<Device> {
    let index = match name {
        "auto" => return Ok(Device::cuda_if_available()),
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        other => {
            let number = other.strip_prefix("cuda:").and_then(|number| number.parse().ok());
            let expected = "expected auto, cpu, cuda or cuda:N";
            number.with_context(|| format!("device = {name}: {expected}"))?
        }
    };
    let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    if index as i64 >= count {
        let hint = "hint: libtorch sees CUDA devices only if it was set up with DDPO_TORCH=cuda";
        bail!("device = {name}: not there; this machine offers {count} CUDA devices; {hint}");
    }
    Ok(Device::Cuda(index))
}

/// Sets the number of CPU threads, all of the machine's by default, and gives it.
pub fn set_threads(threads: Option<usize>) -> Result<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(all);
    if !(1..=1024).contains(&threads) {
        bail!("threads = {threads}: expected 1 to 1024");
    }
    tch::set_num_threads(threads as i32);
    tch::set_num_interop_threads(1);
    Ok(threads)
}
