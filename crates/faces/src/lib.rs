//! Drawn faces with a visible age: the data set of the embedded model.
//!
//! Each face depends only on a seed, an index and an age class: a counter-based generator draws the
//! parameters ([`Face`]), which are painted as smooth vector shapes. Ages have CelebA-HQ's proportions
//! ([`AgeClass::SHARES`]) and are visible: hair turns silver and white, hairlines recede, skin
//! wrinkles.
//!
//! The drawings are original; no picture or outline was taken from elsewhere.

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

/// Draws face `index` of data set `seed`, with sides of `size` pixels (clamped to [`SIZES`]) and an
/// age class drawn by [`AgeClass::SHARES`].
pub fn draw_face(seed: u64, index: u64, size: usize) -> (RgbImage, AgeClass) {
    let class = AgeClass::draw(&mut random::Draws::new(seed, index, 0));
    (draw_face_of(seed, index, size, class), class)
}

/// Draws face `index` of data set `seed` in the given age class, with sides of `size` pixels (clamped
/// to [`SIZES`]). Equal to [`draw_face`] if that draws the same class.
pub fn draw_face_of(seed: u64, index: u64, size: usize, class: AgeClass) -> RgbImage {
    paint(&Face::sample(seed, index, class), size)
}

/// Paints a face on a picture with sides of `size` pixels (clamped to [`SIZES`]).
pub fn paint(face: &Face, size: usize) -> RgbImage {
    draw::paint(face, size)
}
