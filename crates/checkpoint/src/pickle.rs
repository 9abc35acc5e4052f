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
