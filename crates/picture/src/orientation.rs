//! Turns images as their EXIF data say.

use crate::error::PictureError;
use ddpo_rollout::image::RgbImage;

/// Returns the image upright. `orientation` is EXIF's number, 1 to 8; any other number changes nothing
/// (Pillow's `ImageOps.exif_transpose`).
pub(crate) fn oriented(
    image: RgbImage,
    orientation: Option<u32>,
) -> Result<RgbImage, PictureError> {
    let (width, height) = (image.width(), image.height());
    // Returns the source of a pixel of the result.
    let source: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        Some(2) => |x, y, width, _| (width - 1 - x, y),
        Some(3) => |x, y, width, height| (width - 1 - x, height - 1 - y),
        Some(4) => |x, y, _, height| (x, height - 1 - y),
        Some(5) => |x, y, _, _| (y, x),
        Some(6) => |x, y, _, height| (y, height - 1 - x),
        Some(7) => |x, y, width, height| (width - 1 - y, height - 1 - x),
        Some(8) => |x, y, width, _| (width - 1 - y, x),
        _ => return Ok(image),
    };
    let turned = matches!(orientation, Some(5..=8));
    let (wide, high) = if turned { (height, width) } else { (width, height) };
    let mut pixels = Vec::with_capacity(image.pixels().len());
    for (x, y) in (0..high).flat_map(|y| (0..wide).map(move |x| (x, y))) {
        let (x, y) = source(x, y, width, height);
        let at = 3 * (y * width + x);
        pixels.extend_from_slice(&image.pixels()[at..at + 3]);
    }
    Ok(RgbImage::new(wide, high, pixels)?)
}
