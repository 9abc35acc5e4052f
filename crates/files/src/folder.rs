//! Atomic writes of a folder.
//!
//! The folder is written as `.tmp-NAME` next to its target, synced, and renamed. An existing target is
//! first moved to `.old-NAME` and removed after the rename. A killed process leaves only folders with
//! these two names, and [`recover_folder`] cleans them up. Only one process at a time may publish a
//! target.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::descriptors::with_a_descriptor;
use crate::file::{parent, sync_folder};

/// Errors from [`publish_folder`] and [`recover_folder`].
#[derive(Debug, thiserror::Error)]
pub enum PublishError<E> {
    /// The target does not end in a name, for example `..`.
    #[error("`{}`: expected the path of a folder to write, found one without a name", path.display())]
    NoName {
        /// The target.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    #[error("could not write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The closure that writes the content failed.
    #[error(transparent)]
    Fill(E),
}

/// The paths of the target, the temporary folder and the old folder.
struct Paths {
    target: PathBuf,
    temporary: PathBuf,
    old: PathBuf,
}

impl Paths {
    fn of<E>(target: &Path) -> Result<Self, PublishError<E>> {
        let Some(name) = target.file_name() else {
            return Err(PublishError::NoName { path: target.into() });
        };
        let beside = |prefix: &str| {
            let mut full = std::ffi::OsString::from(prefix);
            full.push(name);
            target.with_file_name(full)
        };
        Ok(Self { target: target.into(), temporary: beside(".tmp-"), old: beside(".old-") })
    }

    fn recover(&self) -> io::Result<()> {
        if self.old.exists() {
            if self.target.exists() {
                fs::remove_dir_all(&self.old)?;
            } else {
                fs::rename(&self.old, &self.target)?;
            }
        }
        if self.temporary.exists() {
            fs::remove_dir_all(&self.temporary)?;
        }
        Ok(())
    }

    fn replace(&self) -> io::Result<()> {
        let replaces = self.target.exists();
        if replaces {
            fs::rename(&self.target, &self.old)?;
        }
        if let Err(error) = fs::rename(&self.temporary, &self.target) {
            if replaces {
                fs::rename(&self.old, &self.target)?;
            }
            return Err(error);
        }
        sync_folder(parent(&self.target))?;
        if replaces {
            fs::remove_dir_all(&self.old)?;
        }
        Ok(())
    }
}

/// Calls `fill` to write into a new folder and renames that folder to `target`, replacing an existing
/// folder. Creates missing parent folders.
///
/// # Errors
/// If `fill` fails or a file cannot be written, for example on a full disk. `target` then keeps its
/// content and no temporary folder remains.
pub fn publish_folder<E>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), PublishError<E>> {
    let paths = Paths::of(target)?;
    let io = |source| PublishError::Io { path: target.into(), source };
    fs::create_dir_all(parent(target)).map_err(io)?;
    paths.recover().map_err(io)?;
    fs::create_dir(&paths.temporary).map_err(io)?;
    let filled = fill(&paths.temporary).map_err(PublishError::Fill);
    let published = filled
        .and_then(|()| sync_tree(&paths.temporary).map_err(io))
        .and_then(|()| paths.replace().map_err(io));
    if published.is_err() && paths.temporary.exists() {
        // Report the first error; the next call removes any remaining files.
        fs::remove_dir_all(&paths.temporary).unwrap_or_default();
    }
    published
}

/// Repairs `target` after a killed [`publish_folder`]: moves the old folder back if the new folder is
/// missing, and removes temporary folders. Does nothing if no repair is needed.
///
/// # Errors
/// If a folder cannot be moved or removed.
pub fn recover_folder(target: &Path) -> Result<(), PublishError<std::convert::Infallible>> {
    let paths = Paths::of(target)?;
    paths.recover().map_err(|source| PublishError::Io { path: target.into(), source })
}

/// Syncs `folder` and all files and folders under it.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in with_a_descriptor(|| fs::read_dir(folder))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            with_a_descriptor(|| File::open(entry.path()))?.sync_all()?;
        }
    }
    sync_folder(folder)
}
