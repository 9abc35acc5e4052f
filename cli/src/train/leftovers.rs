//! What a killed process leaves half-written in a run's folder, and its removal.

use anyhow::{Context, Result};
use ddpo_checkpoint::recover_folder;
use std::path::Path;

/// Removes half-written files and folders under a run's folder. One process at a time works there,
/// so whatever has a temporary name belongs to nobody.
pub fn remove(root: &Path) -> Result<()> {
    for name in ["", "samples", "eval", "batches", "checkpoints"] {
        let folder = root.join(name);
        if folder.is_dir() {
            clean(&folder).with_context(|| format!("could not clean up {}", folder.display()))?;
        }
    }
    Ok(())
}

fn clean(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if entry.file_type()?.is_dir() {
            let target = name.strip_prefix(".tmp-").or_else(|| name.strip_prefix(".old-"));
            if let Some(target) = target.filter(|target| is_checkpoint(target)) {
                recover_folder(&folder.join(target))?;
            }
        } else if is_half_written(name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_checkpoint(name: &str) -> bool {
    name == "best" || name.starts_with("epoch-")
}

/// `.tmp-` and six letters or digits, as `write_file` names them, or `.NAME.PID.part`, as
/// `write_png` does.
fn is_half_written(name: &str) -> bool {
    let random = |rest: &str| rest.len() == 6 && rest.chars().all(|c| c.is_ascii_alphanumeric());
    name.strip_prefix(".tmp-").is_some_and(random)
        || (name.starts_with(".epoch-") && name.ends_with(".part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_are_half_written() {
        for name in [".tmp-a1B2c3", ".epoch-000001.png.4711.part"] {
            assert!(is_half_written(name), "{name}");
        }
        for name in ["run.toml", ".tmp-notes.txt", ".bashrc", "film.part", ".tmp-a1B2c3d"] {
            assert!(!is_half_written(name), "{name}");
        }
    }
}
