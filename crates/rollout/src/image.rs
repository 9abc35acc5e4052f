//! The image of a trajectory: 8-bit RGB, and the map from model space.

use thiserror::Error;

/// An 8-bit RGB image, rows from top to bottom, pixels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// Errors from building an image.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ImageError {
    /// The buffer does not hold `width * height * 3` values.
    #[error("image of {width}x{height} needs {expected} values, found {found}")]
    Length {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Expected length: `width * height * 3`.
        expected: usize,
        /// Length of the buffer.
        found: usize,
    },
    /// A state is neither grey (1 channel) nor RGB (3 channels).
    #[error("a state of {0} channels is not an image: expected 1 or 3")]
    Channels(usize),
    /// A state has an infinite or NaN value.
    #[error("the value at offset {0} of the state is not finite")]
    NotFinite(usize),
}

/// The map from a state in model space to 8-bit levels, in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelMap {
    /// `[-1, 1]` to `[0, 255]` with rounding, as in diffusers' pipelines.
    #[default]
    Signed,
    /// `[-1, 1]` to `[0, 255]` with truncation, so that only 1 gives 255.
    Truncated,
    /// `[0, 1]` to `[0, 255]` with rounding: negative values become black.
    Unit,
}

impl PixelMap {
    /// Maps one value of model space to its 8-bit level. Values out of range are clamped.
    #[must_use]
    pub fn level(self, value: f32) -> u8 {
        // Round half to even, like numpy's and torch's `round`.
        let rounded = |unit: f32| (unit.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        match self {
            Self::Signed => rounded(value * 0.5 + 0.5),
            Self::Truncated => ((value.clamp(-1.0, 1.0) * 0.5 + 0.5) * 255.0) as u8,
            Self::Unit => rounded(value),
        }
    }
}

impl RgbImage {
    /// Creates an image from interleaved RGB pixels.
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

    /// Converts a state `[C, H, W]` f32 with C = 1 or 3. Values outside the range of `map` are clamped.
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

    /// Returns the width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns interleaved RGB, `width * height * 3` values.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_model_space_to_levels_and_clamps() {
        assert_eq!(PixelMap::Signed.level(-1.0), 0);
        assert_eq!(PixelMap::Signed.level(1.0), 255);
        assert_eq!(PixelMap::Signed.level(0.0), 128);
        assert_eq!(PixelMap::Signed.level(7.0), 255);
        assert_eq!(PixelMap::Unit.level(-0.5), 0);
    }

    #[test]
    fn maps_round_or_truncate_halves() {
        let levels = |value: f32| {
            [PixelMap::Signed, PixelMap::Truncated, PixelMap::Unit].map(|map| map.level(value))
        };
        assert_eq!(levels(0.0), [128, 127, 0]);
        assert_eq!(levels(0.5), [191, 191, 128]);
        assert_eq!(levels(-0.25), [96, 95, 0]);
        assert_eq!(levels(0.999), [255, 254, 255]);
        assert_eq!(levels(1.0), [255, 255, 255]);
        assert_eq!(levels(7.0), [255, 255, 255]);
        assert_eq!(levels(-7.0), [0, 0, 0]);
    }

    #[test]
    fn grey_states_fill_three_channels() {
        let image = RgbImage::from_state(&[-1.0, 1.0], (1, 1, 2), PixelMap::Signed);
        assert_eq!(image.map(|i| i.pixels), Ok(vec![0, 0, 0, 255, 255, 255]));
    }

    #[test]
    fn error_names_the_offset_of_a_non_finite_value() {
        let found = RgbImage::from_state(&[0.0, f32::NAN], (1, 1, 2), PixelMap::Signed);
        assert_eq!(found, Err(ImageError::NotFinite(1)));
    }
}
