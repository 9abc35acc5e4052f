//! Device faults, parsed from libtorch's error text.

use thiserror::Error;

/// Exit status after a fault that only a new process recovers from.
const STICKY_STATUS: u8 = 70;

/// Exit status after running out of memory.
const OUT_OF_MEMORY_STATUS: u8 = 71;

/// Prefixes of errors that CUDA or its libraries report.
const REPORTS: [&str; 4] =
    ["CUDA error: ", "CUDA driver error: ", "cuDNN error: ", "cuDNN Frontend error: "];

/// Status codes of cuBLAS and cuDNN that follow from a broken context. Other codes, such as
/// `CUDNN_STATUS_NOT_SUPPORTED`, reject a single call.
const BROKEN: [&str; 4] =
    ["EXECUTION_FAILED", "INTERNAL_ERROR", "MAPPING_ERROR", "NOT_INITIALIZED"];

/// The end of an error's name: a line break, plain or escaped, a closing quotation mark, or the
/// failed call.
const ENDS: [&str; 4] = ["\n", "\\n", "\"", " when calling"];

/// A fault after which a process cannot use its device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceFault {
    /// An allocation failed. Repeating the work needs the same memory.
    #[error("out of memory on {device}{}", numbers(tried.as_deref(), free.as_deref()))]
    OutOfMemory {
        /// `GPU 0`, `the GPU` or `the host`.
        device: String,
        /// Size of the allocation, such as `20.00 MiB`.
        tried: Option<String>,
        /// Free memory, such as `12.19 MiB free of 139.81 GiB`.
        free: Option<String>,
    },
    /// CUDA reports an error that persists in this process, or that leaves the device in an unknown
    /// state.
    #[error("fault of the GPU: {name}")]
    Sticky {
        /// CUDA's name of the error, such as `an illegal memory access was encountered`.
        name: String,
    },
}

impl DeviceFault {
    /// Returns the fault in an error text of libtorch; `None` for other text. The text may be
    /// quoted, escaped, or part of a longer message.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        out_of_memory(text).or_else(|| sticky(text))
    }

    /// Returns the exit status for a process that the fault ends.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::OutOfMemory { .. } => OUT_OF_MEMORY_STATUS,
            Self::Sticky { .. } => STICKY_STATUS,
        }
    }
}

fn numbers(tried: Option<&str>, free: Option<&str>) -> String {
    let tried = tried.map(|tried| format!("tried to allocate {tried}"));
    let free = free.map(|free| format!("found {free}"));
    let parts: Vec<String> = tried.into_iter().chain(free).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn out_of_memory(text: &str) -> Option<DeviceFault> {
    if let Some(rest) = after(text, "CUDA out of memory") {
        let device = after(rest, "GPU ").and_then(|rest| rest.split(' ').next());
        let device = device.map_or("the GPU".to_owned(), |index| format!("GPU {index}"));
        let (tried, total) = (size_after(rest, "to allocate "), size_after(rest, "capacity of "));
        let free = size_after(rest, "of which ");
        let free = free.zip(total).map(|(free, total)| format!("{free} free of {total}"));
        return Some(DeviceFault::OutOfMemory { device, tried, free });
    }
    let plain = |device: &str, tried| {
        Some(DeviceFault::OutOfMemory { device: device.into(), tried, free: None })
    };
    if let Some(rest) = after(text, "DefaultCPUAllocator: ") {
        let bytes = after(rest, "you tried to allocate ").and_then(|rest| rest.split(' ').next());
        return plain("the host", bytes.and_then(|bytes| bytes.parse().ok()).map(shown));
    }
    if text.contains("std::bad_alloc") {
        return plain("the host", None);
    }
    let (_, name) = reported(text)?;
    if name == "out of memory" || name.contains("ALLOC") { plain("the GPU", None) } else { None }
}

fn sticky(text: &str) -> Option<DeviceFault> {
    let (report, name) = reported(text)?;
    let broken = BROKEN.iter().any(|code| name.contains(code));
    let is_status = report.starts_with("cuDNN") || name.contains("_STATUS_");
    (broken || !is_status).then(|| DeviceFault::Sticky { name: name.to_owned() })
}

/// Returns the prefix of the report, one of [`REPORTS`], and the name of the error.
fn reported(text: &str) -> Option<(&'static str, &str)> {
    REPORTS.iter().find_map(|report| {
        let rest = after(text, report)?;
        let ends = ENDS.iter().filter_map(|end| rest.find(end));
        let name = rest[..ends.min().unwrap_or(rest.len())].trim();
        (!name.is_empty()).then_some((*report, name))
    })
}

fn after<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    text.split_once(marker).map(|(_, rest)| rest)
}

