//! Processor and memory, as Linux describes them.

use super::findings::{Cpu, Memory};
use ddpo_diffusion::device;
use std::fs::read_to_string;
use tch::Device;

/// Flags of `/proc/cpuinfo` that select kernels: vector units, and bfloat16 products.
const FEATURES: [&str; 7] = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "bf16", "asimd"];

/// Files with the memory limit of a container, for cgroups 2 and 1.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

pub fn machine() -> String {
    let release = read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = name.unwrap_or(std::env::consts::OS).trim_matches('"');
    format!("{name}, kernel {}, {}", kernel.trim(), std::env::consts::ARCH)
}

pub fn cpu() -> Cpu {
    let described = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> =
        value(&described, &["flags", "Features"]).unwrap_or_default().split_whitespace().collect();
    let features = FEATURES.iter().filter(|feature| flags.contains(feature));
    Cpu {
        name: value(&described, &["model name", "Hardware"]).unwrap_or("unknown").into(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        features: features.map(ToString::to_string).collect(),
    }
}

pub fn memory() -> Memory {
    let described = read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let kilobytes = value(&described, &[name]).and_then(|text| text.split(' ').next());
        kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    let limit = LIMITS.iter().find_map(|path| read_to_string(path).ok()?.trim().parse().ok());
    let limit: u64 = limit.unwrap_or(u64::MAX);
    let available = device::free_memory(Device::Cpu).unwrap_or(0);
    Memory { total: bytes("MemTotal").min(limit), available }
}

/// Returns the value of the first line `name : value` with one of these names.
fn value<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        names.contains(&name.trim()).then(|| value.trim())
    })
}
