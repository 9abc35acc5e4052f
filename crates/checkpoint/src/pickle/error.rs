//! The error of parsing a pickle.

/// Errors from parsing a pickle.
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
        /// What was found instead.
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
