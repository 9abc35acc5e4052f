//! Removes the half-written files of a killed process from a run's folder.

use crate::error::FolderError;
use ddpo_files::recover_folder;
use std::path::Path;

/// Removes half-written files and folders from a run's folder. The caller holds the run's lock, so
/// temporary names are left over from a dead process.
///
/// # Errors
/// [`FolderError::Io`] and [`FolderError::CleanUp`] name the folder.
pub fn remove(root: &Path) -> Result<(), FolderError> {
    for name in ["", "samples", "eval", "batches", "checkpoints"] {
        let folder = root.join(name);
        if folder.is_dir() {
            clean(&folder)?;
        }
    }
    Ok(())
}

fn clean(folder: &Path) -> Result<(), FolderError> {
    let refused = || FolderError::io("clean up", folder);
    for entry in std::fs::read_dir(folder).map_err(refused())? {
        let entry = entry.map_err(refused())?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if entry.file_type().map_err(refused())?.is_dir() {
            let target = name.strip_prefix(".tmp-").or_else(|| name.strip_prefix(".old-"));
            if let Some(target) = target.filter(|target| is_checkpoint(target)) {
                recover_folder(&folder.join(target))
                    .map_err(|source| FolderError::CleanUp { path: folder.into(), source })?;
            }
        } else if is_half_written(name) {
            std::fs::remove_file(entry.path()).map_err(refused())?;
        }
    }
    Ok(())
}

fn is_checkpoint(name: &str) -> bool {
    name == "best" || name.starts_with("epoch-")
}

/// Returns whether `name` is a temporary name of `write_file`: `.tmp-` and six letters or digits.
fn is_half_written(name: &str) -> bool {
    let random = |rest: &str| rest.len() == 6 && rest.chars().all(|c| c.is_ascii_alphanumeric());
    name.strip_prefix(".tmp-").is_some_and(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_only_its_temporary_names() {
        assert!(is_half_written(".tmp-a1B2c3"));
        for name in ["run.toml", ".tmp-notes.txt", ".bashrc", "film.part", ".tmp-a1B2c3d"] {
            assert!(!is_half_written(name), "{name}");
        }
    }
}
