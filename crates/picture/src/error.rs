//! Errors of reading and writing pictures.

use std::io;
use std::path::PathBuf;

use ddpo_rollout::image::ImageError;
use thiserror::Error;

/// Largest image, in pixels. An image whose header states more is rejected before decoding.
pub const MAX_PIXELS: usize = 1 << 27;

/// Largest file of an image, in bytes.
pub const MAX_BYTES: u64 = 1 << 29;

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
    /// The picture in a file cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error in its contents.
        source: Box<PictureError>,
    },
    /// A folder contains no pictures.
    #[error("{}: expected image files (.png, .jpg, .webp, .gif, .bmp, .tif), found none", .0.display())]
    NoImages(PathBuf),
    /// The first bytes match no supported format.
    #[error(
        "image format: expected png, jpeg, webp, gif, bmp or tiff, found bytes that begin {0:02x?}"
    )]
    Format(Vec<u8>),
    /// The header states a size over [`MAX_PIXELS`].
    #[error("image of {width}x{height} pixels: expected at most {} pixels", MAX_PIXELS)]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A picture has no pixels.
    #[error("image of {width}x{height} pixels: expected at least one pixel")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A file is damaged, or of a kind that is not supported.
    #[error("{format}: {reason}")]
    Malformed {
        /// Name of the format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The GIF decoder failed.
    #[error("gif: {0}")]
    Gif(#[from] gif::DecodingError),
    /// The WebP decoder failed.
    #[error("webp: {0}")]
    WebP(#[from] image_webp::DecodingError),
    /// The PNG decoder failed.
    #[error("png: {0}")]
    PngDecoding(#[from] png::DecodingError),
    /// The PNG encoder failed.
    #[error("png: {0}")]
    PngEncoding(#[from] png::EncodingError),
    /// The JPEG decoder failed.
    #[error("jpeg: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    /// The decoded pixels do not form an image.
    #[error(transparent)]
    Image(#[from] ImageError),
}
