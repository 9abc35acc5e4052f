//! Pickles as data: the opcodes that `torch.save` writes, and nothing that runs.
//!
//! A pickle is a program for a small stack machine, and Python's machine may call any function.
//! This one builds plain values only. It knows the few names that tensors, and single numbers of
//! numpy's, are described with; any other name is refused before anything is done with it. Every length is checked against the
//! bytes at hand, and depth, count and size have limits, so no file can exhaust the process.
//!
//! Sources: CPython's `pickletools.py` for the opcodes; PyTorch 2.11, `torch/_utils.py`
//! (`_rebuild_tensor_v2`, `_rebuild_parameter`) and `torch/serialization.py` (`persistent_id`).

mod calls;
pub(crate) mod emit;
mod flatten;
mod machine;
mod values;

use std::collections::BTreeMap;

pub(crate) use values::StoredTensor;

/// A number or text beside the tensors.
#[derive(Debug, Clone, PartialEq)]
pub enum PickleScalar {
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating number.
    Float(f64),
    /// A text.
    Text(String),
}

/// Why a pickle is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// The pickle names a function or class that is none of torch's tensor constructors.
    #[error(
        "refused to run `{name}`: expected a pickle of tensors, found one that calls code; \
         hint: convert the file to safetensors where it came from"
    )]
    RefusedGlobal {
        /// The name, module first.
        name: String,
    },
    /// The pickle uses an opcode that descriptions of tensors do not need.
    #[error("refused pickle opcode 0x{opcode:02x} at byte {offset}: tensors do not need it")]
    RefusedOpcode {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        offset: usize,
    },
    /// The pickle ends too early.
    #[error("the pickle is cut short at byte {offset}: expected {wanted} more bytes")]
    Truncated {
        /// Where reading began.
        offset: usize,
        /// Bytes that were expected from there.
        wanted: usize,
    },
    /// The pickle is not well formed.
    #[error("malformed pickle at byte {offset}: {reason}")]
    Malformed {
        /// Where the machine stood.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The pickle is larger or deeper than any checkpoint.
    #[error("the pickle has too many {what}: expected at most {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most that is read.
        limit: usize,
    },
    /// The outermost value is no dictionary.
    #[error("expected a dictionary of tensors at the root of the pickle, found {found}")]
    NotADictionary {
        /// What is there instead.
        found: &'static str,
    },
    /// Two values have one name once the levels are joined by dots.
    #[error("the pickle has two values named `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A tensor does not fit its storage.
    #[error("tensor `{tensor}`: {reason}")]
    BadTensor {
        /// The tensor.
        tensor: String,
        /// What does not fit.
        reason: String,
    },
}

/// What a pickle describes, by dotted name.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) tensors: BTreeMap<String, StoredTensor>,
    /// The tensors' names as they come.
    pub(crate) order: Vec<String>,
    pub(crate) scalars: BTreeMap<String, PickleScalar>,
}

/// Parses a pickle into the tensors and scalars that it describes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, PickleError> {
    let (values, root) = machine::Machine::new(bytes).run()?;
    flatten::flatten(&values, root)
}
