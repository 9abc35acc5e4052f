//! Output shared by commands: the folder for a checkpoint, and lines on the terminal.

use anyhow::{Context, Result, bail};
use ddpo_service::output::{Stream, write};
use std::path::Path;

/// The file that identifies a pipeline.
pub const PIPELINE: &str = "model_index.json";

/// Checks that `folder` may become a checkpoint. Existing content is replaced as a whole, so the
/// folder must be missing, empty, or a checkpoint with the file `marker`.
pub fn check(folder: &Path, marker: &str) -> Result<()> {
    let shown = folder.display();
    if folder.file_name().is_none() {
        bail!("--out = {shown}: expected the name of a folder to write");
    }
    if !folder.exists() {
        return Ok(());
    }
    let mut entries =
        std::fs::read_dir(folder).with_context(|| format!("--out = {shown}: expected a folder"))?;
    if entries.next().is_some() && !folder.join(marker).is_file() {
        bail!("--out = {shown}: expected a new folder, an empty one or a checkpoint, found files");
    }
    Ok(())
}

/// Prints a line on standard error, such as the progress of a download.
pub fn aside(line: &str) {
    write(Stream::Error, &format!("{line}\n"));
}

/// Prints a line of the command's result on standard output.
pub fn say(line: &str) {
    write(Stream::Output, &format!("{line}\n"));
}

/// Prints text of the command's result on standard output, without a line break.
pub fn show(text: &str) {
    write(Stream::Output, text);
}

/// Returns the last component of the canonical path; `checkpoint` for the root.
pub fn last_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "checkpoint".into())
}

/// Creates the parent folders of a file.
pub fn make_folder_of(file: &Path) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not create {}", folder.display()))
}
