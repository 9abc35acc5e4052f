//! Decodes images like Pillow's `Image.open(...).convert("RGB")` (12.1.0): drops alpha without
//! blending, copies grey to three channels, takes the first frame, ignores colour profiles.
//!
//! The pixels are equal to Pillow's: other decoders and conversions differ by single levels, which would
//! change rewards. Orientation tags are ignored as in Pillow, except in TIFF files, whose orientation
//! Pillow applies.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ddpo_rollout::image::RgbImage;

use crate::error::{MAX_BYTES, PictureError};
use crate::formats::{bmp, gif, jpeg, png, tiff, webp};
use crate::orientation::oriented;

/// What to do with the orientation that EXIF data gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Leave the pixels as they are stored, as Pillow's `convert` does.
    #[default]
    Stored,
    /// Turn the image upright, as Pillow's `ImageOps.exif_transpose` does.
    Upright,
}

/// Reads an image file. The contents determine the format, not the name.
///
/// # Errors
/// [`PictureError`] with the file's name, if it cannot be read or decoded.
pub fn read_image(path: &Path) -> Result<RgbImage, PictureError> {
    read_oriented(path, Orientation::Stored)
}

/// As [`read_image`], with a choice of the orientation.
///
/// # Errors
/// As [`read_image`].
pub fn read_oriented(path: &Path, orientation: Orientation) -> Result<RgbImage, PictureError> {
    let bytes =
        read_file(path).map_err(|source| PictureError::Io { path: path.to_path_buf(), source })?;
    decode_oriented(&bytes, orientation)
        .map_err(|source| PictureError::File { path: path.to_path_buf(), source: Box::new(source) })
}

/// Reads at most [`MAX_BYTES`]; a link may lead to a device without an end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("expected at most {MAX_BYTES} bytes, found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Decodes a PNG, JPEG, WebP, GIF, BMP or TIFF.
///
/// # Errors
/// [`PictureError`] for another format, a damaged file, a kind of file that is not supported, or an image
/// over [`MAX_PIXELS`](crate::MAX_PIXELS).
pub fn decode_image(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    decode_oriented(bytes, Orientation::Stored)
}

fn decode_oriented(bytes: &[u8], orientation: Orientation) -> Result<RgbImage, PictureError> {
    let (decode, exif): (Decode, Exif) = match bytes {
        bytes if png::is_png(bytes) => (png::decode, png::exif),
        bytes if jpeg::is_jpeg(bytes) => (jpeg::decode, jpeg::exif),
        bytes if webp::is_webp(bytes) => (webp::decode, webp::exif),
        bytes if gif::is_gif(bytes) => (gif::decode, |_| None),
        bytes if bmp::is_bmp(bytes) => (bmp::decode, |_| None),
        bytes if tiff::is_tiff(bytes) => (tiff::decode, |_| None),
        _ => return Err(PictureError::Format(bytes.iter().take(8).copied().collect())),
    };
    let image = decode(bytes)?;
    match exif(bytes).filter(|_| orientation == Orientation::Upright) {
        Some(exif) => oriented(image, tiff::orientation(exif)),
        None => Ok(image),
    }
}

type Decode = fn(&[u8]) -> Result<RgbImage, PictureError>;

/// Returns the EXIF data of a file, which begin as a TIFF file.
type Exif = fn(&[u8]) -> Option<&[u8]>;
