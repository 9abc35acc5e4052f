//! What commands share of their output: the folder that a checkpoint goes to, and lines beside it.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// The file by which a pipeline is known.
pub const PIPELINE: &str = "model_index.json";

/// Checks that `folder` may become a checkpoint: what is there is replaced as a whole, so it has to
/// be nothing, an empty folder or another checkpoint, which has the file `marker`.
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

/// A line on standard error, such as a download's.
#[expect(clippy::print_stderr, reason = "a download tells what it is doing")]
pub fn aside(line: &str) {
    eprintln!("{line}");
}

/// A line of the command's answer, on standard output.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Text of the command's answer, on standard output, without another line break.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub fn show(text: &str) {
    print!("{text}");
}

/// Returns the last component of a path as it really is; `checkpoint` for the root.
pub fn last_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "checkpoint".into())
}

/// Makes the folders that a file is to lie in.
pub fn make_folder_of(file: &Path) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not create {}", folder.display()))
}
