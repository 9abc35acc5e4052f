//! Errors from parsing a pickle.

/// Errors from parsing a pickle.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// The pickle names a function or class other than torch's tensor constructors.
    #[error(
        "refused to run `{name}`: expected a pickle of tensors, found one that calls code; \
         hint: convert the file to safetensors at its source"
    )]
    RefusedGlobal {
        /// The name, module first.
        name: String,
    },
    /// The pickle uses an opcode that tensors do not need.
    #[error("refused pickle opcode 0x{opcode:02x} at byte {offset}: tensors do not need it")]
    RefusedOpcode {
        /// The opcode.
        opcode: u8,
        /// Offset of the opcode.
        offset: usize,
    },
    /// The pickle ends too early.
    #[error("the pickle is cut short at byte {offset}: expected {wanted} more bytes")]
    Truncated {
        /// Offset of the read.
        offset: usize,
        /// Number of bytes expected.
        wanted: usize,
    },
    /// The pickle is not well formed.
    #[error("malformed pickle at byte {offset}: {reason}")]
    Malformed {
        /// Offset of the next opcode.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The pickle exceeds a limit.
    #[error("the pickle has too many {what}: expected at most {limit}")]
    Limit {
        /// Name of the limited quantity.
        what: &'static str,
        /// Maximum.
        limit: usize,
    },
    /// The outermost value is not a dictionary.
    #[error("expected a dictionary of tensors at the root of the pickle, found {found}")]
    NotADictionary {
        /// What was found instead.
        found: &'static str,
    },
    /// Two values have the same dotted name.
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
