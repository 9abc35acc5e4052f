//! Weights in host memory, copied from their device once for both their digest and their publication.

use crate::parameters::Parameters;
use crate::transfer::download;
use crate::weights_digest::WeightsDigest;
use bytes::Bytes;
use ddpo_rollout::trajectory::Digest;

/// The f32 values of a model's parameters, in order of declaration, and their digest.
#[derive(Clone, Debug)]
pub struct HostWeights {
    /// The digest of [`Parameters::digest`].
    pub digest: Digest,
    /// The parameters' values.
    pub tensors: Vec<HostTensor>,
}

/// One parameter's values in host memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTensor {
    /// The parameter's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, f32, little endian, row-major.
    pub values: Bytes,
}

impl HostWeights {
    /// Copies `parameters` to host memory and computes their digest. Waits for the device once for each
    /// tensor.
    pub fn of(parameters: &Parameters) -> Self {
        let mut digest = WeightsDigest::default();
        let tensors = parameters.entries().iter().map(|(name, tensor)| {
            let values = Bytes::from(download(tensor));
            digest.add(name, tensor, &values);
            let shape = tensor.size().iter().map(|&side| side as usize).collect();
            HostTensor { name: name.clone(), shape, values }
        });
        let tensors = tensors.collect();
        Self { digest: digest.finish(), tensors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Layout;
    use crate::transfer::blocking_reads;
    use tch::{Device, Kind, Tensor};

    fn parameters(kind: Kind) -> Parameters {
        let mut parameters = Parameters::new(kind, Device::Cpu, Layout::ChannelsLast);
        for (name, shape) in [("conv", &[2, 3, 2, 2][..]), ("bias", &[5])] {
            let mut tensor = parameters.root().tensor(name, shape);
            let count = tensor.numel() as i64;
            tensor.copy_(&(Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37).view(shape));
        }
        parameters
    }

    #[test]
    fn values_are_row_major_and_the_digest_is_that_of_the_parameters() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let parameters = parameters(kind);
            let weights = HostWeights::of(&parameters);
            assert_eq!(weights.digest, parameters.digest());
            for (found, (name, tensor)) in weights.tensors.iter().zip(parameters.entries()) {
                let values = Vec::<f32>::try_from(tensor.to_kind(Kind::Float).flatten(0, -1));
                let expected: Vec<u8> =
                    values.unwrap().iter().flat_map(|value| value.to_le_bytes()).collect();
                assert_eq!(found.name, *name);
                assert_eq!(found.values, expected);
                assert_eq!(found.shape.iter().product::<usize>(), tensor.numel());
            }
        }
    }

    #[test]
    fn each_tensor_is_read_once() {
        let parameters = parameters(Kind::Float);
        let before = blocking_reads();
        HostWeights::of(&parameters);
        assert_eq!(blocking_reads() - before, 2);
    }
}
