//! The files of a model card: `README.md`, which the Hugging Face Hub shows as the page of a
//! repository, and the picture beside it. [`crate::card`] writes the text.

use ddpo_checkpoint::MODEL_CARD;
use ddpo_files::{WriteFileError, write_file};
use ddpo_picture::{PictureError, write_png};
use ddpo_rollout::image::RgbImage;
use std::path::Path;
use thiserror::Error;

/// The name of the picture in the folder.
pub const PICTURE: &str = "before-after.png";

/// A model card.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// Front matter and text.
    pub text: String,
    /// Samples from the same noise before and after the run.
    pub picture: Option<RgbImage>,
}

/// Errors from writing a model card.
#[derive(Debug, Error)]
pub enum ModelCardError {
    /// The text could not be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// The picture could not be written.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

impl ModelCard {
    /// Writes the card into the folder of a checkpoint.
    ///
    /// # Errors
    /// [`ModelCardError`] names the file.
    pub fn write(&self, root: &Path) -> Result<(), ModelCardError> {
        if let Some(picture) = &self.picture {
            write_png(&root.join(PICTURE), picture)?;
        }
        Ok(write_file(&root.join(MODEL_CARD), self.text.as_bytes())?)
    }
}
