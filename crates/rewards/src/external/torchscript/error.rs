//! Errors from scoring with a TorchScript file.

use std::path::PathBuf;
use thiserror::Error;

/// Errors from scoring with a TorchScript file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The file does not exist.
    #[error("torchscript {}: no such file", .0.display())]
    Missing(PathBuf),
    /// The file is not a TorchScript file, or libtorch cannot read it.
    #[error(
        "torchscript {}: expected a file of torch.jit.save, found another: {reason}; \
         hint: torch.jit.script(module).save(path) writes one", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// libtorch's message.
        reason: String,
    },
    /// The module failed on an image.
    #[error("torchscript {}: the module failed on pixels {input}: {reason}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// Type and shape of the input.
        input: String,
        /// The module's message.
        reason: String,
    },
    /// The module returns something else than scores.
    #[error(
        "torchscript {}: expected one score for each image, a tensor of [{images}] or [{images}, 1] \
         numbers, found {found}", path.display()
    )]
    Output {
        /// The file.
        path: PathBuf,
        /// The number of images B.
        images: i64,
        /// Type and shape of the output.
        found: String,
    },
}
