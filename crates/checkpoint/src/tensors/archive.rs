//! Reads the zip archive of `torch.save`: `NAME/data.pkl` describes the tensors, and `NAME/data/KEY`
//! holds the bytes of each storage, uncompressed.
//!
//! Source: PyTorch 2.11, `torch/serialization.py` (`_save`, `_load`).

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use crate::pickle::{self, StoredTensor};
use crate::tensors::contents::Contents;
use crate::tensors::error::TensorFileError;
use crate::tensors::span::Span;
use crate::tensors::stored::{StorageBytes, span_in};

/// Maximum length of `data.pkl`. 450 tensors take about 50 kB.
pub(crate) const MAX_PICKLE_BYTES: u64 = 32 << 20;

/// Reads the names, shapes and offsets in the archive `file`, which is `length` bytes long.
pub(crate) fn read_archive(
    path: &Path,
    file: &File,
    length: u64,
) -> Result<Contents, TensorFileError> {
    let mut archive = Archive::open(path, file, length)?;
    if let Ok(order) = archive.bytes("byteorder", 16)
        && order != b"little"
    {
        return Err(archive.bad("expected little-endian storages, found big-endian".to_owned()));
    }
    let pickle = archive.bytes("data.pkl", MAX_PICKLE_BYTES)?;
    let parsed = pickle::parse(&pickle)
        .map_err(|source| TensorFileError::Pickle { path: path.into(), source })?;
    Contents::of_pickle(parsed, |name, stored| archive.locate(name, stored))
}

struct Archive<'a> {
    path: &'a Path,
    file: &'a File,
    length: u64,
    zip: ZipArchive<BufReader<&'a File>>,
    prefix: String,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path, file: &'a File, length: u64) -> Result<Self, TensorFileError> {
        let zip =
            ZipArchive::new(BufReader::new(file)).map_err(|error| TensorFileError::Archive {
                path: path.into(),
                reason: format!("{error}; hint: the file is damaged or cut short"),
            })?;
        let prefix = zip.file_names().find_map(|name| {
            name.strip_suffix("data.pkl")
                .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        });
        let prefix = prefix.map(str::to_owned);
        let mut archive = Self { path, file, length, zip, prefix: String::new() };
        archive.prefix = prefix
            .ok_or_else(|| archive.bad("expected an entry `data.pkl`, found none".to_owned()))?;
        Ok(archive)
    }

    fn bad(&self, reason: String) -> TensorFileError {
        TensorFileError::Archive { path: self.path.into(), reason }
    }

    /// Returns offset and length in bytes of an uncompressed entry, checked against the file.
    fn entry(&mut self, name: &str) -> Result<(u64, u64), TensorFileError> {
        let full = format!("{}{name}", self.prefix);
        let Some(index) = self.zip.index_for_name(&full) else {
            return Err(self.bad(format!("expected an entry `{full}`, found none")));
        };
        let found = self.zip.by_index_raw(index).map(|entry| {
            let plain = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
            (plain, entry.data_start(), entry.compressed_size(), entry.size())
        });
        let (plain, start, stored, size) =
            found.map_err(|error| self.bad(format!("entry `{full}`: {error}")))?;
        if !plain || stored != size {
            return Err(self.bad(format!(
                "entry `{full}`: expected an uncompressed entry, found a compressed one; \
                 hint: load it in PyTorch and save it again"
            )));
        }
        match start {
            Some(start) if start.checked_add(size).is_some_and(|end| end <= self.length) => {
                Ok((start, size))
            }
            _ => Err(self.bad(format!("entry `{full}`: reaches beyond the end of the file"))),
        }
    }

    fn bytes(&mut self, name: &str, most: u64) -> Result<Vec<u8>, TensorFileError> {
        let (start, size) = self.entry(name)?;
        if size > most {
            return Err(self.bad(format!("`{name}`: expected at most {most} bytes, found {size}")));
        }
        let mut bytes = vec![0_u8; size as usize];
        self.file
            .read_exact_at(&mut bytes, start)
            .map_err(|source| TensorFileError::Io { path: self.path.into(), source })?;
        Ok(bytes)
    }

    /// Returns the byte range of a tensor in the file, checked against its storage.
    fn locate(&mut self, name: &str, stored: &StoredTensor) -> Result<Span, TensorFileError> {
        let (start, size) = self.entry(&format!("data/{}", stored.key))?;
        span_in((self.path, self.length), name, stored, StorageBytes { start, size })
    }
}
