//! Errors from writing tensors and pipelines.

use std::path::PathBuf;

use ddpo_files::WriteFileError;
use tch::{Kind, TchError};

/// Errors from writing tensors and pipelines.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file or folder could not be written.
    #[error(transparent)]
    File(#[from] WriteFileError),
    /// The safetensors format does not support the type of a tensor.
    #[error(
        "could not write `{}`: tensor `{tensor}`: expected f16, bf16, f32, f64, bool or an \
         integer type, found {found:?}",
        path.display()
    )]
    UnsupportedKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Type of the tensor.
        found: Kind,
    },
    /// Two tensors have the same name, or a tensor has the reserved name.
    #[error("could not write `{}`: expected each name once, found `{tensor}` again", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The name.
        tensor: String,
    },
    /// libtorch could not copy the values of a tensor.
    #[error("could not write `{}`: tensor `{tensor}`: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// libtorch's error.
        source: TchError,
    },
    /// A config is not valid JSON.
    #[error("could not write `{}`: expected JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
}
