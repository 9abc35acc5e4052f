//! Renders a state as a small PNG.

use crate::record::Record;
use ddpo_picture::{PictureError, encode_png};
use ddpo_rollout::image::{ImageError, PixelMap, RgbImage};
use ddpo_rollout::trajectory::decode;
use thiserror::Error;

/// Errors from rendering a thumbnail.
#[derive(Debug, Error)]
pub enum ThumbnailError {
    /// No state is kept.
    #[error("trajectory {0}: its states are no longer kept here")]
    Gone(String),
    /// The state is not an image.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// The image cannot be encoded.
    #[error("{0}")]
    Picture(#[from] PictureError),
}

/// Renders the latest state of a trajectory as a PNG with sides of at most `side` pixels. Clamps
/// values outside [-1, 1], which noise contains.
///
/// # Errors
/// [`ThumbnailError::Gone`] if no state is kept, otherwise errors of the image.
pub fn png(record: &Record, side: usize) -> Result<Vec<u8>, ThumbnailError> {
    let gone = || ThumbnailError::Gone(record.trajectory_id.to_string());
    let state = record.state.as_ref().ok_or_else(gone)?;
    let shape = record.shape;
    let sides = (shape.channels, shape.height, shape.width);
    let image = RgbImage::from_state(&decode(state, record.dtype), sides, PixelMap::Signed)?;
    Ok(encode_png(&smaller(&image, side.max(1))?)?)
}

/// Averages squares of pixels, using the smallest square that makes both sides at most `side`.
fn smaller(image: &RgbImage, side: usize) -> Result<RgbImage, ImageError> {
    let square = image.width().max(image.height()).div_ceil(side).max(1);
    if square == 1 {
        return Ok(image.clone());
    }
    let (width, height) = (image.width() / square, image.height() / square);
    let area = (square * square) as u32;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for channel in 0..3 {
            let levels = (0..square * square).map(|inner| {
                let (row, column) = (y * square + inner / square, x * square + inner % square);
                u32::from(image.pixels()[(row * image.width() + column) * 3 + channel])
            });
            pixels.push(((levels.sum::<u32>() + area / 2) / area) as u8);
        }
    }
    RgbImage::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_squares_and_keeps_small_images() -> Result<(), ImageError> {
        let levels: Vec<u8> = (0..16).flat_map(|i| [i * 10; 3]).collect();
        let image = RgbImage::new(4, 4, levels)?;
        let half = smaller(&image, 2)?;
        assert_eq!((half.width(), half.height()), (2, 2));
        assert_eq!(half.pixels()[0], 25);
        assert_eq!(smaller(&image, 4)?, image);
        Ok(())
    }
}
