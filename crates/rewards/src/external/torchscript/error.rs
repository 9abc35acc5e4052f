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
    /// libtorch cannot read the file as TorchScript.
    #[error(
        "torchscript {}: expected a file of torch.jit.save, found another: {reason}; \
         hint: write it with torch.jit.script(module).save(path)", path.display()
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
    /// The output of the module is not one score for each image.
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
