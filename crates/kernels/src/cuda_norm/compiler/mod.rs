//! Compiles the kernels: finds NVRTC, selects the architecture for a GPU, and runs the compiler.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::element::Element;
use super::error::CudaNormError;
use super::ffi::{self, Compiled, Form, Nvrtc, Source};

const SOURCE: &str = include_str!("../../../cpp/cuda/group_norm_silu.cu");
const HEADER: &str = include_str!("../../../cpp/cuda/arguments.h");

/// A major version of NVRTC, which is that of CUDA: where PyTorch's wheels have it.
struct Release {
    /// NVRTC's name for the dynamic loader.
    library: &'static str,
    /// NVRTC's folder, relative to the folder of libtorch.
    wheel: &'static str,
}

/// The supported versions, newest first.
const RELEASES: [Release; 2] = [
    Release { library: "libnvrtc.so.13", wheel: "../../nvidia/cu13/lib" },
    Release { library: "libnvrtc.so.12", wheel: "../../nvidia/cuda_nvrtc/lib" },
];

/// NVRTC's folder in NVIDIA's packages.
const TOOLKIT_FOLDER: &str = "/usr/local/cuda/lib64";

/// Returns this process's NVRTC; the first call opens it.
pub(super) fn nvrtc() -> Result<&'static Nvrtc, CudaNormError> {
    static OPENED: OnceLock<Result<Nvrtc, CudaNormError>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let libtorch = ffi::libtorch_path().and_then(|path| fs::canonicalize(path).ok());
        open(&candidates(libtorch.as_deref()))
    });
    opened.as_ref().map_err(Clone::clone)
}

/// Returns the paths to try, in order: beside `libtorch` (a path of one of its libraries) and in the wheels
/// that it came with, so that NVRTC and libtorch have the same CUDA; the name alone; the toolkit's folder.
fn candidates(libtorch: Option<&Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(folder) = libtorch.and_then(Path::parent) {
        for Release { library, wheel } in &RELEASES {
            found.extend(bundled(folder, library));
            found.push(folder.join(wheel).join(library));
        }
    }
    found.extend(RELEASES.iter().map(|release| PathBuf::from(release.library)));
    found.extend(RELEASES.iter().map(|release| Path::new(TOOLKIT_FOLDER).join(release.library)));
    found
}

/// Returns the libraries bundled with libtorch whose name begins and ends like `library`; it may have a
/// digest, such as `libnvrtc-0123abcd.so.13`.
fn bundled(folder: &Path, library: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let suffix = library.trim_start_matches("libnvrtc");
    let named = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_library = name.starts_with("libnvrtc") && name.contains(suffix);
        is_library && !name.contains("builtins") && !name.contains(".alt.")
    });
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Opens the first candidate that can be opened. On failure returns the error of the last candidate that
/// exists, otherwise of the first candidate.
fn open(candidates: &[PathBuf]) -> Result<Nvrtc, CudaNormError> {
    let mut reason = None;
    for path in candidates {
        let Ok(text) = CString::new(path.as_os_str().as_encoded_bytes()) else { continue };
        match Nvrtc::open(&text) {
            Ok(opened) => return Ok(opened),
            Err(_) if reason.is_some() && !path.exists() => {}
            Err(error) => reason = Some(error),
        }
    }
    Err(CudaNormError::Nvrtc(one_line(&reason.unwrap_or_else(|| RELEASES[0].library.into()))))
}

/// An architecture and the form of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// NVRTC's name, such as `sm_90` or `compute_90`.
    pub(super) name: String,
    pub(super) form: Form,
}

impl Target {
    /// Selects machine code for the GPU's architecture `capability`, such as 90, if NVRTC supports it. For
    /// a newer GPU selects PTX of NVRTC's newest older architecture, which the driver compiles.
    ///
    /// # Errors
    /// [`CudaNormError::Architecture`] if the GPU is older than all architectures of NVRTC.
    pub(super) fn of(capability: i32, architectures: &[i32]) -> Result<Self, CudaNormError> {
        let newest = architectures.iter().filter(|known| **known <= capability).max();
        match newest {
            Some(known) if *known == capability => {
                Ok(Self { name: format!("sm_{known}"), form: Form::Cubin })
            }
            Some(known) => Ok(Self { name: format!("compute_{known}"), form: Form::Ptx }),
            None => {
                let oldest = architectures.iter().copied().min().unwrap_or_default();
                Err(CudaNormError::Architecture { oldest, found: capability })
            }
        }
    }
}

/// Returns the compiler's options. Division is accurate to two units in the last place; nothing else is
/// approximated.
fn options(element: Element, target: &Target) -> Vec<String> {
    vec![
        format!("--gpu-architecture={}", target.name),
        format!("--define-macro=DDPO_ELEMENT={}", element.name()),
        "--std=c++17".into(),
        "--prec-div=false".into(),
    ]
}

/// Returns everything that the image depends on, as a cache key.
pub(super) fn identity(nvrtc: &Nvrtc, element: Element, target: &Target) -> String {
    let (major, minor) = nvrtc.version;
    let options = options(element, target).join("\n");
    format!("nvrtc {major}.{minor}\n{:?}\n{options}\n{HEADER}\n{SOURCE}", target.form)
}

/// Compiles the kernels with additional options `extra`.
///
/// # Errors
/// [`CudaNormError::Compile`].
pub(super) fn compile(
    nvrtc: &Nvrtc,
    element: Element,
    target: &Target,
    extra: &[&str],
) -> Result<Compiled, CudaNormError> {
    let refused = |reason: &str| CudaNormError::Compile {
        target: target.name.clone(),
        reason: one_line(reason),
    };
    let text = |text: &str| CString::new(text).map_err(|error| refused(&error.to_string()));
    let options = options(element, target);
    let options = options.iter().map(String::as_str).chain(extra.iter().copied());
    let source = Source {
        name: text("group_norm_silu.cu")?,
        text: text(SOURCE)?,
        header_name: text("arguments.h")?,
        header: text(HEADER)?,
        options: options.map(text).collect::<Result<_, _>>()?,
    };
    nvrtc.compile(&source, target.form).map_err(|reason| refused(&reason))
}

/// Returns the first non-empty line.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
