//! States between libtorch and bytes: rounding to the wire dtype, and the noise of a batch.

use bytes::Bytes;
use ddpo_diffusion::transfer::upload;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::trajectory::{SampleCoordinates, StateDtype, StateShape};
use tch::{Device, Kind, Tensor};

/// Returns standard normal noise f32 `[B, C, H, W]` for each sample at `step`.
pub fn noise(
    samples: &[SampleCoordinates],
    purpose: Purpose,
    step: u32,
    shape: StateShape,
    device: Device,
) -> Tensor {
    let mut values = vec![0.0; samples.len() * shape.elements()];
    for (sample, out) in samples.iter().zip(values.chunks_exact_mut(shape.elements())) {
        sample.noise(purpose, step).fill_normal(out);
    }
    let size =
        [samples.len() as i64, shape.channels as i64, shape.height as i64, shape.width as i64];
    upload(&values, &size, device)
}

fn wire_kind(dtype: StateDtype) -> Kind {
    match dtype {
        StateDtype::F32 => Kind::Float,
        StateDtype::F16 => Kind::Half,
        StateDtype::Bf16 => Kind::BFloat16,
    }
}

/// Rounds `state` f32 to values that the wire dtype can hold, still f32.
pub fn rounded(state: &Tensor, dtype: StateDtype) -> Tensor {
    match dtype {
        StateDtype::F32 => state.shallow_clone(),
        _ => state.to_kind(wire_kind(dtype)).to_kind(Kind::Float),
    }
}

/// Converts a batch's f32 state to the wire dtype, contiguous, on its device.
pub fn to_wire(state: &Tensor, dtype: StateDtype) -> Tensor {
    state.to_kind(wire_kind(dtype)).contiguous()
}

/// Returns the bytes of a batch's states in host memory, after [`to_wire`]: one `Bytes` per sample,
/// little endian, all in one buffer.
pub fn to_bytes(state: &Tensor, dtype: StateDtype) -> Vec<Bytes> {
    let elements = state.numel();
    let mut buffer = vec![0; elements * dtype.size()];
    state.view(-1).copy_data_u8(&mut buffer, elements);
    let each = buffer.len() / (state.size()[0].max(1) as usize);
    let buffer = Bytes::from(buffer);
    (0..state.size()[0] as usize).map(|i| buffer.slice(i * each..(i + 1) * each)).collect()
}
