//! The error of reading a file of tensors.

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
    /// The content is of no known format.
    #[error(
        "`{}`: expected a safetensors file or a torch zip archive, found {found}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// The pickle is of the kind that PyTorch wrote before 1.6.
    #[error(
        "`{}`: expected a torch zip archive, found a legacy torch pickle; \
         hint: load it in PyTorch and save it again, or convert it to safetensors",
        path.display()
    )]
    LegacyPickle {
        /// The file.
        path: PathBuf,
    },
    /// The file is shorter or longer than its header says.
    #[error(
        "`{}`: expected {expected} bytes, found {found}; hint: the file is damaged or cut short",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The safetensors header is not valid.
    #[error("`{}`: bad safetensors header: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The zip archive is not one that `torch.save` writes.
    #[error("`{}`: bad torch archive: {reason}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The pickle in the archive is refused.
    #[error("`{}`: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PickleError,
    },
    /// The type of a tensor's elements is not one that this crate reads.
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
        /// Its type.
        found: String,
    },
    /// There is no tensor of that name.
    #[error("`{}` has no tensor `{tensor}`", path.display())]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// libtorch refused the tensor.
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
