//! Drawn faces with a visible age: the data set that the embedded model learns.
//!
//! Each face is a function of a seed, an index and an age class, and of nothing else: the
//! parameters ([`Face`]) are drawn by a counter-based generator and painted as smooth vector
//! shapes. Ages come in CelebA-HQ's proportions ([`AgeClass::SHARES`]), and they show: hair
//! turns from its own colour to silver and white, hairlines retreat, skin folds.
//!
//! The drawings are this project's own; no picture or outline was taken from elsewhere.

mod age;
mod canvas;
mod colour;
mod draw;
mod face;
mod random;

use ddpo_rollout::image::RgbImage;

pub use age::AgeClass;
pub use canvas::SIZES;
pub use colour::Colour;
pub use face::{Backdrop, Beard, Clothes, Face, Glasses, HairStyle, Mouth};

/// Draws face `index` of data set `seed`, `size` pixels a side (clamped to [`SIZES`]), with an
/// age class drawn by [`AgeClass::SHARES`].
pub fn draw_face(seed: u64, index: u64, size: usize) -> (RgbImage, AgeClass) {
    let class = AgeClass::draw(&mut random::Draws::new(seed, index, 0));
    (draw_face_of(seed, index, size, class), class)
}

/// Draws face `index` of data set `seed` in the given age class, `size` pixels a side (clamped
/// to [`SIZES`]). [`draw_face`] gives the same picture where it draws the same class.
pub fn draw_face_of(seed: u64, index: u64, size: usize, class: AgeClass) -> RgbImage {
    paint(&Face::sample(seed, index, class), size)
}

/// Paints a face on a picture of `size` pixels a side (clamped to [`SIZES`]).
pub fn paint(face: &Face, size: usize) -> RgbImage {
    draw::paint(face, size)
}
