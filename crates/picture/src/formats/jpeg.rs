//! JPEG files, decoded by libjpeg-turbo as in Pillow.

use ddpo_rollout::image::RgbImage;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

use crate::error::PictureError;
use crate::formats::bytes::{Endian, pixel_count, rgb_of_cmyk};

const EXIF: &[u8] = b"Exif\0\0";

pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8\xff")
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let mut decompressor = Decompressor::new()?;
    let header = decompressor.read_header(bytes)?;
    let (width, height) = (header.width, header.height);
    let inks = matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let format = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
    let mut pixels = vec![0; pixel_count(width, height)? * format.size()];
    let pitch = width * format.size();
    let output = Image { pixels: &mut pixels[..], width, pitch, height, format };
    decompressor.decompress(bytes, output)?;
    if inks {
        // Pillow takes the inks of every CMYK file as inverted, as Adobe's programs write them.
        let inks = pixels.as_chunks::<4>().0.iter();
        pixels = inks.flat_map(|inks| rgb_of_cmyk(inks.map(|ink| 255 - ink))).collect();
    }
    Ok(RgbImage::new(width, height, pixels)?)
}

/// Returns the EXIF data of the first segment `APP1` that has them.
pub(crate) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        let marker = Endian::Big.u16(bytes, at)?;
        match marker {
            // Fill bytes before a marker.
            0xffff => at += 1,
            // Markers without a length.
            0xff01 | 0xffd0..=0xffd8 => at += 2,
            // The image data, or no marker.
            0xffd9 | 0xffda => return None,
            0xff00.. => {
                let end = at + 2 + usize::from(Endian::Big.u16(bytes, at + 2)?);
                let data = bytes.get(at + 4..end)?;
                if marker == 0xffe1
                    && let Some(exif) = data.strip_prefix(EXIF)
                {
                    return Some(exif);
                }
                at = end;
            }
            _ => return None,
        }
    }
}
