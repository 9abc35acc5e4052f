//! A file for each image format.

pub(crate) mod bmp;
pub(crate) mod bytes;
pub(crate) mod gif;
pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod tiff;
pub(crate) mod webp;
