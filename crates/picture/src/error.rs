//! Errors of reading and writing pictures.

use std::io;
use std::path::PathBuf;

use ddpo_rollout::image::ImageError;
use thiserror::Error;

/// Largest image, in pixels. An image whose header states more is refused before decoding.
pub const MAX_PIXELS: usize = 1 << 27;

/// Errors from reading and writing pictures.
#[derive(Debug, Error)]
pub enum PictureError {
    /// A file or folder could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The picture in a file is wrong.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents.
        source: Box<PictureError>,
    },
    /// A folder holds no picture.
    #[error("{}: expected .png, .jpg or .jpeg files, found none", .0.display())]
    NoImages(PathBuf),
    /// The first bytes are of no format that can be read.
    #[error("image format: expected png or jpeg, found bytes that begin {0:02x?}")]
    Format(Vec<u8>),
    /// The file says that it is larger than [`MAX_PIXELS`].
    #[error("image of {width}x{height} pixels: expected at most {} pixels", MAX_PIXELS)]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A picture without pixels cannot be written.
    #[error("image of {width}x{height} pixels: expected at least one pixel")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A JPEG is in a colour space that has no agreed way to RGB.
    #[error("jpeg colour space: expected grey, YCbCr or RGB, found {0}")]
    ColourSpace(String),
    /// The PNG reader refused the bytes.
    #[error("png: {0}")]
    PngDecoding(#[from] png::DecodingError),
    /// The PNG writer failed.
    #[error("png: {0}")]
    PngEncoding(#[from] png::EncodingError),
    /// The JPEG reader refused the bytes.
    #[error("jpeg: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    /// The decoded pixels do not make an image.
    #[error(transparent)]
    Image(#[from] ImageError),
}