/// Returns number and unit after `marker`.
fn size_after(text: &str, marker: &str) -> Option<String> {
    let mut words = after(text, marker)?.split([' ', '\n', '"']);
    let (number, unit) = (words.next()?, words.next()?.trim_end_matches('.'));
    number.parse::<f64>().ok().map(|_| format!("{number} {unit}"))
}

/// Formats bytes as libtorch does.
fn shown(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < units.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{size:.2} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formats a text as in tch's panics: quoted, escaped, followed by C++ frames.
    fn panicked(text: &str) -> String {
        let text = format!("{text}\nException raised from operator() at /pytorch (most recent)\n");
        format!("called `Result::unwrap()` on an `Err` value: Torch({text:?})")
    }

    fn message(text: &str) -> Option<String> {
        let found = DeviceFault::of_text(&panicked(text));
        assert_eq!(found, DeviceFault::of_text(text), "quoting changes {text}");
        found.map(|fault| fault.to_string())
    }

    #[test]
    fn names_allocation_size_and_free_gpu_memory() {
        let text = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has a total capacity of \
                    139.81 GiB of which 12.19 MiB is free. Including non-PyTorch memory, this process \
                    has 139.79 GiB memory in use. Of the allocated memory 138.00 GiB is allocated by \
                    PyTorch, and 1.00 GiB is reserved by PyTorch but unallocated.";
        let expected = "out of memory on GPU 1: tried to allocate 20.00 MiB, found 12.19 MiB free of \
                        139.81 GiB";
        assert_eq!(message(text).as_deref(), Some(expected));
        let short = message("CUDA out of memory. Tried to allocate more than 1EB memory.");
        assert_eq!(short.as_deref(), Some("out of memory on the GPU"));
    }

    #[test]
    fn recognises_all_out_of_memory_messages() {
        let host = "[enforce fail at alloc_cpu.cpp:126] err == 0. DefaultCPUAllocator: can't allocate \
                    memory: you tried to allocate 4398046511104 bytes. Error code 12 (Cannot allocate \
                    memory)";
        let expected = "out of memory on the host: tried to allocate 4.00 TiB";
        assert_eq!(message(host).as_deref(), Some(expected));
        assert_eq!(message("std::bad_alloc").as_deref(), Some("out of memory on the host"));
        for text in [
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        ] {
            assert_eq!(message(text).as_deref(), Some("out of memory on the GPU"), "{text}");
        }
    }

    #[test]
    fn recognises_sticky_errors() {
        for (text, name) in [
            (
                "CUDA error: an illegal memory access was encountered\nSearch for \
                 `cudaErrorIllegalAddress' in https://docs.nvidia.com for more information.",
                "an illegal memory access was encountered",
            ),
            ("CUDA error: device-side assert triggered\n", "device-side assert triggered"),
            ("CUDA error: unspecified launch failure", "unspecified launch failure"),
            (
                "CUDA error: uncorrectable ECC error encountered\n",
                "uncorrectable ECC error encountered",
            ),
            ("CUDA driver error: unknown error", "unknown error"),
            (
                "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa)`",
                "CUBLAS_STATUS_EXECUTION_FAILED",
            ),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "CUDNN_STATUS_INTERNAL_ERROR"),
        ] {
            let fault = DeviceFault::of_text(&panicked(text));
            assert_eq!(fault, Some(DeviceFault::Sticky { name: name.into() }), "{text}");
            assert_eq!(DeviceFault::of_text(text), fault);
        }
    }

    #[test]
    fn ignores_rejections_of_a_single_call() {
        for text in [
            "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0",
            "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a \
             non-contiguous input.",
            "cuDNN Frontend error: [cudnn_frontend] Error: No execution plans support the graph.",
            "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( handle, opa)`",
            "device = cuda:1: not found; this process sees 1 CUDA devices",
        ] {
            assert_eq!(message(text), None, "{text}");
        }
    }

    #[test]
    fn exit_status_distinguishes_faults() {
        let status = |text| DeviceFault::of_text(text).map(|fault| fault.status());
        assert_eq!(status("CUDA error: misaligned address"), Some(70));
        assert_eq!(status("CUDA out of memory."), Some(71));
    }
}
