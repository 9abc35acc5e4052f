//! The model card of a checkpoint: `README.md`, which the Hugging Face Hub shows as the page of a
//! repository, and the picture beside it.
//!
//! A card says what was made of what, for which reward, with what success, how to use it and how to
//! make it again. It is a function of the run alone: no time, no host, no folder stands in it, so
//! that the same run writes the same bytes wherever and however often it is run.

pub mod base;
pub mod comparison;
pub mod conversion;
pub mod finetuning;
mod front_matter;
mod markdown;
mod usage;

use crate::checkpoint::SaveError;
use ddpo_checkpoint::MODEL_CARD;
use ddpo_files::write_file;
use ddpo_picture::write_png;
use ddpo_rollout::image::RgbImage;
use std::path::Path;

/// The picture's name in the folder.
pub const PICTURE: &str = "before-after.png";

/// A card.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// Front matter and text.
    pub text: String,
    /// The same noise before and after.
    pub picture: Option<RgbImage>,
}

impl ModelCard {
    /// Writes it into the folder of a checkpoint.
    ///
    /// # Errors
    /// [`SaveError::Write`] and [`SaveError::Picture`].
    pub fn write(&self, root: &Path) -> Result<(), SaveError> {
        if let Some(picture) = &self.picture {
            write_png(&root.join(PICTURE), picture)?;
        }
        Ok(write_file(&root.join(MODEL_CARD), self.text.as_bytes())?)
    }
}
