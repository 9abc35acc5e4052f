//! The diversity that a set of images keeps of a first set, by the features that keep less.

use crate::diversity::{Diversity, FEWEST, look_alike_distance};
use crate::features::{normalised_pixels, pixels};
use ddpo_rollout::image::RgbImage;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// The diversity of the first set, by each kind of features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstDiversity {
    /// By pixels.
    pixels: Scale,
    /// By contrast-normalised pixels.
    normalised_pixels: Scale,
}

/// The diversity of the first set by one kind of features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Scale {
    /// The scale of the similarity: the median distance to the nearest neighbour.
    look_alike_distance: f64,
    /// The diversity at this scale.
    #[serde(flatten)]
    diversity: Diversity,
}

impl FirstDiversity {
    /// Measures the first set; `None` for fewer than [`FEWEST`] images.
    pub fn of(images: &[RgbImage]) -> Option<Self> {
        let of = |features: DMatrix<f64>| {
            let look_alike_distance = look_alike_distance(&features);
            let diversity = Diversity::of(&features, look_alike_distance);
            Scale { look_alike_distance, diversity }
        };
        let measure = || Self {
            pixels: of(pixels(images)),
            normalised_pixels: of(normalised_pixels(images)),
        };
        (images.len() >= FEWEST).then(measure)
    }

    /// Returns the share of this diversity that a later set of as many images keeps: the excess of its Vendi
    /// score over 1, relative to that of the first set. The lower of pixels and contrast-normalised pixels.
    pub fn kept_by(&self, images: &[RgbImage]) -> f64 {
        let kept = |scale: &Scale, features: DMatrix<f64>| {
            Diversity::of(&features, scale.look_alike_distance).left_of(&scale.diversity)
        };
        let by_pixels = kept(&self.pixels, pixels(images));
        by_pixels.min(kept(&self.normalised_pixels, normalised_pixels(images)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of 12 x 12 pixels with a bright square of four pixels a side.
    fn square(x: usize, y: usize, background: u8) -> RgbImage {
        let level = |at: usize| {
            let (column, row) = (at / 3 % 12, at / 36);
            let inside = (x..x + 4).contains(&column) && (y..y + 4).contains(&row);
            background + 80 * u8::from(inside)
        };
        RgbImage::new(12, 12, (0..12 * 12 * 3).map(level).collect()).unwrap()
    }

    fn squares(count: usize, at: impl Fn(usize) -> (usize, usize)) -> Vec<RgbImage> {
        let one = |index: usize| {
            let (x, y) = at(index);
            square(x, y, 40 + 3 * index as u8)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn the_first_set_keeps_all_and_copies_keep_nothing() {
        let images = squares(36, |index| (index % 8, index / 8));
        let first = FirstDiversity::of(&images).unwrap();
        assert!((first.kept_by(&images) - 1.0).abs() < 1e-12);
        let copies = vec![images[0].clone(); 36];
        assert!(first.kept_by(&copies) < 1e-9);
    }

    /// The backgrounds differ as before, but all squares are at one place.
    #[test]
    fn the_features_that_keep_less_decide() {
        let first = FirstDiversity::of(&squares(36, |index| (index % 8, index / 8))).unwrap();
        let later = squares(36, |_| (2, 3));
        assert!(first.kept_by(&later) < 0.1, "{}", first.kept_by(&later));
    }

    #[test]
    fn fewer_than_32_images_are_not_measured() {
        assert_eq!(FirstDiversity::of(&squares(31, |index| (index % 8, index / 8))), None);
    }

    #[test]
    fn survives_json() {
        let first = FirstDiversity::of(&squares(36, |index| (index % 8, index / 8))).unwrap();
        let text = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::from_str::<FirstDiversity>(&text).unwrap(), first);
    }
}
