//! Publishing a folder so that it appears whole or not at all.
//!
//! The folder is filled as `.tmp-NAME` beside its target, synced, and renamed. A target that is
//! already there is moved to `.old-NAME` first and removed afterwards. Whatever a killed process
//! leaves behind has one of these two names, and [`recover_folder`] puts it right. One process at
//! a time may publish a given target.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{parent, sync_folder};

/// Why a folder was not published; the target is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError<E> {
    /// The target has no name of its own, such as `..`.
    #[error("`{}`: expected the path of a folder to write, found one without a name", path.display())]
    NoName {
        /// The target.
        path: PathBuf,
    },
    /// The system refused.
    #[error("could not write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The closure that writes the content failed.
    #[error(transparent)]
    Fill(E),
}

/// The target and the two names beside it.
struct Places {
    target: PathBuf,
    temporary: PathBuf,
    old: PathBuf,
}

impl Places {
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

/// Lets `fill` write into a fresh folder, then makes that folder `target`, replacing what was
/// there. Parent folders are made as needed.
///
/// # Errors
/// When `fill` fails or the system refuses, for instance because the disk is full: `target` is
/// then as it was and nothing is left beside it.
pub fn publish_folder<E>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), PublishError<E>> {
    let places = Places::of(target)?;
    let io = |source| PublishError::Io { path: target.into(), source };
    fs::create_dir_all(parent(target)).map_err(io)?;
    places.recover().map_err(io)?;
    fs::create_dir(&places.temporary).map_err(io)?;
    let filled = fill(&places.temporary).map_err(PublishError::Fill);
    let published = filled
        .and_then(|()| sync_tree(&places.temporary).map_err(io))
        .and_then(|()| places.replace().map_err(io));
    if published.is_err() && places.temporary.exists() {
        // The first error is the one to tell; what stays here is removed by the next call.
        fs::remove_dir_all(&places.temporary).unwrap_or_default();
    }
    published
}

/// Puts right what a killed process left of publishing `target`: a folder that was moved aside is
/// moved back, and half-written ones are removed. Does nothing where nothing was left.
///
/// # Errors
/// When the system refuses.
pub fn recover_folder(target: &Path) -> Result<(), PublishError<std::convert::Infallible>> {
    let places = Places::of(target)?;
    places.recover().map_err(|source| PublishError::Io { path: target.into(), source })
}

/// Syncs every file and folder under `folder`, itself included.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}
