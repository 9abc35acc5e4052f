//! The small pretrained model that is part of the program: `toy-faces-32` (see `models/`).

use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use thiserror::Error;

/// The name that stands for it wherever a checkpoint is asked for.
pub const NAME: &str = "toy-faces-32";

macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../models/toy-faces-32/", $path)).as_slice())
    };
}

const FILES: [(&str, &[u8]); 4] = [
    file!("model_index.json"),
    file!("scheduler/scheduler_config.json"),
    file!("unet/config.json"),
    file!("unet/diffusion_pytorch_model.safetensors"),
];

/// Why the model's files could not be laid out.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// There is no place for a temporary folder.
    #[error("could not create a temporary folder: {0}")]
    Folder(#[source] io::Error),
    /// A file could not be written there.
    #[error("could not write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the model's files into a temporary folder, which goes when it is dropped.
///
/// # Errors
/// [`UnpackError`].
pub fn unpack() -> Result<TempDir, UnpackError> {
    let folder = tempfile::tempdir().map_err(UnpackError::Folder)?;
    for (name, bytes) in FILES {
        let path = folder.path().join(name);
        let parent = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|source| UnpackError::File { path, source })?;
    }
    Ok(folder)
}
