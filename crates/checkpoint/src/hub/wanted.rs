//! The content to fetch from a repository: a pipeline, an image model, or one file.

use std::path::Path;

use crate::layout::{LayoutError, open_pipeline};
use crate::model_folder::open_model;

/// The content to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// A diffusers pipeline in either layout.
    Pipeline,
    /// A transformers image model.
    Model,
    /// The file at this path.
    File(&'a str),
}

impl Wanted<'_> {
    /// Returns the description for messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Pipeline => "a diffusers pipeline",
            Self::Model => "a transformers image model",
            Self::File(_) => "the file",
        }
    }

    /// Returns whether a snapshot has all wanted files.
    pub(crate) fn is_complete(self, snapshot: &Path) -> bool {
        match self {
            Self::File(name) => snapshot.join(name).is_file(),
            _ => self.check(snapshot).is_ok(),
        }
    }

    /// Checks that the files of a snapshot can be opened.
    pub(crate) fn check(self, snapshot: &Path) -> Result<(), LayoutError> {
        match self {
            Self::Pipeline => open_pipeline(snapshot).map(|_| ()),
            Self::Model => open_model(snapshot).map(|_| ()),
            Self::File(_) => Ok(()),
        }
    }
}
