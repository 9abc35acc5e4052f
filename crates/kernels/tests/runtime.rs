//! Tests the libtorch switches that affect the bits of results, and loading of the CUDA libraries.

use ddpo_kernels::runtime::{self, NoCuda, Precision, Switches};
use std::sync::Mutex;

/// The switches are process-wide, so tests that set them must not run in parallel.
static SWITCHES: Mutex<()> = Mutex::new(());

fn set(deterministic: bool, precision: Precision) -> Switches {
    runtime::set_switches(deterministic, precision).expect("libtorch accepts every switch");
    runtime::switches().expect("the switches are consistent")
}

fn named(precision: &str, cuda: &str, cpu: &str) -> [String; 5] {
    [precision, cuda, cuda, cpu, cpu].map(str::to_owned)
}

fn precisions(switches: &Switches) -> [String; 5] {
    let Switches {
        matmul_precision,
        cuda_matmul,
        cuda_convolution,
        cpu_matmul,
        cpu_convolution,
        ..
    } = switches.clone();
    [matmul_precision, cuda_matmul, cuda_convolution, cpu_matmul, cpu_convolution]
}

#[test]
fn deterministic_sets_every_switch_that_affects_bits() {
    let _only = SWITCHES.lock();
    let on = set(true, Precision::Highest);
    assert!(on.deterministic_algorithms && !on.warn_only && on.deterministic_cudnn);
    assert!(!on.benchmark_cudnn && !on.fill_uninitialised);
    assert!(on.attention_flash && on.attention_math);
    assert!(!on.attention_memory_efficient && !on.attention_cudnn);
    assert_eq!(on.cublas_workspace, ":4096:8");

    let off = set(false, Precision::Highest);
    assert!(!off.deterministic_algorithms && !off.deterministic_cudnn && off.benchmark_cudnn);
    assert!(!off.fill_uninitialised && off.attention_memory_efficient && off.attention_cudnn);
    set(true, Precision::Highest);
}

#[test]
fn precision_applies_to_products_and_convolutions() {
    let _only = SWITCHES.lock();
    assert_eq!(precisions(&set(true, Precision::High)), named("high", "tf32", "tf32"));
    assert_eq!(precisions(&set(true, Precision::Medium)), named("medium", "tf32", "bf16"));
    assert_eq!(precisions(&set(true, Precision::Highest)), named("highest", "ieee", "ieee"));
}

#[test]
fn loads_cuda_libraries_or_reports_why_there_is_no_device() {
    let found = runtime::cuda();
    let mapped = std::fs::read_to_string("/proc/self/maps").expect("this process's mappings");
    let is_mapped = mapped.contains("/libtorch_cuda.so");
    match &found.devices {
        Ok(count) => {
            assert!(is_mapped);
            let device = runtime::cuda_device(0).expect("the first device");
            assert!(*count > 0 && device.memory > 1 << 30 && !device.name.is_empty());
        }
        Err(NoCuda::Library(path)) => {
            assert!(!is_mapped && !path.exists() && path.ends_with("libtorch_cuda.so"));
        }
        Err(reason) => {
            assert!(is_mapped, "{reason}");
            assert_eq!(runtime::cuda_device(0), None);
        }
    }
}
