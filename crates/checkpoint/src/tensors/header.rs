//! Reads the header of a safetensors file: eight bytes of length, then JSON, then the data.
//!
//! Source: the safetensors format. The `safetensors` crate validates offsets, shapes and gaps; this
//! module checks the length of the file and that no key occurs twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::dtype::kind_of;
use crate::tensors::contents::Contents;
use crate::tensors::error::TensorFileError;
use crate::tensors::span::{Span, TensorInfo};
use crate::tensors::unique::UniqueKeys;

/// Maximum length of a header in the format.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Reads the header of `file`, which is `length` bytes long.
pub(crate) fn read_header(
    path: &Path,
    file: &File,
    length: u64,
) -> Result<Contents, TensorFileError> {
    let json = header_json(path, file, length)?;
    let bad = |error: serde_json::Error| TensorFileError::Header {
        path: path.into(),
        reason: error.to_string(),
    };
    serde_json::from_slice::<UniqueKeys>(&json).map_err(bad)?;
    let header: Metadata = serde_json::from_slice(&json).map_err(bad)?;
    let data_start = 8 + json.len() as u64;
    let expected = data_start.saturating_add(header.data_len() as u64);
    if expected != length {
        return Err(TensorFileError::Length { path: path.into(), expected, found: length });
    }
    let mut tensors = Vec::new();
    for (name, info) in header.tensors() {
        tensors.push(locate(path, name, info, data_start)?);
    }
    let metadata = header.metadata().iter().flatten();
    Ok(Contents {
        order: Vec::new(),
        tensors,
        metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
        scalars: BTreeMap::new(),
    })
}

fn header_json(path: &Path, file: &File, length: u64) -> Result<Vec<u8>, TensorFileError> {
    let io = |source| TensorFileError::Io { path: path.into(), source };
    let mut size = [0_u8; 8];
    file.read_exact_at(&mut size, 0).map_err(io)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER_BYTES {
        return Err(TensorFileError::Header {
            path: path.into(),
            reason: format!("expected at most {MAX_HEADER_BYTES} bytes, found {size}"),
        });
    }
    if size + 8 > length {
        return Err(TensorFileError::Length {
            path: path.into(),
            expected: size + 8,
            found: length,
        });
    }
    let mut json = vec![0_u8; size as usize];
    file.read_exact_at(&mut json, 8).map_err(io)?;
    Ok(json)
}

fn locate(
    path: &Path,
    name: String,
    info: &safetensors::tensor::TensorInfo,
    data_start: u64,
) -> Result<(TensorInfo, Span), TensorFileError> {
    let Some(kind) = kind_of(info.dtype) else {
        return Err(TensorFileError::UnsupportedKind {
            path: path.into(),
            tensor: name,
            found: info.dtype.to_string(),
        });
    };
    let shape: Result<Vec<i64>, _> = info.shape.iter().map(|size| i64::try_from(*size)).collect();
    let shape = shape.map_err(|_| TensorFileError::Header {
        path: path.into(),
        reason: format!("tensor `{name}`: shape {:?} is too large", info.shape),
    })?;
    let (start, end) = info.data_offsets;
    let span = Span {
        start: data_start + start as u64,
        elements: (end - start) / kind.elt_size_in_bytes(),
        strides: None,
    };
    Ok((TensorInfo { name, shape, kind }, span))
}
