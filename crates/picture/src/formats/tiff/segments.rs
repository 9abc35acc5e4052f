//! The strips and tiles of a TIFF file, joined to rows.

use super::directory::{Directory, malformed};
use crate::error::{MAX_PIXELS, PictureError};
use crate::formats::bytes::{Endian, packed, pixel_count};
use std::io::Read;
use weezl::{BitOrder, LzwStatus};

/// Bytes that a compressed part may have besides twice its pixels.
const SLACK: usize = 256;

/// How the samples of the image are stored.
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bits of a sample: 1, 2, 4, 8, 16 or 32.
    pub(super) bits: usize,
    /// Samples of a pixel.
    pub(super) samples: usize,
    /// Planes: 1, or one for each sample.
    planes: usize,
    /// Width and height of a tile; the image's width and some rows for strips.
    part: (usize, usize),
    /// Starts and lengths of the parts.
    parts: Vec<(usize, Option<usize>)>,
    compression: u32,
    differences: bool,
    reversed: bool,
}

impl Layout {
    pub(super) fn read(directory: &Directory) -> Result<Self, PictureError> {
        let number = |tag: u16, default: u32| directory.number(tag).unwrap_or(default) as usize;
        let (width, height) = (number(256, 0), number(257, 0));
        pixel_count(width, height)?;
        let samples = number(277, 1);
        let bits = number(258, 1);
        let listed = directory.numbers(258);
        let same = listed.iter().take(samples).all(|&other| other as usize == bits);
        if !same || ![1, 2, 4, 8, 16, 32].contains(&bits) || !(1..=6).contains(&samples) {
            let found = format!("{samples} samples of {listed:?} bits are not supported");
            return Err(malformed(found));
        }
        let tiled = !directory.numbers(324).is_empty();
        let (starts, lengths) = if tiled { (324, 325) } else { (273, 279) };
        let rows = directory.number(278).map_or(height, |rows| (rows as usize).min(height));
        let part = if tiled { (number(322, 0), number(323, 0)) } else { (width, rows) };
        let is_aligned = !tiled || (part.0 * bits).is_multiple_of(8);
        if [part.0, part.1].contains(&0) || !is_aligned {
            return Err(malformed(format!("{width}x{height} in parts of {}x{}", part.0, part.1)));
        }
        pixel_count(part.0, part.1)?;
        let lengths = directory.numbers(lengths);
        let length = |index: usize| lengths.get(index).map(|&length| length as usize);
        let starts = directory.numbers(starts).iter().enumerate();
        let parts = starts.map(|(index, &start)| (start as usize, length(index))).collect();
        let compression = directory.number(259).unwrap_or(1);
        let differences = match (directory.number(317).unwrap_or(1), compression) {
            (1, _) | (_, 1 | 32773) => false,
            (2, _) => true,
            (other, _) => return Err(malformed(format!("predictor {other} is not supported"))),
        };
        Ok(Self {
            width,
            height,
            bits,
            samples,
            planes: if number(284, 1) == 2 { samples } else { 1 },
            part,
            parts,
            compression,
            differences,
            reversed: number(266, 1) == 2,
        })
    }

    /// Decodes all parts.
    pub(super) fn decode(&self, bytes: &[u8], endian: Endian) -> Result<Rows, PictureError> {
        let (across, down) = (self.width.div_ceil(self.part.0), self.height.div_ceil(self.part.1));
        let stride = self.row_bytes(self.width);
        let size = self.planes.checked_mul(self.height).and_then(|rows| rows.checked_mul(stride));
        let size = size.filter(|size| *size <= MAX_PIXELS * 8);
        let (width, height) = (self.width, self.height);
        let mut data = vec![0; size.ok_or(PictureError::TooLarge { width, height })?];
        for index in 0..self.planes * down * across {
            let (plane, place) = (index / (down * across), index % (down * across));
            let (top, left) = (place / across * self.part.1, place % across * self.part.0);
            // The last strip has the rows that are left; tiles are complete.
            let is_strip = self.part.0 == self.width;
            let high = if is_strip { self.part.1.min(height - top) } else { self.part.1 };
            let part = self.part_of(bytes, index, high, endian)?;
            let length = self.row_bytes(self.part.0);
            let from = left * self.samples_in_plane() * self.bits / 8;
            let kept = length.min(stride - from);
            for row in 0..high.min(height - top) {
                let to = (plane * height + top + row) * stride + from;
                data[to..to + kept].copy_from_slice(&part[row * length..][..kept]);
            }
        }
        let (bits, samples) = (self.bits, self.samples_in_plane());
        Ok(Rows { data, stride, height, planes: self.planes, bits, samples, endian })
    }

    fn samples_in_plane(&self) -> usize {
        if self.planes == 1 { self.samples } else { 1 }
    }

    fn row_bytes(&self, width: usize) -> usize {
        (width * self.samples_in_plane() * self.bits).div_ceil(8)
    }

