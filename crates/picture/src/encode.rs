//! Encodes images as PNG.

use std::path::Path;

use ddpo_files::{WriteFileError, write_file};
use ddpo_rollout::image::RgbImage;
use png::{BitDepth, ColorType, Encoder};

use crate::error::PictureError;

/// The channels of a PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PngColour {
    /// One channel.
    Grey,
    /// Three channels.
    Rgb,
}

impl PngColour {
    /// Returns the channels for the images of a model with `channels` channels.
    #[must_use]
    pub fn of_channels(channels: usize) -> Self {
        if channels == 1 { Self::Grey } else { Self::Rgb }
    }
}

/// Encodes an image as an 8-bit RGB PNG. The same pixels give the same bytes.
///
/// # Errors
/// [`PictureError::Empty`] for an image without pixels, [`PictureError::PngEncoding`] if the
/// encoder fails.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, PictureError> {
    encode_png_as(image, PngColour::Rgb)
}

/// Encodes an image as an 8-bit PNG. A grey PNG has the first of the three channels; Pillow's
/// `convert("RGB")` gives the image back if its channels are equal.
///
/// # Errors
/// As [`encode_png`].
pub fn encode_png_as(image: &RgbImage, colour: PngColour) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (image.width(), image.height());
    let sides = u32::try_from(width).ok().zip(u32::try_from(height).ok());
    let (columns, rows) = sides.ok_or(PictureError::TooLarge { width, height })?;
    if image.pixels().is_empty() {
        return Err(PictureError::Empty { width, height });
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, columns, rows);
    let grey: Vec<u8>;
    let (kind, pixels) = match colour {
        PngColour::Rgb => (ColorType::Rgb, image.pixels()),
        PngColour::Grey => {
            grey = image.pixels().iter().step_by(3).copied().collect();
            (ColorType::Grayscale, &grey[..])
        }
    };
    encoder.set_color(kind);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes an image as an RGB PNG file, atomically. The folder must exist.
///
/// # Errors
/// [`PictureError`] with the file's name, if the image cannot be encoded or the file cannot be
/// written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), PictureError> {
    write_png_as(path, image, PngColour::Rgb)
}

/// Writes an image as a PNG file of the given channels like [`write_png`].
///
/// # Errors
/// See [`write_png`].
pub fn write_png_as(path: &Path, image: &RgbImage, colour: PngColour) -> Result<(), PictureError> {
    let bytes = encode_png_as(image, colour).map_err(|source| PictureError::File {
        path: path.to_path_buf(),
        source: Box::new(source),
    })?;
    write_file(path, &bytes)
        .map_err(|WriteFileError { path, source }| PictureError::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode_image;

    #[test]
    fn a_grey_png_has_one_channel_and_reads_back_as_the_same_rgb() {
        let levels = [0_u8, 1, 127, 128, 254, 255];
        let pixels = levels.iter().flat_map(|level| [*level; 3]).collect();
        let image = RgbImage::new(3, 2, pixels).unwrap();
        let grey = encode_png_as(&image, PngColour::of_channels(1)).unwrap();
        // Byte 25 of a PNG is its colour type: 0 for grey, 2 for RGB.
        assert_eq!(grey[25], 0);
        assert_eq!(decode_image(&grey).unwrap(), image);
        assert_eq!(encode_png_as(&image, PngColour::of_channels(3)).unwrap()[25], 2);
    }
}
