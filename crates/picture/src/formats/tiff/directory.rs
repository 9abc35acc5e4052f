//! The first directory of a TIFF file: tags with numbers.

use crate::error::PictureError;
use crate::formats::bytes::Endian;
use std::collections::BTreeMap;

/// The tags that are read.
const KNOWN: [u16; 20] = [
    256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338,
    339,
];

/// Largest number of values of a tag.
const MOST_VALUES: usize = 1 << 22;

/// Returns the error of a file that is damaged or not supported.
pub(super) fn malformed(reason: impl Into<String>) -> PictureError {
    PictureError::Malformed { format: "tiff", reason: reason.into() }
}

/// Tags with whole numbers.
pub(super) struct Directory {
    /// The order of the bytes in the file.
    pub(super) endian: Endian,
    tags: BTreeMap<u16, Vec<u32>>,
}

impl Directory {
    /// Reads the first directory; `None` if the file has none.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        let endian = match bytes.first_chunk::<4>()? {
            b"II*\0" => Endian::Little,
            b"MM\0*" => Endian::Big,
            _ => return None,
        };
        let start = endian.u32(bytes, 4)? as usize;
        let count = usize::from(endian.u16(bytes, start)?);
        let mut tags = BTreeMap::new();
        for entry in (0..count).map(|index| start + 2 + 12 * index) {
            let tag = endian.u16(bytes, entry)?;
            if KNOWN.contains(&tag)
                && !tags.contains_key(&tag)
                && let Some(values) = values(bytes, endian, entry)
            {
                tags.insert(tag, values);
            }
        }
        Some(Self { endian, tags })
    }

    /// Returns the numbers of a tag; none if the file does not have it.
    pub(super) fn numbers(&self, tag: u16) -> &[u32] {
        self.tags.get(&tag).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the first number of a tag.
    pub(super) fn number(&self, tag: u16) -> Option<u32> {
        self.numbers(tag).first().copied()
    }
}

/// Returns the values of an entry; `None` for types without whole numbers, and for values that the file
/// does not have.
fn values(bytes: &[u8], endian: Endian, entry: usize) -> Option<Vec<u32>> {
    let size = match endian.u16(bytes, entry + 2)? {
        1 => 1,
        3 => 2,
        4 => 4,
        _ => return None,
    };
    let count = endian.u32(bytes, entry + 4)? as usize;
    if count > MOST_VALUES {
        return None;
    }
    let is_inline = size * count <= 4;
    let start = if is_inline { entry + 8 } else { endian.u32(bytes, entry + 8)? as usize };
    let value = |index: usize| {
        let at = start.checked_add(index * size)?;
        match size {
            1 => bytes.get(at).copied().map(u32::from),
            2 => endian.u16(bytes, at).map(u32::from),
            _ => endian.u32(bytes, at),
        }
    };
    (0..count).map(value).collect()
}
