//! The digest of a model's parameters.

use ddpo_rollout::trajectory::Digest;
use tch::Tensor;

/// BLAKE3 over names, shapes and f32 values of parameters.
#[derive(Default)]
pub(crate) struct WeightsDigest {
    parts: Vec<u8>,
}

impl WeightsDigest {
    /// Adds the parameter `name`, whose f32 values are `values`.
    pub(crate) fn add(&mut self, name: &str, tensor: &Tensor, values: &[u8]) {
        self.parts.extend(name.as_bytes());
        tensor.size().iter().for_each(|side| self.parts.extend(side.to_le_bytes()));
        self.parts.extend(Digest::of(values).0);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::of(&self.parts)
    }
}
