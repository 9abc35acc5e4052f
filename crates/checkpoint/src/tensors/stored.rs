//! Finds a pickled tensor in its storage.

use std::path::Path;

use crate::pickle::{PickleError, StoredTensor};
use crate::tensors::error::TensorFileError;
use crate::tensors::span::Span;

/// Maximum size of a tensor that is larger than the file because it repeats its storage
/// (`Tensor.expand`).
const MAX_EXPANDED_BYTES: u64 = 64 << 20;

/// A storage in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StorageBytes {
    /// Offset of the first byte in the file.
    pub(crate) start: u64,
    /// Number of bytes.
    pub(crate) size: u64,
}

/// Returns the range of the file that the tensor `name` uses, checked against its storage. `path` is the
/// file and `length` its length.
pub(crate) fn span_in(
    (path, length): (&Path, u64),
    name: &str,
    stored: &StoredTensor,
    storage: StorageBytes,
) -> Result<Span, TensorFileError> {
    let element = stored.kind.elt_size_in_bytes() as u64;
    let reason = |reason| TensorFileError::Pickle {
        path: path.into(),
        source: PickleError::BadTensor { tensor: name.to_owned(), reason },
    };
    let extent = stored.extent().ok_or_else(|| reason("the size overflows".to_owned()))?;
    let available = storage.size / element;
    if stored.offset.checked_add(extent.span).is_none_or(|end| end > available) {
        return Err(reason(format!(
            "expected elements {} to {} in storage `{}`, which has {available}",
            stored.offset,
            stored.offset.saturating_add(extent.span),
            stored.key,
        )));
    }
    let most = length.max(MAX_EXPANDED_BYTES);
    if extent.elements.checked_mul(element).is_none_or(|bytes| bytes > most) {
        return Err(reason(format!(
            "{} elements are more than the file can hold",
            extent.elements
        )));
    }
    Ok(Span {
        start: storage.start + stored.offset * element,
        elements: extent.span as usize,
        strides: (!extent.contiguous).then(|| stored.strides.clone()),
    })
}
