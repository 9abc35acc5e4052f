//! The byte range of a tensor in its file, and reading it.
//!
//! Bytes are read at an offset instead of mapped: if a file is truncated while it is open, the result is
//! an error instead of a fatal signal, and the crate needs no unsafe code.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use tch::{Kind, TchError, Tensor};

/// Bytes per read in the scan for non-finite values.
const SCAN_BYTES: usize = 1 << 20;

/// Name, shape and type of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Name in the file; dots join the levels of nested dictionaries.
    pub name: String,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<i64>,
    /// Type of the elements.
    pub kind: Kind,
}

/// The range of elements in a file that a tensor uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// Offset of the first element, in bytes from the start of the file.
    pub(crate) start: u64,
    /// Number of elements from the first to the last used element.
    pub(crate) elements: usize,
    /// Strides in elements; `None` if the tensor is contiguous.
    pub(crate) strides: Option<Vec<i64>>,
}

/// Errors from reading a span.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum SpanError {
    /// The file could not be read.
    Io(#[from] io::Error),
    /// libtorch could not create the tensor.
    Torch(#[from] TchError),
}

impl Span {
    /// Reads the tensor into separate storage, contiguous, on the CPU.
    pub(crate) fn read(&self, file: &File, info: &TensorInfo) -> Result<Tensor, SpanError> {
        let mut bytes = vec![0_u8; self.elements * info.kind.elt_size_in_bytes()];
        file.read_exact_at(&mut bytes, self.start)?;
        let Some(strides) = &self.strides else {
            return Ok(Tensor::f_from_data_size(&bytes, &info.shape, info.kind)?);
        };
        let flat = Tensor::f_from_data_size(&bytes, &[self.elements as i64], info.kind)?;
        Ok(flat.f_as_strided(&info.shape, strides, Some(0))?.f_contiguous()?)
    }

    /// Returns whether every value is finite; integers always are.
    pub(crate) fn is_finite(&self, file: &File, info: &TensorInfo) -> Result<bool, SpanError> {
        let Some(all_finite) = finite_test(info.kind) else {
            return Ok(true);
        };
        if self.strides.is_some() {
            let tensor = self.read(file, info)?;
            return Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1);
        }
        let length = self.elements * info.kind.elt_size_in_bytes();
        let mut chunk = vec![0_u8; length.min(SCAN_BYTES)];
        let mut done = 0;
        while done < length {
            let part = (length - done).min(SCAN_BYTES);
            file.read_exact_at(&mut chunk[..part], self.start + done as u64)?;
            if !all_finite(&chunk[..part]) {
                return Ok(false);
            }
            done += part;
        }
        Ok(true)
    }
}

/// Returns a function that checks whether little-endian values of `kind` are all finite; `None` for
/// integers. A value is not finite if every bit of its exponent is set.
fn finite_test(kind: Kind) -> Option<fn(&[u8]) -> bool> {
    match kind {
        Kind::Float => Some(|bytes| {
            let infinite =
                |value: &[u8; 4]| u32::from_le_bytes(*value) & 0x7f80_0000 == 0x7f80_0000;
            !bytes.as_chunks().0.iter().fold(false, |any, value| any | infinite(value))
        }),
        Kind::Half => Some(|bytes| finite_16(bytes, 0x7c00)),
        Kind::BFloat16 => Some(|bytes| finite_16(bytes, 0x7f80)),
        Kind::Double => Some(|bytes| {
            let exponent = 0x7ff0_0000_0000_0000;
            let infinite = |value: &[u8; 8]| u64::from_le_bytes(*value) & exponent == exponent;
            !bytes.as_chunks().0.iter().fold(false, |any, value| any | infinite(value))
        }),
        _ => None,
    }
}

fn finite_16(bytes: &[u8], exponent: u16) -> bool {
    let infinite = |value: &[u8; 2]| u16::from_le_bytes(*value) & exponent == exponent;
    !bytes.as_chunks().0.iter().fold(false, |any, value| any | infinite(value))
}
