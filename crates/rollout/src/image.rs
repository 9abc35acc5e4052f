//! The picture at the end of a trajectory: 8-bit RGB, and its map from model space.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An 8-bit RGB image, rows from top to bottom, pixels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// What is wrong with the pixels offered for an image.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ImageError {
    /// The buffer does not hold `width * height * 3` values.
    #[error("image of {width}x{height} needs {expected} values, found {found}")]
    Length {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// `width * height * 3`.
        expected: usize,
        /// Length of the buffer offered.
        found: usize,
    },
    /// A state has a channel count that is neither grey nor RGB.
    #[error("a state of {0} channels is not an image: expected 1 or 3")]
    Channels(usize),
    /// A state holds a value that is not finite.
    #[error("the value at offset {0} of the state is not finite")]
    NotFinite(usize),
}

/// The map from a state in model space to 8-bit levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelMap {
    /// `[-1, 1]` to `[0, 255]` with rounding, as diffusers' pipelines show a sample.
    #[default]
    Signed,
    /// `[0, 1]` to `[0, 255]`, as in alcazar90/ddpo-celebahq: the dark half becomes black.
    Unit,
}

impl PixelMap {
    /// Maps one value of model space to its 8-bit level.
    #[must_use]
    pub fn level(self, value: f32) -> u8 {
        let unit = match self {
            Self::Signed => value * 0.5 + 0.5,
            Self::Unit => value,
        };
        // Ties go to even, as numpy's and torch's `round` do.
        (unit.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
    }
}

impl RgbImage {
    /// Takes interleaved RGB pixels.
    ///
    /// # Errors
    /// [`ImageError::Length`] unless the buffer holds `width * height * 3` values.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let expected = width * height * 3;
        if pixels.len() != expected {
            return Err(ImageError::Length { width, height, expected, found: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Converts a state `[C, H, W]` f32 with C of 1 or 3, values in `[-1, 1]` (others are clamped).
    ///
    /// # Errors
    /// [`ImageError`] if the length, the channels or a value is wrong.
    pub fn from_state(
        state: &[f32],
        (channels, height, width): (usize, usize, usize),
        map: PixelMap,
    ) -> Result<Self, ImageError> {
        if channels != 1 && channels != 3 {
            return Err(ImageError::Channels(channels));
        }
        let plane = height * width;
        if state.len() != channels * plane {
            let expected = channels * plane;
            return Err(ImageError::Length { width, height, expected, found: state.len() });
        }
        if let Some(offset) = state.iter().position(|value| !value.is_finite()) {
            return Err(ImageError::NotFinite(offset));
        }
        let mut pixels = Vec::with_capacity(plane * 3);
        for position in 0..plane {
            for channel in 0..3 {
                let source = if channels == 1 { 0 } else { channel };
                pixels.push(map.level(state[source * plane + position]));
            }
        }
        Ok(Self { width, height, pixels })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Interleaved RGB, `width * height * 3` values.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_middle_of_model_space_map_to_their_levels() {
        assert_eq!(PixelMap::Signed.level(-1.0), 0);
        assert_eq!(PixelMap::Signed.level(1.0), 255);
        assert_eq!(PixelMap::Signed.level(0.0), 128);
        assert_eq!(PixelMap::Signed.level(7.0), 255);
        assert_eq!(PixelMap::Unit.level(-0.5), 0);
    }

    #[test]
    fn a_grey_state_fills_three_channels() {
        let image = RgbImage::from_state(&[-1.0, 1.0], (1, 1, 2), PixelMap::Signed);
        assert_eq!(image.map(|i| i.pixels), Ok(vec![0, 0, 0, 255, 255, 255]));
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_by_its_offset() {
        let found = RgbImage::from_state(&[0.0, f32::NAN], (1, 1, 2), PixelMap::Signed);
        assert_eq!(found, Err(ImageError::NotFinite(1)));
    }
}
