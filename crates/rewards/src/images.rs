//! The images of a batch, as each reward sees them.

use crate::error::RewardError;
use ddpo_rollout::image::{ImageError, PixelMap, RgbImage};

/// One image of 8-bit levels, or one for each pixel map that a run's rewards need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// An image that every reward sees alike, such as a file.
    Levels(RgbImage),
    /// The images of a state, in the order of the maps that it was made with.
    State(Vec<(PixelMap, RgbImage)>),
}

impl Image {
    /// Converts a state `[C, H, W]` f32 with each of `maps`, as [`RgbImage::from_state`].
    ///
    /// # Errors
    /// [`ImageError`] if the length, the channels or a value is wrong.
    pub fn of_state(
        state: &[f32],
        sides: (usize, usize, usize),
        maps: &[PixelMap],
    ) -> Result<Self, ImageError> {
        let mapped = |&map: &PixelMap| Ok((map, RgbImage::from_state(state, sides, map)?));
        Ok(Self::State(maps.iter().map(mapped).collect::<Result<_, _>>()?))
    }

    fn of(&self, map: PixelMap) -> Option<&RgbImage> {
        match self {
            Self::Levels(image) => Some(image),
            Self::State(images) => images.iter().find(|(of, _)| *of == map).map(|(_, image)| image),
        }
    }
}

/// Returns the images that a reward with `map` sees.
///
/// # Errors
/// [`RewardError::NotMapped`] names the index of an image that was not made with this map.
pub(crate) fn of_map(images: &[Image], map: PixelMap) -> Result<Vec<RgbImage>, RewardError> {
    let of_map = |(index, image): (usize, &Image)| {
        image.of(map).cloned().ok_or(RewardError::NotMapped { index, map })
    };
    images.iter().enumerate().map(of_map).collect()
}
