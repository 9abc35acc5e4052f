//! Pictures for people: PNG and JPEG files read as the RGB that Pillow would see, PNG files
//! written beside and renamed, and labelled grids of samples.
//!
//! It stands at the edges of the flow: behind the sampler, where samples become files, and
//! before the reward models, where files become images to score. It knows neither libtorch
//! nor the network.

mod decode;
mod encode;
mod error;
mod find;
mod grid;
mod text;

pub use decode::{decode_image, read_image};
pub use encode::{encode_png, write_png};
pub use error::{MAX_PIXELS, PictureError};
pub use find::images_under;
pub use grid::{Cell, MOST_SHOWN, cells_of, grid, square_layout};
pub use text::{AXIS, Type};
