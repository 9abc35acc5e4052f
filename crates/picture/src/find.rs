//! Finds the pictures under a path.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::PictureError;

/// Ends of the names of picture files, in either case.
const ENDS: [&str; 9] = ["png", "jpg", "jpeg", "jpe", "webp", "gif", "bmp", "tif", "tiff"];

/// Which folders to look into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folders {
    /// The folder and its subfolders. Links to folders are skipped.
    #[default]
    Sub,
    /// The folder, its subfolders, and the folders that links lead to, each folder once.
    Linked,
}

/// Returns the pictures under a path: the file itself, whatever its name, or all picture files (by the end
/// of their names) in a folder and its subfolders. Skips hidden entries and links to folders. The result
/// is sorted by path, byte by byte.
///
/// # Errors
/// [`PictureError::Io`] if the path or a folder cannot be read, [`PictureError::NoImages`] if a
/// folder contains no pictures.
pub fn images_under(path: &Path) -> Result<Vec<PathBuf>, PictureError> {
    images_in(path, Folders::Sub)
}

/// As [`images_under`], with a choice of the folders.
///
/// # Errors
/// As [`images_under`].
pub fn images_in(path: &Path, folders: Folders) -> Result<Vec<PathBuf>, PictureError> {
    let at = |source| PictureError::Io { path: path.to_path_buf(), source };
    if !fs::metadata(path).map_err(at)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut search = Search { seen: BTreeSet::new(), found: Vec::new(), links: Vec::new() };
    search.look_through(path)?;
    // After all subfolders, so that their paths do not depend on links. A link may lead to a folder that
    // was seen, or back to one above: each folder is looked into once.
    while folders == Folders::Linked && !search.links.is_empty() {
        search.links.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
        for link in std::mem::take(&mut search.links) {
            search.look_through(&link)?;
        }
    }
    if search.found.is_empty() {
        return Err(PictureError::NoImages(path.to_path_buf()));
    }
    search.found.sort_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    Ok(search.found)
}

struct Search {
    /// Folders without links in their paths.
    seen: BTreeSet<PathBuf>,
    found: Vec<PathBuf>,
    /// Links to folders that have not been followed.
    links: Vec<PathBuf>,
}

impl Search {
    /// Looks into a folder and its subfolders.
    fn look_through(&mut self, path: &Path) -> Result<(), PictureError> {
        let mut folders = vec![path.to_path_buf()];
        while let Some(folder) = folders.pop() {
            self.look_into(&folder, &mut folders)
                .map_err(|source| PictureError::Io { path: folder, source })?;
        }
        Ok(())
    }

    fn look_into(&mut self, folder: &Path, folders: &mut Vec<PathBuf>) -> std::io::Result<()> {
        if !self.seen.insert(fs::canonicalize(folder)?) {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() && path.is_dir() {
                self.links.push(path);
            } else if is_picture(&path) {
                self.found.push(path);
            }
        }
        Ok(())
    }
}

fn is_picture(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or("");
    ENDS.iter().any(|known| end.eq_ignore_ascii_case(known))
}
