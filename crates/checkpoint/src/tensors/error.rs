//! Errors from reading a file of tensors.

use std::io;
use std::path::PathBuf;

use tch::TchError;

use crate::pickle::PickleError;

/// Errors from opening or reading a file of tensors.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The file could not be read.
    #[error("could not read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The format is unknown.
    #[error(
        "`{}`: expected a safetensors file or a file of torch.save, found {found}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// An index and its files disagree.
    #[error("`{}`: bad index of weights: {reason}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is shorter or longer than its header states.
    #[error(
        "`{}`: expected {expected} bytes, found {found}; hint: the file is damaged or cut short",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Length that the header states.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// The safetensors header is invalid.
    #[error("`{}`: bad safetensors header: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is not one of `torch.save`.
    #[error("`{}`: bad torch archive: {reason}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The pickle in the archive is rejected.
    #[error("`{}`: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: PickleError,
    },
    /// The type of a tensor's elements is not supported.
    #[error(
        "`{}`: tensor `{tensor}`: expected f16, bf16, f32, f64, bool or an integer type, \
         found {found}",
        path.display()
    )]
    UnsupportedKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Type of the tensor.
        found: String,
    },
    /// The file has no tensor of that name.
    #[error("`{}` has no tensor `{tensor}`", path.display())]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// The requested name.
        tensor: String,
    },
    /// libtorch could not create the tensor.
    #[error("`{}`: tensor `{tensor}`: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// libtorch's error.
        source: TchError,
    },
}
