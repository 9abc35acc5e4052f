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
pub(crate) use values::StoredTensor;

/// Parses a pickle into the tensors and scalars that it describes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, PickleError> {
    let (values, root) = machine::Machine::new(bytes).run()?;
    flatten::flatten(&values, root)
}
