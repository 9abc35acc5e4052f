//! Finds the pictures under a path.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::PictureError;

/// Returns the pictures under a path: the file itself, whatever its name, or all `.png`, `.jpg` and
/// `.jpeg` files (in either case) in a folder and its subfolders. Skips hidden entries and links to
/// folders. The result is sorted by path, byte by byte.
///
/// # Errors
/// [`PictureError::Io`] if the path or a folder cannot be read, [`PictureError::NoImages`] if a
/// folder contains no pictures.
pub fn images_under(path: &Path) -> Result<Vec<PathBuf>, PictureError> {
    let at = |source| PictureError::Io { path: path.to_path_buf(), source };
    if !fs::metadata(path).map_err(at)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        look_into(&folder, &mut folders, &mut found)
            .map_err(|source| PictureError::Io { path: folder, source })?;
    }
    if found.is_empty() {
        return Err(PictureError::NoImages(path.to_path_buf()));
    }
    found.sort_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    Ok(found)
}

fn look_into(
    folder: &Path,
    folders: &mut Vec<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        } else if is_picture(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}
