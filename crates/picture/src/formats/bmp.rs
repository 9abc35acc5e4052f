//! BMP files as Pillow's `BmpImagePlugin.py` reads them.

use ddpo_rollout::image::RgbImage;

use crate::error::PictureError;
use crate::formats::bytes::{Endian, packed, pixel_count};

const LE: Endian = Endian::Little;
/// Bytes of the header of the file, before that of the image.
const FILE_HEADER: usize = 14;
const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BITFIELDS: u32 = 3;

pub(crate) fn is_bmp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM")
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    let header = Header::read(bytes)?;
    let pixels = pixel_count(header.width, header.height)?;
    let layout = Layout::of(&header, bytes)?;
    let indices = match header.compression {
        RLE8 | RLE4 => Some(run_lengths(bytes, &header, pixels)?),
        _ => None,
    };
    let stride = (header.width * header.bits).div_ceil(32) * 4;
    let mut levels = Vec::with_capacity(3 * pixels);
    for row in 0..header.height {
        let row = if header.top_down { row } else { header.height - 1 - row };
        let line = match &indices {
            Some(indices) => &indices[row * header.width..][..header.width],
            None => header.line(bytes, row, stride)?,
        };
        for column in 0..header.width {
            let colour = layout.colour(line, column).ok_or_else(truncated)?;
            levels.extend_from_slice(&colour);
        }
    }
    Ok(RgbImage::new(header.width, header.height, levels)?)
}

fn malformed(reason: impl Into<String>) -> PictureError {
    PictureError::Malformed { format: "bmp", reason: reason.into() }
}

fn truncated() -> PictureError {
    malformed("the file is truncated")
}

/// The fields of the image's header.
struct Header {
    width: usize,
    height: usize,
    top_down: bool,
    bits: usize,
    compression: u32,
    /// Colours of the palette.
    colours: usize,
    /// Bytes of a colour of the palette.
    colour_bytes: usize,
    /// Where the palette begins, or the masks that follow a short header.
    end: usize,
    /// Where the pixels begin.
    pixels: usize,
    /// Red, green, blue, alpha, if the colours are bit fields.
    masks: Option<[u32; 4]>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, PictureError> {
        let word = |at: usize| LE.u32(bytes, FILE_HEADER + at).ok_or_else(truncated);
        let half = |at: usize| LE.u16(bytes, FILE_HEADER + at).ok_or_else(truncated);
        let size = word(0)? as usize;
        let end = FILE_HEADER + size;
        let mut header = match size {
            12 => Self {
                width: half(4)?.into(),
                height: half(6)?.into(),
                top_down: false,
                bits: half(10)?.into(),
                compression: RAW,
                colours: 0,
                colour_bytes: 3,
                end,
                pixels: 0,
                masks: None,
            },
            40 | 52 | 56 | 64 | 108 | 124 => {
                let height = word(8)?;
                let top_down = height >> 24 == 0xff;
                Self {
                    width: word(4)? as usize,
                    height: if top_down { height.wrapping_neg() } else { height } as usize,
                    top_down,
                    bits: half(14)?.into(),
                    compression: word(16)?,
                    colours: word(32)? as usize,
                    colour_bytes: 4,
                    end,
                    pixels: 0,
                    masks: None,
                }
            }
            other => return Err(malformed(format!("a header of {other} bytes is not supported"))),
        };
        if header.colours == 0 && header.bits <= 8 {
            header.colours = 1 << header.bits;
        }
        if header.compression == BITFIELDS {
            let alpha = if size >= 56 { word(52)? } else { 0 };
            header.masks = Some([word(40)?, word(44)?, word(48)?, alpha]);
            if size == 40 {
                header.end += 12;
            }
        }
        header.pixels = header.start(LE.u32(bytes, 10).ok_or_else(truncated)? as usize, size);
        Ok(header)
    }

    /// Returns where the pixels begin, given the offset in the file's header.
    fn start(&self, offset: usize, size: usize) -> usize {
        let palette = self.colours.saturating_mul(self.colour_bytes);
        match offset {
            0 => self.end.saturating_add(if self.bits <= 8 { palette } else { 0 }),
            // Some files give the end of the header, though a palette follows it.
            offset if offset == FILE_HEADER + size && self.bits <= 8 => {
                offset.saturating_add(4 * self.colours.min(1 << 16))
            }
            offset => offset,
        }
    }

    fn line<'a>(
        &self,
        bytes: &'a [u8],
        row: usize,
        stride: usize,
    ) -> Result<&'a [u8], PictureError> {
        let start = self.pixels.checked_add(row * stride).ok_or_else(truncated)?;
        // The padding of the last row may be missing.
        let length = (self.width * self.bits).div_ceil(8);
        bytes.get(start..start + length).ok_or_else(truncated)
    }
}

/// How a row's bytes become colours.
enum Layout {
    /// Indices of so many bits.
    Palette { bits: usize, colours: Vec<[u8; 3]> },
    /// Bytes of a pixel, and the places of red, green and blue among them.
    Bytes { size: usize, places: [usize; 3] },
    /// 16 bits with blue last; bits of green.
    Packed { green: u32 },
}

