//! The small age classifier embedded in the program: `toy-ages-32` (see `models/`).

use ddpo_checkpoint::{UnpackError, unpack};
use tempfile::TempDir;

/// The model's name, accepted wherever a setting names a reward network.
pub const NAME: &str = "toy-ages-32";

macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../models/toy-ages-32/", $path)).as_slice())
    };
}

const FILES: [(&str, &[u8]); 3] =
    [file!("config.json"), file!("preprocessor_config.json"), file!("model.safetensors")];

/// Writes the model's files into a temporary folder, which is removed when it is dropped.
///
/// # Errors
/// [`UnpackError`].
pub fn unpacked() -> Result<TempDir, UnpackError> {
    unpack(&FILES)
}
