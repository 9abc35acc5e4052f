//! Reads the format that `torch.save` wrote before PyTorch 1.6, and still writes with
//! `_use_new_zipfile_serialization=False`: five pickles (magic number, version of the protocol, properties
//! of the machine, the object, the keys of its storages), then each storage as its number of elements
//! (eight bytes) and its bytes.
//!
//! Source: PyTorch 2.11, `torch/serialization.py` (`_legacy_save`, `_legacy_load`).

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::pickle::{Pickle, PickleError, PickleScalar};
use crate::tensors::archive::MAX_PICKLE_BYTES;
use crate::tensors::contents::Contents;
use crate::tensors::error::TensorFileError;
use crate::tensors::stored::{StorageBytes, span_in};

/// The first bytes of the format: protocol 2 and the ten-byte magic number 0x1950a86a20f9469cfc6c.
pub(crate) const MAGIC: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The version of the protocol, which never changed.
const PROTOCOL: i64 = 1001;

/// Bytes of the number before each storage.
const COUNT_BYTES: u64 = 8;

/// Reads the names, shapes and offsets in `file`, which is `length` bytes long.
pub(crate) fn read_legacy(
    path: &Path,
    file: &File,
    length: u64,
) -> Result<Contents, TensorFileError> {
    let mut head = vec![0_u8; length.min(MAX_PICKLE_BYTES) as usize];
    file.read_exact_at(&mut head, 0)
        .map_err(|source| TensorFileError::Io { path: path.into(), source })?;
    let mut reader = Reader { path, file, length, head: &head, at: 0 };
    reader.check_preamble()?;
    let object = reader.pickle()?;
    let keys = reader.pickle()?;
    let storages = reader.storages(&object, &keys)?;
    let parsed = object.flattened().map_err(|source| reader.pickled(source))?;
    Contents::of_pickle(parsed, |name, stored| {
        let Some(storage) = storages.get(stored.key.as_str()) else {
            return Err(reader.bad(format!("expected storage `{}`, found none", stored.key)));
        };
        span_in((path, length), name, stored, *storage)
    })
}

struct Reader<'a> {
    path: &'a Path,
    file: &'a File,
    length: u64,
    /// The start of the file, which contains the pickles.
    head: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bad(&self, reason: String) -> TensorFileError {
        TensorFileError::Archive { path: self.path.into(), reason }
    }

    fn pickled(&self, source: PickleError) -> TensorFileError {
        TensorFileError::Pickle { path: self.path.into(), source }
    }

    fn pickle(&mut self) -> Result<Pickle, TensorFileError> {
        let rest = self.head.get(self.at..).unwrap_or_default();
        let pickle = Pickle::first(rest).map_err(|source| self.pickled(source))?;
        self.at += pickle.length;
        Ok(pickle)
    }

    /// Reads the pickles before the object.
    fn check_preamble(&mut self) -> Result<(), TensorFileError> {
        self.pickle()?;
        let protocol = self.pickle()?.integer();
        if protocol != Some(PROTOCOL) {
            return Err(self.bad(format!("expected version {PROTOCOL}, found {protocol:?}")));
        }
        let machine = self.pickle()?.flattened().map_err(|source| self.pickled(source))?;
        match machine.scalars.get("little_endian") {
            Some(PickleScalar::Bool(true)) => Ok(()),
            _ => Err(self.bad("expected little-endian storages, found another order".to_owned())),
        }
    }

    /// Returns the place of every storage in the file, by key.
    fn storages<'p>(
        &self,
        object: &'p Pickle,
        keys: &Pickle,
    ) -> Result<BTreeMap<&'p str, StorageBytes>, TensorFileError> {
        let mut declared = BTreeMap::new();
        for storage in object.storages() {
            match declared.insert(storage.key, storage) {
                Some(before) if before != storage => {
                    return Err(self.bad(format!("storage `{}` has two types", storage.key)));
                }
                _ => {}
            }
        }
        let keys = keys
            .texts()
            .ok_or_else(|| self.bad("expected a list with the keys of the storages".to_owned()))?;
        let (mut places, mut at) = (BTreeMap::new(), self.at as u64);
        for key in keys {
            let Some(storage) = declared.get(key) else {
                return Err(self.bad(format!("storage `{key}` has no type")));
            };
            self.check_count(at, storage.elements)?;
            let start = at + COUNT_BYTES;
            let bytes = storage.elements.checked_mul(storage.kind.elt_size_in_bytes() as u64);
            let end = bytes.and_then(|bytes| start.checked_add(bytes));
            let (Some(size), Some(end)) = (bytes, end.filter(|end| *end <= self.length)) else {
                return Err(self.bad(format!("storage `{key}` reaches beyond the end of the file")));
            };
            places.insert(storage.key, StorageBytes { start, size });
            at = end;
        }
        if at == self.length {
            Ok(places)
        } else {
            Err(TensorFileError::Length {
                path: self.path.into(),
                expected: at,
                found: self.length,
            })
        }
    }

    /// Checks the number before a storage.
    fn check_count(&self, at: u64, expected: u64) -> Result<(), TensorFileError> {
        let mut count = [0_u8; COUNT_BYTES as usize];
        self.file
            .read_exact_at(&mut count, at)
            .map_err(|source| TensorFileError::Io { path: self.path.into(), source })?;
        let found = u64::from_le_bytes(count);
        if found == expected {
            Ok(())
        } else {
            Err(self.bad(format!("expected a storage of {expected} elements, found {found}")))
        }
    }
}
