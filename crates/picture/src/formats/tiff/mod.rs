//! TIFF files as Pillow's `TiffImagePlugin.py` reads them: the first image, upright.
//!
//! The crates for TIFF have no palettes, and invert or widen levels in their own way; so only the
//! compressions come from crates. JPEG, fax, LZMA, Zstandard, YCbCr and Lab are refused by name.

mod directory;
mod pixels;
mod segments;

use ddpo_rollout::image::RgbImage;

use crate::error::PictureError;
use crate::orientation::oriented;
use directory::{Directory, malformed};
use pixels::Kind;
use segments::Layout;

/// The tag of the orientation.
const ORIENTATION: u16 = 274;

pub(crate) fn is_tiff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*")
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let directory = Directory::first(bytes).ok_or_else(|| malformed("it has no directory"))?;
    let layout = Layout::read(&directory)?;
    let kind = Kind::read(&directory, &layout)?;
    let rows = layout.decode(bytes, directory.endian)?;
    let mut levels = Vec::with_capacity(3 * layout.width * layout.height);
    for row in 0..layout.height {
        let line = rows.line(row);
        for column in 0..layout.width {
            levels.extend_from_slice(&kind.colour(|sample| line.sample(column, sample)));
        }
    }
    let image = RgbImage::new(layout.width, layout.height, levels)?;
    oriented(image, directory.number(ORIENTATION))
}

/// Returns the orientation in EXIF data.
pub(crate) fn orientation(exif: &[u8]) -> Option<u32> {
    Directory::first(exif)?.number(ORIENTATION)
}
