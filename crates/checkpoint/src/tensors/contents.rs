//! The result of parsing a file of tensors.

use std::collections::BTreeMap;

use crate::pickle::PickleScalar;
use crate::tensors::span::{Span, TensorInfo};

/// The tensors and scalars in a file.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(TensorInfo, Span)>,
    /// Names in the order of the pickle; empty for safetensors.
    pub(crate) order: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) scalars: BTreeMap<String, PickleScalar>,
}