    /// Returns the bytes of a part of `rows` rows.
    fn part_of(
        &self,
        bytes: &[u8],
        index: usize,
        rows: usize,
        endian: Endian,
    ) -> Result<Vec<u8>, PictureError> {
        let missing = || malformed("the file is truncated");
        let &(start, length) = self.parts.get(index).ok_or_else(missing)?;
        let stored = bytes.get(start..).ok_or_else(missing)?;
        let size = rows * self.row_bytes(self.part.0);
        if self.compression != 1 && length.is_some_and(|length| length > stored.len()) {
            return Err(missing());
        }
        // No compression needs more; a length that lies costs nothing.
        let length = length.unwrap_or(usize::MAX).min(stored.len()).min(2 * size + SLACK);
        let mut stored = stored[..length].to_vec();
        if self.reversed {
            stored.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut data = unpacked(self.compression, stored, size)?;
        if data.len() < size {
            return Err(missing());
        }
        data.truncate(size);
        if self.differences {
            let samples = self.samples_in_plane();
            for row in data.chunks_exact_mut(self.row_bytes(self.part.0)) {
                add_up(row, self.bits, samples, endian)?;
            }
        }
        Ok(data)
    }
}

/// Returns at most about `size` bytes.
fn unpacked(compression: u32, stored: Vec<u8>, size: usize) -> Result<Vec<u8>, PictureError> {
    let mut data = Vec::new();
    match compression {
        1 => return Ok(stored),
        5 => {
            let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
            data.resize(size, 0);
            let (mut read, mut written) = (0, 0);
            while written < size {
                let step = decoder.decode_bytes(&stored[read..], &mut data[written..]);
                read += step.consumed_in;
                written += step.consumed_out;
                let status = step.status.map_err(|error| malformed(format!("lzw: {error}")))?;
                let is_done = matches!(status, LzwStatus::Done | LzwStatus::NoProgress);
                if is_done || step.consumed_in + step.consumed_out == 0 {
                    break;
                }
            }
            data.truncate(written);
        }
        8 | 32946 => {
            let decoder = flate2::read::ZlibDecoder::new(stored.as_slice());
            let read = decoder.take(size as u64).read_to_end(&mut data);
            read.map_err(|error| malformed(format!("deflate: {error}")))?;
        }
        32773 => data = packed_bits(&stored, size),
        other => {
            let name = match other {
                2..=4 => " (fax)",
                6 | 7 => " (JPEG)",
                34925 => " (LZMA)",
                50000 => " (Zstandard)",
                50001 => " (WebP)",
                _ => "",
            };
            let expected = "expected none, LZW, deflate or PackBits";
            return Err(malformed(format!("compression {other}{name}: {expected}")));
        }
    }
    Ok(data)
}

/// Expands PackBits.
fn packed_bits(stored: &[u8], size: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(size);
    let mut rest = stored;
    while data.len() < size
        && let Some((&count, more)) = rest.split_first()
    {
        match count {
            0..128 => {
                let (literal, more) = more.split_at((usize::from(count) + 1).min(more.len()));
                data.extend_from_slice(literal);
                rest = more;
            }
            128 => rest = more,
            129.. => {
                let Some((&value, more)) = more.split_first() else { break };
                data.resize(data.len() + 257 - usize::from(count), value);
                rest = more;
            }
        }
    }
    data
}

/// Replaces the differences from the pixel before by their sums.
fn add_up(row: &mut [u8], bits: usize, samples: usize, endian: Endian) -> Result<(), PictureError> {
    match bits {
        8 => {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
        }
        16 => {
            for at in (2 * samples..row.len().saturating_sub(1)).step_by(2) {
                let read = |at: usize| endian.u16(row, at).unwrap_or_default();
                let sum = read(at).wrapping_add(read(at - 2 * samples));
                let bytes = match endian {
                    Endian::Little => sum.to_le_bytes(),
                    Endian::Big => sum.to_be_bytes(),
                };
                row[at..at + 2].copy_from_slice(&bytes);
            }
        }
        other => return Err(malformed(format!("differences of {other} bits are not supported"))),
    }
    Ok(())
}

/// The decoded rows of all planes.
pub(super) struct Rows {
    data: Vec<u8>,
    stride: usize,
    height: usize,
    planes: usize,
    bits: usize,
    /// Samples of a pixel in one plane.
    samples: usize,
    endian: Endian,
}

/// One row of all planes.
pub(super) struct Line<'a> {
    rows: &'a Rows,
    row: usize,
}

impl Rows {
    pub(super) fn line(&self, row: usize) -> Line<'_> {
        Line { rows: self, row }
    }
}

impl Line<'_> {
    /// Returns a sample of a pixel as its bits.
    pub(super) fn sample(&self, column: usize, sample: usize) -> u32 {
        let rows = self.rows;
        let (plane, sample) = if rows.planes == 1 { (0, sample) } else { (sample, 0) };
        let start = (plane * rows.height + self.row) * rows.stride;
        let line = rows.data.get(start..start + rows.stride).unwrap_or_default();
        let index = column * rows.samples + sample;
        let found = match rows.bits {
            16 => rows.endian.u16(line, 2 * index).map(u32::from),
            32 => rows.endian.u32(line, 4 * index),
            bits => packed(line, index, bits).map(u32::from),
        };
        found.unwrap_or_default()
    }
}
