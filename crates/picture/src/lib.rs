//! Picture files: reads PNG, JPEG, WebP, GIF, BMP and TIFF as the same RGB as Pillow, writes PNG
//! atomically, and draws labelled grids of samples.
//!
//! Used after the sampler, to write samples, and before the reward models, to read images to score.
//! Depends neither on libtorch nor on the network.

mod decode;
mod encode;
mod error;
mod find;
mod formats;
mod grid;
mod orientation;
mod text;

pub use decode::{Orientation, decode_image, read_image, read_oriented};
pub use encode::{PngColour, encode_png, encode_png_as, write_png, write_png_as};
pub use error::{MAX_BYTES, MAX_PIXELS, PictureError};
pub use find::{Folders, images_in, images_under};
pub use grid::{Cell, MOST_SHOWN, cells_of, grid, square_layout};
pub use text::{AXIS, Type};
