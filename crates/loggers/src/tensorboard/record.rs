//! TFRecord, the framing of event files: length (u64, little-endian), checksum of the length, bytes,
//! checksum of the bytes. A checksum is a CRC-32C, rotated and shifted.

use std::io::{ErrorKind, Read, Result};

/// Encodes `bytes` as one record.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let parts = [&length[..], &check_sum(&length), bytes, &check_sum(bytes)];
    parts.concat()
}

fn check_sum(bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Reads the next record. Returns `None` at the end, or at a partial record of a killed process.
pub fn next(file: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let Some(head) = whole(file, 12)? else { return Ok(None) };
    let (length, sum) = head.split_at(8);
    let length = length.try_into().map(u64::from_le_bytes).unwrap_or_default();
    if sum != check_sum(&head[..8]) {
        return Ok(None);
    }
    let Some(bytes) = whole(file, length)? else { return Ok(None) };
    let sum = whole(file, 4)?;
    Ok(sum.is_some_and(|sum| sum == check_sum(&bytes)).then_some(bytes))
}

/// Returns the length in the file of a record of `bytes` bytes.
pub fn framed_length(bytes: usize) -> u64 {
    bytes as u64 + 16
}

/// Reads the next `length` bytes; `None` if fewer are left.
fn whole(file: &mut impl Read, length: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match file.take(length).read_to_end(&mut bytes) {
        Ok(found) => Ok((found as u64 == length).then_some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_matches_tensorflow() {
        // RFC 3720, B.4: the CRC-32C of 32 zero bytes is 0x8a91_36aa, before rotation and shift.
        assert_eq!(check_sum(&[0; 32]), 0x0fd7_fffau32.to_le_bytes());
    }

    #[test]
    fn reads_records_up_to_the_first_partial_one() {
        let mut file = [framed(b"one"), framed(b""), framed(&[7; 1000])].concat();
        let read = |mut bytes: &[u8]| {
            std::iter::from_fn(|| next(&mut bytes).unwrap())
                .map(|record| record.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&file), [3, 0, 1000]);
        for length in [file.len() - 1, file.len() - 1004, 19 + 16 + 5] {
            assert_eq!(read(&file[..length]), [3, 0], "{length} bytes");
        }
        assert_eq!(read(&file[..0]), [0usize; 0]);
        file[12] ^= 1;
        assert_eq!(read(&file), [0usize; 0]);
    }
}
