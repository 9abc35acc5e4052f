//! Encodes images as PNG.

use std::path::Path;

use ddpo_files::{WriteFileError, write_file};
use ddpo_rollout::image::RgbImage;
use png::{BitDepth, ColorType, Encoder};

use crate::error::PictureError;

/// Encodes an image as an 8-bit RGB PNG. The same pixels give the same bytes.
///
/// # Errors
/// [`PictureError::Empty`] for an image without pixels, [`PictureError::PngEncoding`] if the
/// encoder fails.
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

/// Writes an image as a PNG file, atomically. The folder must exist.
///
/// # Errors
/// [`PictureError`] with the file's name, if the image cannot be encoded or the file cannot be
/// written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), PictureError> {
    let bytes = encode_png(image).map_err(|source| PictureError::File {
        path: path.to_path_buf(),
        source: Box::new(source),
    })?;
    write_file(path, &bytes)
        .map_err(|WriteFileError { path, source }| PictureError::Io { path, source })
}
