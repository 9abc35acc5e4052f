//! Writes safetensors files, one tensor at a time. The same values always give the same bytes.
//!
//! Tensors are in the order of the `safetensors` library (widest type first, then by name). The metadata
//! is sorted, unlike in the library's writer.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tch::{Device, Kind, TchError, Tensor};

use ddpo_files::{WriteFileError, write_beside};

use crate::dtype::dtype_of;
use crate::write_error::WriteError;

/// The key that the format reserves.
const METADATA_KEY: &str = "__metadata__";

struct Entry<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    kind: Kind,
    dtype: Dtype,
    start: usize,
    end: usize,
}

struct Header<'a> {
    metadata: &'a BTreeMap<String, String>,
    entries: &'a [Entry<'a>],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA_KEY, self.metadata)?;
        }
        for entry in self.entries {
            let info = safetensors::tensor::TensorInfo {
                dtype: entry.dtype,
                shape: entry.tensor.size().iter().map(|size| *size as usize).collect(),
                data_offsets: (entry.start, entry.end),
            };
            map.serialize_entry(entry.name, &info)?;
        }
        map.end()
    }
}

/// Writes `tensors` and `metadata` to a safetensors file: to a temporary file that is synced and then
/// renamed to `path`.
///
/// Tensors may be on any device and have any strides; they are written contiguous in their own type.
/// Copies one tensor at a time.
///
/// # Errors
/// If a name occurs twice, the format does not support a type, a value cannot be copied from its device,
/// or the file cannot be written. `path` is then unchanged.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WriteError> {
    let entries = layout(path, tensors)?;
    let header = Header { metadata, entries: &entries };
    let mut json = serde_json::to_vec(&header)
        .map_err(|source| WriteError::Json { path: path.into(), source })?;
    // The format aligns the data to eight bytes.
    json.resize(json.len().next_multiple_of(8), b' ');
    write_beside(path, |file| {
        let io = WriteFileError::at(path);
        file.write_all(&(json.len() as u64).to_le_bytes()).map_err(&io)?;
        file.write_all(&json).map_err(&io)?;
        let mut buffer = Vec::new();
        for entry in &entries {
            fetch(entry.tensor, entry.kind, &mut buffer).map_err(|source| WriteError::Torch {
                path: path.into(),
                tensor: entry.name.to_owned(),
                source,
            })?;
            file.write_all(&buffer).map_err(&io)?;
        }
        Ok(())
    })
}

/// Sorts the tensors and assigns their offsets.
fn layout<'a>(path: &Path, tensors: &'a [(String, Tensor)]) -> Result<Vec<Entry<'a>>, WriteError> {
    let mut entries = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let kind = tensor.f_kind().map_err(|source| WriteError::Torch {
            path: path.into(),
            tensor: name.clone(),
            source,
        })?;
        let Some(dtype) = dtype_of(kind) else {
            let (path, tensor) = (path.into(), name.clone());
            return Err(WriteError::UnsupportedKind { path, tensor, found: kind });
        };
        entries.push(Entry { name, tensor, kind, dtype, start: 0, end: 0 });
    }
    check_names(path, &entries)?;
    entries.sort_by(|left, right| right.dtype.cmp(&left.dtype).then(left.name.cmp(right.name)));
    let mut at = 0;
    for entry in &mut entries {
        entry.start = at;
        at += entry.tensor.numel() * entry.kind.elt_size_in_bytes();
        entry.end = at;
    }
    Ok(entries)
}

fn check_names(path: &Path, entries: &[Entry<'_>]) -> Result<(), WriteError> {
    let mut names = std::collections::HashSet::from([METADATA_KEY]);
    match entries.iter().find(|entry| !names.insert(entry.name)) {
        None => Ok(()),
        Some(entry) => {
            Err(WriteError::Duplicate { path: path.into(), tensor: entry.name.to_owned() })
        }
    }
}

/// Copies the values of `tensor`, whose type is `kind`, into `buffer` in contiguous order.
pub(crate) fn fetch(tensor: &Tensor, kind: Kind, buffer: &mut Vec<u8>) -> Result<(), TchError> {
    let elements = tensor.numel();
    buffer.clear();
    buffer.resize(elements * kind.elt_size_in_bytes(), 0);
    if elements == 0 {
        return Ok(());
    }
    let values = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    values.f_copy_data_u8(buffer, elements)
}
