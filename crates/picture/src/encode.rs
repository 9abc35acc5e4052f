//! Images to PNG bytes and files.

use std::fs;
use std::path::{Path, PathBuf};

use ddpo_rollout::image::RgbImage;
use png::{BitDepth, ColorType, Encoder};

use crate::error::PictureError;

/// Encodes an image as an 8-bit RGB PNG; the same pixels give the same bytes.
///
/// # Errors
/// [`PictureError::Empty`] for an image without pixels, [`PictureError::PngEncoding`] if the
/// writer refuses it.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (image.width(), image.height());
    let sides = u32::try_from(width).ok().zip(u32::try_from(height).ok());
    let (columns, rows) = sides.ok_or(PictureError::TooLarge { width, height })?;
    if image.pixels().is_empty() {
        return Err(PictureError::Empty { width, height });
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.pixels())?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes an image as a PNG file: beside it first, then renamed over it, so that a reader
/// never sees half a file. The folder must be there.
///
/// # Errors
/// [`PictureError`] that names the file, if the image cannot be encoded or the file written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), PictureError> {
    let bytes = encode_png(image).map_err(|source| PictureError::File {
        path: path.to_path_buf(),
        source: Box::new(source),
    })?;
    let beside = beside(path);
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // What was begun is taken away; if that fails too, the first error says more.
        let _ = fs::remove_file(&beside);
        PictureError::Io { path: path.to_path_buf(), source }
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
