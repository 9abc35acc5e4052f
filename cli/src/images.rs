//! The image files that commands read: their flags, and the files that cannot be read.

use crate::output::aside;
use anyhow::{Result, bail};
use clap::Args;
use ddpo_picture::{Folders, Orientation, PictureError, images_in, read_oriented};
use ddpo_rollout::image::RgbImage;
use std::path::{Path, PathBuf};

/// Flags of commands that read images.
#[derive(Clone, Debug, Default, Args)]
pub struct ImageFlags {
    /// In folders, follow links to folders too, each folder once; subfolders are always read
    #[arg(long)]
    pub recursive: bool,
    /// Stop at the first file that cannot be read, instead of leaving it out and listing it at the
    /// end
    #[arg(long)]
    pub strict: bool,
    /// Turn images upright as their EXIF data say
    #[arg(long)]
    pub exif_orientation: bool,
}

/// Reads images, and keeps the errors of files that cannot be read.
pub struct Reader<'a> {
    flags: &'a ImageFlags,
    unreadable: Vec<PictureError>,
    read: usize,
}

impl<'a> Reader<'a> {
    /// Creates a reader.
    pub fn new(flags: &'a ImageFlags) -> Self {
        Self { flags, unreadable: Vec::new(), read: 0 }
    }

    /// Returns the files under a path.
    pub fn files(&self, path: &Path) -> Result<Vec<PathBuf>, PictureError> {
        images_in(path, if self.flags.recursive { Folders::Linked } else { Folders::Sub })
    }

    /// Reads a file; `None` if it cannot be read and is left out.
    pub fn read(&mut self, path: &Path) -> Result<Option<RgbImage>, PictureError> {
        let upright = self.flags.exif_orientation;
        let orientation = if upright { Orientation::Upright } else { Orientation::Stored };
        match read_oriented(path, orientation) {
            Ok(image) => {
                self.read += 1;
                Ok(Some(image))
            }
            Err(error) if self.flags.strict => Err(error),
            Err(error) => {
                self.unreadable.push(error);
                Ok(None)
            }
        }
    }

    /// Lists the files that were left out.
    ///
    /// # Errors
    /// If no file could be read.
    pub fn finish(mut self) -> Result<()> {
        let left = self.unreadable.len();
        if self.read == 0 && left == 1 {
            return Err(self.unreadable.remove(0).into());
        }
        if left > 0 {
            let all = self.read + left;
            aside(&format!("left out {left} of {all} files, which could not be read:"));
        }
        for error in &self.unreadable {
            aside(&format!("  {error}"));
        }
        if self.read == 0 && left > 0 {
            bail!("expected images, found none that can be read");
        }
        Ok(())
    }
}
