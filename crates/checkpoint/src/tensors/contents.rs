//! The result of parsing a file of tensors.

use std::collections::BTreeMap;

use crate::pickle::{Parsed, PickleScalar, StoredTensor};
use crate::tensors::span::{Span, TensorInfo};

/// The tensors and scalars in a file.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(TensorInfo, Span)>,
    /// Names in the order of the pickle; empty for safetensors.
    pub(crate) order: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) scalars: BTreeMap<String, PickleScalar>,
}

impl Contents {
    /// Takes the tensors of a pickle; `locate` returns the place of a tensor by its name.
    pub(crate) fn of_pickle<E>(
        parsed: Parsed,
        mut locate: impl FnMut(&str, &StoredTensor) -> Result<Span, E>,
    ) -> Result<Self, E> {
        let Parsed { tensors: stored_tensors, order, scalars, .. } = parsed;
        let mut tensors = Vec::with_capacity(stored_tensors.len());
        for (name, stored) in stored_tensors {
            let span = locate(&name, &stored)?;
            tensors.push((TensorInfo { name, shape: stored.shape, kind: stored.kind }, span));
        }
        Ok(Self { tensors, order, metadata: BTreeMap::new(), scalars })
    }
}
