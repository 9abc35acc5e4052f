//! The structs that `cpp/runtime.cpp` fills, with the same fields in the same order.

use std::ffi::c_char;

/// `DdpoCuda` of `cpp/runtime.cpp`.
#[repr(C)]
pub(crate) struct RawCuda {
    pub(crate) library: i32,
    pub(crate) driver: i32,
    pub(crate) initialised: i32,
    pub(crate) driver_version: i32,
    pub(crate) runtime_version: i32,
    pub(crate) cudnn_version: i64,
    pub(crate) path: [c_char; 1024],
    pub(crate) message: [c_char; 1024],
}

/// `DdpoCudaDevice` of `cpp/runtime.cpp`.
#[repr(C)]
pub(crate) struct RawCudaDevice {
    pub(crate) name: [c_char; 256],
    pub(crate) memory: u64,
    pub(crate) major: i32,
    pub(crate) minor: i32,
    pub(crate) processors: i32,
}

/// `DdpoNumerics` of `cpp/runtime.cpp`.
#[derive(Default)]
#[repr(C)]
pub(crate) struct RawSwitches {
    pub(crate) deterministic_algorithms: bool,
    pub(crate) warn_only: bool,
    pub(crate) deterministic_cudnn: bool,
    pub(crate) benchmark_cudnn: bool,
    pub(crate) fill_uninitialised: bool,
    pub(crate) attention_flash: bool,
    pub(crate) attention_memory_efficient: bool,
    pub(crate) attention_math: bool,
    pub(crate) attention_cudnn: bool,
    pub(crate) matmul_precision: [c_char; 16],
    pub(crate) cuda_matmul: [c_char; 16],
    pub(crate) cuda_convolution: [c_char; 16],
    pub(crate) cpu_matmul: [c_char; 16],
    pub(crate) cpu_convolution: [c_char; 16],
    pub(crate) cublas_workspace: [c_char; 32],
}

impl Default for RawCuda {
    fn default() -> Self {
        Self {
            library: 0,
            driver: 0,
            initialised: 0,
            driver_version: 0,
            runtime_version: 0,
            cudnn_version: 0,
            path: [0; 1024],
            message: [0; 1024],
        }
    }
}

impl Default for RawCudaDevice {
    fn default() -> Self {
        Self { name: [0; 256], memory: 0, major: 0, minor: 0, processors: 0 }
    }
}

/// Returns the text before the first zero byte.
pub(crate) fn text(bytes: &[c_char]) -> String {
    let bytes: Vec<u8> =
        bytes.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
