//! Numbers in bytes, limits, and conversions of levels that several formats share.

use crate::error::{MAX_PIXELS, PictureError};

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

impl Endian {
    /// Returns the 16 bits at `at`.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let pair: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(pair),
            Self::Big => u16::from_be_bytes(pair),
        })
    }

    /// Returns the 32 bits at `at`.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        })
    }
}

/// Returns the number of pixels.
///
/// # Errors
/// [`PictureError::Empty`] for none, [`PictureError::TooLarge`] over [`MAX_PIXELS`].
pub(crate) fn pixel_count(width: usize, height: usize) -> Result<usize, PictureError> {
    match width.checked_mul(height) {
        Some(0) => Err(PictureError::Empty { width, height }),
        Some(pixels) if pixels <= MAX_PIXELS => Ok(pixels),
        _ => Err(PictureError::TooLarge { width, height }),
    }
}

/// Converts CMYK to RGB (Pillow's `cmyk2rgb`).
pub(crate) fn rgb_of_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let white = u32::from(255 - black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * white + 128;
        // At most `white`, so the difference is a level.
        (white - (((product >> 8) + product) >> 8)) as u8
    })
}

/// Returns the value of `bits` bits (1, 2, 4 or 8) at `index` in a row, first bits first.
pub(crate) fn packed(row: &[u8], index: usize, bits: usize) -> Option<u8> {
    let at = index * bits;
    let byte = row.get(at / 8)?;
    let shift = 8 - bits - at % 8;
    Some((byte >> shift) & (0xff >> (8 - bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_bits_from_the_first() {
        let row = [0b1011_0001, 0xff];
        let read = |bits| (0..8 / bits).map(|index| packed(&row, index, bits)).collect::<Vec<_>>();
        assert_eq!(read(2), [Some(2), Some(3), Some(0), Some(1)]);
        assert_eq!(read(4), [Some(11), Some(1)]);
        assert_eq!(read(8), [Some(177)]);
        assert_eq!(packed(&row, 16, 1), None);
    }

    #[test]
    fn ink_on_black_is_black() {
        assert_eq!(rgb_of_cmyk([9, 200, 255, 255]), [0; 3]);
        assert_eq!(rgb_of_cmyk([0, 255, 128, 0]), [255, 0, 127]);
    }
}
