//! Pictures and histograms as values of a step, and the files of the pictures.

use crate::error::LogError;
use crate::histogram::Histogram;
use crate::step::Picture;
use crate::wandb::files::link;
use ddpo_files::sha256_of;
use serde_json::{Value, json};
use std::path::Path;

/// Where pictures lie below `files/`.
const FOLDER: &str = "media/images";

/// A histogram: counts, and the edges of the bins.
pub fn histogram(histogram: &Histogram) -> Value {
    json!({"_type": "histogram", "values": histogram.counts, "bins": histogram.edges})
}

/// Puts a picture's file below `files` and describes it; gives its path below `files` too.
pub fn picture(picture: &Picture, step: u32, files: &Path) -> Result<(String, Value), LogError> {
    let sha256 = sha256_of(&picture.bytes[..]).map_err(LogError::io("read", &picture.path))?;
    let path = format!("{FOLDER}/{}_{step}_{}.png", picture.name, &sha256[..20]);
    link(&picture.path, &files.join(&path))?;
    let value = json!({
        "_type": "image-file",
        "path": path,
        "sha256": sha256,
        "size": picture.bytes.len(),
        "format": "png",
        "width": picture.width,
        "height": picture.height,
        "caption": picture.caption,
    });
    Ok((path, value))
}

/// Removes the pictures of later steps than `last`; all where there is none.
pub fn cut(files: &Path, last: Option<u32>) -> Result<(), LogError> {
    let folder = files.join(FOLDER);
    if !folder.is_dir() {
        return Ok(());
    }
    let unreadable = || LogError::io("read", &folder);
    for entry in std::fs::read_dir(&folder).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.rsplit('_').nth(1).and_then(|step| step.parse::<u32>().ok());
        if step.is_some_and(|step| last.is_none_or(|last| step > last)) {
            std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
        }
    }
    Ok(())
}
