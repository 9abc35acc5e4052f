//! Parses pickles as data: supports the opcodes that `torch.save` writes and never runs code.
//!
//! A pickle is a program for a small stack machine. Python's machine can call any function; this one
//! builds only plain values. It accepts the few names that describe tensors and numpy scalars, and
//! rejects any other name before using it. Every length is checked against the remaining bytes, and
//! depth, count and size have limits, so a file cannot exhaust the process.
//!
//! Sources: CPython's `pickletools.py` for the opcodes; PyTorch 2.11, `torch/_utils.py`
//! (`_rebuild_tensor_v2`, `_rebuild_parameter`) and `torch/serialization.py` (`persistent_id`).

mod calls;
pub(crate) mod emit;
mod error;
mod flatten;
mod machine;
mod values;

pub use error::PickleError;
pub(crate) use flatten::Parsed;
pub use flatten::PickleScalar;
pub(crate) use values::{StorageKind, StoredTensor};

use values::{Id, Value, Values};

/// Parses a pickle into the tensors and scalars that it describes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, PickleError> {
    Pickle::first(bytes)?.flattened()
}

/// A pickle at the start of other bytes.
pub(crate) struct Pickle {
    values: Values,
    root: Id,
    /// Length in bytes.
    pub(crate) length: usize,
}

impl Pickle {
    /// Parses the first pickle in `bytes`.
    pub(crate) fn first(bytes: &[u8]) -> Result<Self, PickleError> {
        let (values, root, length) = machine::Machine::new(bytes).run()?;
        Ok(Self { values, root, length })
    }

    /// Returns the tensors and scalars of the root, which must be a dictionary.
    pub(crate) fn flattened(&self) -> Result<Parsed, PickleError> {
        flatten::flatten(&self.values, self.root)
    }

    /// Returns the root, if it is an integer of at most 64 bits.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self.values.get(self.root) {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the root, if it is a list of strings.
    pub(crate) fn texts(&self) -> Option<Vec<&str>> {
        let Value::List(items) = self.values.get(self.root) else { return None };
        let texts = items.iter().map(|item| match self.values.get(*item) {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// Returns every storage that the pickle refers to, once for each reference.
    pub(crate) fn storages(&self) -> impl Iterator<Item = StorageKind<'_>> {
        self.values.storages()
    }
}
