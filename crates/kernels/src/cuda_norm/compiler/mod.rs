//! Compiles the kernels: their source, where NVRTC is, and the architecture for a GPU.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::element::Element;
use super::error::CudaNormError;
use super::ffi::{self, Compiled, Form, Nvrtc, Source};

const SOURCE: &str = include_str!("../../../cpp/cuda/group_norm_silu.cu");
const HEADER: &str = include_str!("../../../cpp/cuda/arguments.h");

/// The name that the loader knows NVRTC by.
const LIBRARY: &str = "libnvrtc.so.13";

/// Where PyTorch's wheels have NVRTC, from the folder of libtorch.
const WHEEL_FOLDER: &str = "../../nvidia/cu13/lib";

/// Where NVIDIA's packages have it.
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

/// The name alone, which finds a loaded library too; then beside `libtorch`, one of its libraries; then the
/// toolkit's folder.
fn candidates(libtorch: Option<&Path>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(LIBRARY)];
    if let Some(folder) = libtorch.and_then(Path::parent) {
        found.extend(bundled(folder));
        found.push(folder.join(WHEEL_FOLDER).join(LIBRARY));
    }
    found.push(Path::new(TOOLKIT_FOLDER).join(LIBRARY));
    found
}

/// The NVRTC of a libtorch that brings one, perhaps under a name with a digest: `libnvrtc-0123abcd.so.13`.
fn bundled(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_library = name.starts_with("libnvrtc") && name.contains(".so.13");
        is_library && !name.contains("builtins") && !name.contains(".alt.")
    });
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Opens the first library that can be opened; the error is that of the first candidate that exists, or of
/// the name.
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
    Err(CudaNormError::Nvrtc(one_line(&reason.unwrap_or_else(|| LIBRARY.into()))))
}

/// An architecture and the form of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// NVRTC's name, such as `sm_90` or `compute_90`.
    pub(super) name: String,
    pub(super) form: Form,
}

impl Target {
    /// Machine code of the GPU's architecture `capability`, such as 90, where NVRTC compiles for it; for a
    /// newer GPU PTX of the newest architecture that NVRTC has, which the driver compiles.
    ///
    /// # Errors
    /// [`CudaNormError::Architecture`].
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

/// The compiler's options. Division is within two units in the last place; nothing else is approximated.
fn options(element: Element, target: &Target) -> Vec<String> {
    vec![
        format!("--gpu-architecture={}", target.name),
        format!("--define-macro=DDPO_ELEMENT={}", element.name()),
        "--std=c++17".into(),
        "--prec-div=false".into(),
    ]
}

/// Returns everything that the image depends on, for the key of a cache.
pub(super) fn identity(nvrtc: &Nvrtc, element: Element, target: &Target) -> String {
    let (major, minor) = nvrtc.version;
    let options = options(element, target).join("\n");
    format!("nvrtc {major}.{minor}\n{:?}\n{options}\n{HEADER}\n{SOURCE}", target.form)
}

/// Compiles the kernels. `extra` are more options.
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

/// The first line that has text.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
