//! WebP files, decoded by the crate `image-webp`. Of an animation the first frame, as libwebp's
//! `WebPAnimDecoder` draws it: on a transparent black canvas, without blending.

use ddpo_rollout::image::RgbImage;
use image_webp::WebPDecoder;
use std::io::Cursor;

use crate::error::{MAX_PIXELS, PictureError};
use crate::formats::bytes::{Endian, pixel_count};

/// Bytes of a frame's header in the chunk `ANMF`.
const FRAME_HEADER: usize = 16;

pub(crate) fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    // The decoder accepts files without their end.
    let size = Endian::Little.u32(bytes, 4).map_or(usize::MAX, |size| size as usize);
    if bytes.len() - 8 < size {
        return Err(malformed("the file is truncated"));
    }
    let decoder = WebPDecoder::new(Cursor::new(bytes))?;
    let (width, height) = sides(&decoder);
    pixel_count(width, height)?;
    if decoder.is_animated() {
        return first_frame(bytes, width, height);
    }
    still(decoder)
}

fn malformed(reason: &str) -> PictureError {
    PictureError::Malformed { format: "webp", reason: reason.to_owned() }
}

/// Returns the EXIF data.
pub(crate) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let data = chunks(bytes.get(12..)?).find(|(name, _)| *name == b"EXIF")?.1;
    Some(data.strip_prefix(b"Exif\0\0").unwrap_or(data))
}

fn sides(decoder: &WebPDecoder<Cursor<&[u8]>>) -> (usize, usize) {
    let (width, height) = decoder.dimensions();
    (width as usize, height as usize)
}

fn still(mut decoder: WebPDecoder<Cursor<&[u8]>>) -> Result<RgbImage, PictureError> {
    let (width, height) = sides(&decoder);
    decoder.set_memory_limit(MAX_PIXELS * 4);
    let length = decoder.output_buffer_size().ok_or(PictureError::TooLarge { width, height })?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels)?;
    if decoder.has_alpha() {
        let colours = pixels.as_chunks::<4>().0.iter();
        pixels = colours.flat_map(|&[red, green, blue, _]| [red, green, blue]).collect();
    }
    Ok(RgbImage::new(width, height, pixels)?)
}

fn first_frame(bytes: &[u8], width: usize, height: usize) -> Result<RgbImage, PictureError> {
    let outside = || malformed("expected a frame within its canvas");
    let body = bytes.get(12..).unwrap_or_default();
    let (_, frame) = chunks(body).find(|(name, _)| *name == b"ANMF").ok_or_else(outside)?;
    let number = |at: usize| Endian::Little.u32(frame, at).map(|word| (word & 0xff_ffff) as usize);
    let (left, top) = number(0).zip(number(3)).ok_or_else(outside)?;
    let (left, top) = (2 * left, 2 * top);
    let parts = frame.get(FRAME_HEADER..).unwrap_or_default();
    // The alpha of lossy frames is in a separate chunk, and not needed.
    let (name, data) =
        chunks(parts).find(|(name, _)| matches!(*name, b"VP8 " | b"VP8L")).ok_or_else(outside)?;
    let file = alone(name, data);
    let decoder = WebPDecoder::new(Cursor::new(file.as_slice()))?;
    pixel_count(sides(&decoder).0, sides(&decoder).1)?;
    let image = still(decoder)?;
    if left + image.width() > width || top + image.height() > height {
        return Err(outside());
    }
    let mut pixels = vec![0; 3 * pixel_count(width, height)?];
    let length = 3 * image.width();
    for (row, source) in image.pixels().chunks_exact(length.max(1)).enumerate() {
        pixels[3 * ((top + row) * width + left)..][..length].copy_from_slice(source);
    }
    Ok(RgbImage::new(width, height, pixels)?)
}

/// Returns a file with this chunk only.
fn alone(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = data.len() % 2;
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let riff = size(4 + 8 + data.len() + padding);
    [&b"RIFF"[..], &riff, b"WEBP", name, &size(data.len()), data, &[0][..padding]].concat()
}

/// Iterates over the names and the data of the chunks that are complete.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let name = rest.first_chunk::<4>()?;
        let length = Endian::Little.u32(rest, 4)? as usize;
        let data = rest.get(8..8_usize.checked_add(length)?)?;
        rest = rest.get(8 + length + length % 2..).unwrap_or_default();
        Some((name, data))
    })
}
