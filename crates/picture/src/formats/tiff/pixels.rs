//! The meaning of a TIFF file's samples: Pillow's table `OPEN_INFO`, and its conversions to RGB.

use super::directory::{Directory, malformed};
use super::segments::Layout;
use crate::error::PictureError;
use crate::formats::bytes::rgb_of_cmyk;

/// How the samples of a pixel become its colour.
pub(super) enum Kind {
    /// A level of so many bits, at most 8.
    Grey { bits: usize, inverted: bool },
    /// A number that is cut off below 0 and above 255.
    Clipped(Number),
    /// Samples of so many bits; `Alpha::Premultiplied` if the fourth has been multiplied with the others.
    Rgb { bits: usize, alpha: Alpha },
    /// Inks of so many bits.
    Cmyk { bits: usize },
    /// An index.
    Palette(Vec<[u8; 3]>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    Ignored,
    Premultiplied,
}

/// The type of a sample.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Unsigned,
    Signed16,
    Signed32,
    Float,
}

impl Kind {
    pub(super) fn read(directory: &Directory, layout: &Layout) -> Result<Self, PictureError> {
        let photometric = directory.number(262).unwrap_or(0);
        let format = directory.number(339).unwrap_or(1);
        let extra = directory.numbers(338);
        let (bits, samples) = (layout.bits, layout.samples);
        let alpha = if extra.first() == Some(&1) { Alpha::Premultiplied } else { Alpha::Ignored };
        Ok(match (photometric, format, bits, samples - extra.len().min(samples - 1)) {
            (0 | 1, 1, 1 | 2 | 4 | 8, 1) => Self::Grey { bits, inverted: photometric == 0 },
            (1, 2, 8, 1) => Self::Grey { bits, inverted: false },
            // Pillow does not invert 16 bits.
            (0 | 1, 1, 16, 1) => Self::Clipped(Number::Unsigned),
            (1, 2, 16, 1) => Self::Clipped(Number::Signed16),
            (1, 1 | 2, 32, 1) => Self::Clipped(Number::Signed32),
            (0 | 1, 3, 32, 1) => Self::Clipped(Number::Float),
            (2, 1, 8 | 16, 3 | 4) if samples >= 3 => Self::Rgb { bits, alpha },
            (3, 1, 1 | 2 | 4 | 8, 1) => Self::Palette(palette(directory, bits)?),
            (5, 1, 8 | 16, 4) => Self::Cmyk { bits },
            (6, 1, 8, 1) => Self::Grey { bits, inverted: false },
            _ => {
                let name = match photometric {
                    6 => " (YCbCr)",
                    8..=10 => " (Lab)",
                    _ => "",
                };
                return Err(malformed(format!(
                    "photometric interpretation {photometric}{name} with {samples} samples of {bits} \
                     bits and format {format} is not supported"
                )));
            }
        })
    }

    /// Returns the colour of a pixel.
    pub(super) fn colour(&self, sample: impl Fn(usize) -> u32) -> [u8; 3] {
        match self {
            Self::Grey { bits, inverted } => {
                let most = (1 << bits) - 1;
                let level = sample(0) * 255 / most;
                [(if *inverted { 255 - level } else { level }) as u8; 3]
            }
            Self::Clipped(number) => [number.clipped(sample(0)); 3],
            Self::Rgb { bits, alpha } => {
                let level = |index: usize| (sample(index) >> (bits - 8)) as u8;
                let colour = [0, 1, 2].map(level);
                match alpha {
                    Alpha::Premultiplied => colour.map(|level_of| divided(level_of, level(3))),
                    Alpha::Ignored => colour,
                }
            }
            Self::Cmyk { bits } => {
                rgb_of_cmyk([0, 1, 2, 3].map(|index| (sample(index) >> (bits - 8)) as u8))
            }
            Self::Palette(colours) => colours.get(sample(0) as usize).copied().unwrap_or_default(),
        }
    }
}

impl Number {
    fn clipped(self, bits: u32) -> u8 {
        let whole = |number: i64| number.clamp(0, 255) as u8;
        match self {
            Self::Unsigned => whole(bits.into()),
            Self::Signed16 => whole((bits as u16 as i16).into()),
            Self::Signed32 => whole((bits as i32).into()),
            // The cast cuts off the fraction, and what is beyond 0 and 255.
            Self::Float => f32::from_bits(bits) as u8,
        }
    }
}

/// Divides a level by its alpha (Pillow's `unpackRGBa`).
fn divided(level: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        255 => level,
        alpha => (u32::from(level) * 255 / u32::from(alpha)).min(255) as u8,
    }
}

fn palette(directory: &Directory, bits: usize) -> Result<Vec<[u8; 3]>, PictureError> {
    let colours = 1 << bits;
    let listed = directory.numbers(320);
    if listed.len() != 3 * colours {
        let found = format!("expected a palette of {colours} colours, found {}", listed.len());
        return Err(malformed(found));
    }
    // The high bytes of all reds, then all greens, then all blues.
    let level = |index: usize, channel: usize| (listed[channel * colours + index] >> 8) as u8;
    Ok((0..colours).map(|index| [0, 1, 2].map(|channel| level(index, channel))).collect())
}