impl Layout {
    fn of(header: &Header, bytes: &[u8]) -> Result<Self, PictureError> {
        let blue_first = |size| Self::Bytes { size, places: [2, 1, 0] };
        let runs = matches!(header.compression, RLE8 | RLE4);
        match (header.bits, header.masks) {
            (1 | 4 | 8, None) => Self::palette(header, bytes),
            _ if runs || header.compression > BITFIELDS => Err(malformed(format!(
                "compression {} of {} bits is not supported",
                header.compression, header.bits
            ))),
            (16, None) => Ok(Self::Packed { green: 5 }),
            (24, None) => Ok(blue_first(3)),
            (32, None) => Ok(blue_first(4)),
            (16, Some([0xf800, 0x7e0, 0x1f, _])) => Ok(Self::Packed { green: 6 }),
            (16, Some([0x7c00, 0x3e0, 0x1f, _])) => Ok(Self::Packed { green: 5 }),
            (24, Some([0xff_0000, 0xff00, 0xff, _])) => Ok(blue_first(3)),
            (32, Some(masks)) => of_masks(masks),
            (bits, masks) => {
                Err(malformed(format!("{bits} bits with masks {masks:x?} are not supported")))
            }
        }
    }

    fn palette(header: &Header, bytes: &[u8]) -> Result<Self, PictureError> {
        if header.colours > 1 << 16 {
            return Err(malformed(format!("a palette of {} colours", header.colours)));
        }
        let length = header.colours * header.colour_bytes;
        let listed = bytes.get(header.end..header.end + length).ok_or_else(truncated)?;
        let colours = listed.chunks_exact(header.colour_bytes).map(|one| [one[2], one[1], one[0]]);
        // Decoded run lengths have a byte for each index.
        let bits = if header.compression == RAW { header.bits } else { 8 };
        Ok(Self::Palette { bits, colours: colours.collect() })
    }

    fn colour(&self, line: &[u8], column: usize) -> Option<[u8; 3]> {
        match self {
            // Black beyond the palette's end.
            Self::Palette { bits, colours } => {
                let index = usize::from(packed(line, column, *bits)?);
                Some(colours.get(index).copied().unwrap_or_default())
            }
            Self::Bytes { size, places } => {
                let pixel = line.get(column * size..(column + 1) * size)?;
                Some(places.map(|place| pixel[place]))
            }
            Self::Packed { green } => {
                let pixel = u32::from(LE.u16(line, 2 * column)?);
                let level = |shift: u32, bits: u32| {
                    let most = (1 << bits) - 1;
                    ((pixel >> shift & most) * 255 / most) as u8
                };
                Some([level(5 + green, 5), level(5, *green), level(0, 5)])
            }
        }
    }
}

/// Returns the layout of 32-bit pixels with these masks. Only the masks that Pillow supports are accepted.
fn of_masks(masks: [u32; 4]) -> Result<Layout, PictureError> {
    let places = match masks {
        [0xff_0000, 0xff00, 0xff, 0 | 0xff00_0000] | [0, 0, 0, 0] => [2, 1, 0],
        [0xff00_0000, 0xff_0000, 0xff00, 0 | 0xff] => [3, 2, 1],
        [0xff00_0000, 0xff00, 0xff, 0 | 0xff_0000] => [3, 1, 0],
        [0xff, 0xff00, 0xff_0000, 0xff00_0000] => [0, 1, 2],
        masks => return Err(malformed(format!("masks {masks:x?} are not supported"))),
    };
    Ok(Layout::Bytes { size: 4, places })
}

/// Decodes run lengths to one index for each pixel.
fn run_lengths(bytes: &[u8], header: &Header, pixels: usize) -> Result<Vec<u8>, PictureError> {
    let nibbles = header.compression == RLE4;
    let mut data = Vec::with_capacity(pixels);
    let mut column = 0;
    let mut at = header.pixels;
    while data.len() < pixels {
        let Some(&[count, value]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) else {
            break;
        };
        at += 2;
        match (count, value) {
            (0, 0) => {
                data.resize(data.len().next_multiple_of(header.width), 0);
                column = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                // Pillow reads two bytes before the offsets.
                let Some(&[_, _, right, up]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>)
                else {
                    break;
                };
                at += 4;
                let skipped = usize::from(right) + usize::from(up) * header.width;
                data.resize((data.len() + skipped).min(pixels), 0);
                column = data.len() % header.width;
            }
            (0, count) => {
                let length = usize::from(if nibbles { count / 2 } else { count });
                let literal = bytes.get(at..at + length).ok_or_else(truncated)?;
                if nibbles {
                    data.extend(literal.iter().flat_map(|byte| [byte >> 4, byte & 15]));
                } else {
                    data.extend_from_slice(literal);
                }
                column += usize::from(count);
                at = (at + length).next_multiple_of(2);
            }
            (count, value) => {
                let count = usize::from(count).min(header.width.saturating_sub(column));
                let pair = if nibbles { [value >> 4, value & 15] } else { [value; 2] };
                data.extend((0..count).map(|index| pair[index % 2]));
                column += count;
            }
        }
    }
    data.truncate(pixels);
    if data.len() < pixels {
        return Err(truncated());
    }
    Ok(data)
}
