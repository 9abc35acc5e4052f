//! The framing of a `.wandb` file: LevelDB's log. The file is cut into blocks, and a record into
//! pieces that lie in one block each: a piece is a check sum, its length (u16), its kind, and the
//! bytes, all little-endian. The check sum is a plain CRC-32 of kind and bytes, where LevelDB has a
//! masked CRC-32C, and seven bytes stand before the first piece.

/// Bytes of a block.
const BLOCK: u64 = 32_768;

/// Bytes of a piece before its content.
const HEAD: u64 = 7;

/// The first bytes of a file: a name, a number that goes with it, and version 0.
pub const IDENT: [u8; 7] = *b":W&B\xe1\xbe\0";

// Which piece of its record a piece is.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Adds `record` to `bytes`, the first of which will stand at `start` in the file.
pub fn add(bytes: &mut Vec<u8>, start: u64, record: &[u8]) {
    let room = |bytes: &[u8]| BLOCK - (start + bytes.len() as u64) % BLOCK;
    if room(bytes) < HEAD {
        bytes.resize(bytes.len() + room(bytes) as usize, 0);
    }
    let (mut rest, mut first) = (record, true);
    loop {
        let fits = (room(bytes) - HEAD) as usize;
        let (piece, after) = rest.split_at(rest.len().min(fits));
        let kind = match (first, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        bytes.extend(check_sum(kind, piece).to_le_bytes());
        // A piece is shorter than a block, which fits into 16 bits.
        bytes.extend((piece.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(piece);
        (rest, first) = (after, false);
        if rest.is_empty() {
            return;
        }
    }
}

fn check_sum(kind: u8, piece: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(piece);
    hasher.finalize()
}

/// The records of a file, and where each ends. They stop at the first that is not whole, as a killed
/// process leaves it.
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// The records of a whole file; none where it does not begin as one.
    pub fn of(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(&IDENT) { IDENT.len() } else { bytes.len() };
        Self { bytes, at }
    }

    fn piece(&mut self) -> Option<(u8, &'a [u8])> {
        let room = (BLOCK - self.at as u64 % BLOCK) as usize;
        if room < HEAD as usize {
            self.at += room;
        }
        let head = self.bytes.get(self.at..self.at + HEAD as usize)?;
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let from = self.at + head.len();
        let content = self.bytes.get(from..from + length)?;
        let sound = head[..4] == check_sum(head[6], content).to_le_bytes();
        self.at = from + length;
        sound.then_some((head[6], content))
    }
}

impl Iterator for Records<'_> {
    type Item = (Vec<u8>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut record, mut pieces) = (Vec::new(), 0);
        loop {
            let (kind, content) = self.piece()?;
            let (begins, ends) = match kind {
                FULL => (true, true),
                FIRST => (true, false),
                MIDDLE => (false, false),
                LAST => (false, true),
                _ => return None,
            };
            if begins != (pieces == 0) {
                return None;
            }
            pieces += 1;
            record.extend(content);
            if ends {
                return Some((record, self.at as u64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of records of these lengths, each of bytes of its own, added one by one or together.
    fn file(lengths: &[usize], together: bool) -> Vec<u8> {
        let mut file = IDENT.to_vec();
        let mut waiting = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            add(&mut waiting, file.len() as u64, &vec![index as u8; *length]);
            if !together {
                file.append(&mut waiting);
            }
        }
        file.append(&mut waiting);
        file
    }

    #[test]
    fn records_of_any_length_come_back_wherever_they_lie() {
        // Around the ends of blocks, where a head does not fit, or nothing but a head.
        for first in (32_700..32_775).chain([65_500, 98_290]) {
            let lengths = [first, 1, 40_000, 5, 0, 100_000, 3];
            let file = file(&lengths, false);
            let found: Vec<Vec<u8>> = Records::of(&file).map(|(record, _)| record).collect();
            assert_eq!(found.len(), lengths.len(), "{first}");
            for (index, (record, length)) in found.iter().zip(lengths).enumerate() {
                assert!(record.len() == length && record.iter().all(|byte| *byte == index as u8));
            }
            let ends: Vec<u64> = Records::of(&file).map(|(_, end)| end).collect();
            assert_eq!(ends.last(), Some(&(file.len() as u64)));
        }
        let lengths = [10, 32_768, 70_000, 1];
        assert!(file(&lengths, true) == file(&lengths, false));
    }

    #[test]
    fn what_is_not_whole_ends_the_file() {
        let whole = file(&[100, 40_000, 100], false);
        let count = |bytes: &[u8]| Records::of(bytes).count();
        assert_eq!(count(&whole), 3);
        for cut in [1, 50, 106] {
            assert_eq!(count(&whole[..whole.len() - cut]), 2, "{cut} bytes less");
        }
        assert_eq!(count(&whole[..33_000]), 1);
        let mut spoilt = whole.clone();
        spoilt[200] ^= 1;
        assert_eq!(count(&spoilt), 1);
        assert_eq!(count(&whole[1..]), 0);
        assert_eq!(count(&[]), 0);
    }
}
