//! GIF files: the first frame on its canvas, as Pillow's `GifImagePlugin.py` shows it.

use ddpo_rollout::image::RgbImage;
use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use std::num::NonZeroU64;

use crate::error::{MAX_PIXELS, PictureError};
use crate::formats::bytes::pixel_count;

pub(crate) fn is_gif(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a")
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    if let Some(limit) = NonZeroU64::new(MAX_PIXELS as u64) {
        options.set_memory_limit(MemoryLimit::Bytes(limit));
    }
    let mut decoder = options.read_info(bytes)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let malformed = |reason: &str| PictureError::Malformed { format: "gif", reason: reason.into() };
    let Some(frame) = decoder.read_next_frame()? else {
        return Err(malformed("expected a frame, found none"));
    };
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (wide, high) = (usize::from(frame.width), usize::from(frame.height));
    // The canvas grows where the frame goes beyond it.
    let (width, height) = (screen.0.max(left + wide), screen.1.max(top + high));
    let around = frame.transparent.unwrap_or(0);
    let mut indices = vec![around; pixel_count(width, height)?];
    let rows = frame.buffer.chunks_exact(wide.max(1)).take(high);
    for (row, source) in rows.enumerate() {
        indices[(top + row) * width + left..][..wide].copy_from_slice(source);
    }
    let palette = frame.palette.as_deref().or(global.as_deref());
    let pixels = indices.iter().flat_map(|&index| colour(palette, index)).collect();
    Ok(RgbImage::new(width, height, pixels)?)
}

/// Returns the colour of an index: a level of grey without a palette, black beyond its end.
fn colour(palette: Option<&[u8]>, index: u8) -> [u8; 3] {
    let Some(palette) = palette else { return [index; 3] };
    palette.as_chunks().0.get(usize::from(index)).copied().unwrap_or_default()
}
