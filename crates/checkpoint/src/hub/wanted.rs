//! What to fetch from a repository: the files of a pipeline, of an image model, or one file.

use std::path::Path;

use crate::layout::{LayoutError, open_pipeline};
use crate::model_folder::open_model;

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// A diffusers pipeline in either layout.
    Pipeline,
    /// An image model of transformers.
    Model,
    /// One file, by its path.
    File(&'a str),
}

impl Wanted<'_> {
    /// Names the wanted thing in messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Pipeline => "diffusers pipeline",
            Self::Model => "transformers image model",
            Self::File(_) => "place of that file",
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
