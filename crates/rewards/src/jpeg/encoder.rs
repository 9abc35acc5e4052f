//! One JPEG encoder with its output buffer.

use ddpo_rollout::image::RgbImage;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::error::RewardError;

/// JPEG quality of the rewards.
pub const QUALITY: i32 = 95;

/// Longest side that libjpeg-turbo supports, in pixels.
pub const MAX_SIDE: usize = 65_500;

/// Encodes RGB images as baseline JPEG with 4:2:0 chroma, the accurate integer DCT and the standard
/// Huffman tables, the defaults of libjpeg and Pillow. Reuses its buffer.
pub struct JpegEncoder {
    compressor: Compressor,
    buffer: Vec<u8>,
}

impl JpegEncoder {
    /// Creates an encoder with [`QUALITY`].
    ///
    /// # Errors
    /// [`RewardError::Encoder`] if libjpeg-turbo cannot be set up.
    pub fn new() -> Result<Self, RewardError> {
        let mut compressor = Compressor::new().map_err(RewardError::Encoder)?;
        compressor.set_quality(QUALITY).map_err(RewardError::Encoder)?;
        compressor.set_subsamp(Subsamp::Sub2x2).map_err(RewardError::Encoder)?;
        Ok(Self { compressor, buffer: Vec::new() })
    }

    /// Returns the image as a JPEG file. `index` is the image's index in its batch, for errors.
    ///
    /// # Errors
    /// [`RewardError::Size`] unless both sides are 1 to [`MAX_SIDE`] pixels,
    /// [`RewardError::Encoding`] if libjpeg-turbo fails.
    pub fn encode(&mut self, index: usize, image: &RgbImage) -> Result<&[u8], RewardError> {
        check_sides(index, image)?;
        let (width, height) = (image.width(), image.height());
        let failed = |source| RewardError::Encoding { index, source };
        let bound =
            turbojpeg::compressed_buf_len(width, height, Subsamp::Sub2x2).map_err(failed)?;
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        let (pixels, format) = (image.pixels(), PixelFormat::RGB);
        let input = Image { pixels, width, pitch: width * 3, height, format };
        let length = self.compressor.compress_to_slice(input, &mut self.buffer).map_err(failed)?;
        Ok(&self.buffer[..length])
    }
}

/// Rejects an image that JPEG does not support.
///
/// # Errors
/// [`RewardError::Size`] unless both sides are 1 to [`MAX_SIDE`] pixels.
pub fn check_sides(index: usize, image: &RgbImage) -> Result<(), RewardError> {
    let (width, height) = (image.width(), image.height());
    let sides = 1..=MAX_SIDE;
    if sides.contains(&width) && sides.contains(&height) {
        return Ok(());
    }
    Err(RewardError::Size { index, width, height })
}
