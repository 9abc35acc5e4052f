//! PNG files, decoded by the crate `png`.

use ddpo_rollout::image::RgbImage;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::error::{MAX_PIXELS, PictureError};
use crate::formats::bytes::{Endian, pixel_count};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(crate) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
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

/// Returns the data of the chunk `eXIf`.
pub(crate) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = SIGNATURE.len();
    loop {
        let length = Endian::Big.u32(bytes, at)? as usize;
        let data = at.checked_add(8)?..at.checked_add(8)?.checked_add(length)?;
        match bytes.get(at + 4..at + 8)? {
            b"eXIf" => return bytes.get(data),
            b"IEND" => return None,
            _ => at = data.end.checked_add(4)?,
        }
    }
}
