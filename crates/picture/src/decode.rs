//! Decodes images like Pillow's `Image.open(...).convert("RGB")` (12.1.0): drops alpha without
//! blending, copies grey to three channels, ignores orientation tags.
//!
//! JPEG is decoded by libjpeg-turbo, as in Pillow, so the pixels are bit-identical. Other decoders
//! differ by single levels, which would change rewards.

use std::fs;
use std::path::Path;

use ddpo_rollout::image::RgbImage;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

use crate::error::{MAX_PIXELS, PictureError};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";

/// Reads a PNG or JPEG file. The contents determine the format, not the name.
///
/// # Errors
/// [`PictureError`] with the file's name, if it cannot be read or decoded.
pub fn read_image(path: &Path) -> Result<RgbImage, PictureError> {
    let bytes =
        fs::read(path).map_err(|source| PictureError::Io { path: path.to_path_buf(), source })?;
    decode_image(&bytes)
        .map_err(|source| PictureError::File { path: path.to_path_buf(), source: Box::new(source) })
}

/// Decodes a PNG or a JPEG.
///
/// # Errors
/// [`PictureError`] for another format, a damaged file, an image over [`MAX_PIXELS`], or a CMYK
/// JPEG.
pub fn decode_image(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    if bytes.starts_with(PNG) {
        decode_png(bytes)
    } else if bytes.starts_with(JPEG) {
        decode_jpeg(bytes)
    } else {
        Err(PictureError::Format(bytes.iter().take(8).copied().collect()))
    }
}

fn pixel_count(width: usize, height: usize) -> Result<usize, PictureError> {
    width
        .checked_mul(height)
        .filter(|pixels| *pixels <= MAX_PIXELS)
        .ok_or(PictureError::TooLarge { width, height })
}

fn decode_png(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let limits = Limits { bytes: MAX_PIXELS * 8 };
    let mut decoder = Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let pixels = pixel_count(width, height)?;
    let (colour, depth) = reader.output_color_type();
    let length = reader.output_buffer_size().ok_or(PictureError::TooLarge { width, height })?;
    let mut data = vec![0; length];
    reader.next_frame(&mut data)?;

    let channels = colour.samples();
    let grey = matches!(colour, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    let level = |position: usize, channel: usize| {
        let at = position * channels + if grey { 0 } else { channel };
        match (depth, colour) {
            // Pillow clips 16-bit grey to 255, and takes the high byte of other 16-bit
            // samples.
            (BitDepth::Sixteen, ColorType::Grayscale) if data[2 * at] > 0 => 255,
            (BitDepth::Sixteen, ColorType::Grayscale) => data[2 * at + 1],
            (BitDepth::Sixteen, _) => data[2 * at],
            _ => data[at],
        }
    };
    let levels = (0..pixels).flat_map(|position| (0..3).map(move |channel| (position, channel)));
    let levels = levels.map(|(position, channel)| level(position, channel)).collect();
    Ok(RgbImage::new(width, height, levels)?)
}

fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let mut decompressor = Decompressor::new()?;
    let header = decompressor.read_header(bytes)?;
    let (width, height) = (header.width, header.height);
    if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return Err(PictureError::ColourSpace(format!("{:?}", header.colorspace)));
    }
    let mut pixels = vec![0; pixel_count(width, height)? * 3];
    let format = PixelFormat::RGB;
    let output = Image { pixels: &mut pixels[..], width, pitch: width * 3, height, format };
    decompressor.decompress(bytes, output)?;
    Ok(RgbImage::new(width, height, pixels)?)
}
