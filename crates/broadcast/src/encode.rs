//! Converts the learner's f32 tensors to chunks in the wire type, with one chunk in memory at a
//! time.

use crate::lease::FenceToken;
use crate::manifest::{CHUNK_BYTES, Manifest, TensorShape, WireDtype};
use crate::source::{PublishRequest, SourceError, TensorSource};
use bytes::Bytes;
use ddpo_rollout::trajectory::Digest;
use half::slice::HalfFloatSliceExt;
use std::collections::HashSet;

/// The content of an upload, determined before the first value is read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub tensors: Vec<TensorShape>,
    pub dtype: WireDtype,
    pub total_bytes: usize,
}

/// One chunk, ready for storing.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub bytes: Bytes,
    pub digest: Digest,
}

impl Plan {
    pub(crate) fn new(source: &dyn TensorSource, dtype: WireDtype) -> Result<Self, SourceError> {
        let tensors = source.tensors();
        let mut names = HashSet::with_capacity(tensors.len());
        let mut total_bytes = 0_usize;
        for tensor in &tensors {
            if !names.insert(&tensor.name) {
                return Err(SourceError::Twice(tensor.name.clone()));
            }
            let bytes = f32_bytes(tensor)? / 4 * dtype.size();
            total_bytes = total_bytes.checked_add(bytes).ok_or_else(|| overflow(tensor))?;
        }
        Ok(Self { tensors, dtype, total_bytes })
    }

    /// Reads the tensors in order and passes their chunks to `sink`, which may stop the reading.
    pub(crate) fn encode(
        &self,
        source: &dyn TensorSource,
        sink: &mut dyn FnMut(Chunk) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut cutter = Cutter { left: self.total_bytes, open: Vec::new(), sink };
        cutter.begin();
        for (index, tensor) in self.tensors.iter().enumerate() {
            let values = source.values(index)?;
            let expected = f32_bytes(tensor)?;
            if values.len() != expected {
                let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
                return Err(SourceError::Size { name, shape, expected, found: values.len() });
            }
            match self.dtype {
                WireDtype::F32 => cutter.write(&values)?,
                WireDtype::Bf16 => round(&values, &mut cutter, half::bf16::to_le_bytes)?,
                WireDtype::F16 => round(&values, &mut cutter, half::f16::to_le_bytes)?,
            }
        }
        Ok(())
    }

    /// Returns whether the manifest describes the requested weights in this format.
    pub(crate) fn is_stored_as(&self, manifest: &Manifest, request: &PublishRequest) -> bool {
        manifest.weights_digest == request.weights_digest
            && manifest.dtype == self.dtype
            && manifest.tensors == self.tensors
    }

    /// Builds the manifest of chunks with these digests.
    pub(crate) fn seal(
        self,
        request: &PublishRequest,
        chunks: Vec<Digest>,
        fence: FenceToken,
        upload: &str,
        created_unix_ms: u64,
    ) -> Manifest {
        Manifest {
            format: Manifest::FORMAT,
            id: request.id,
            weights_digest: request.weights_digest,
            dtype: self.dtype,
            tensors: self.tensors,
            chunk_bytes: CHUNK_BYTES,
            payload_digest: Manifest::digest_of_chunks(&chunks),
            chunks,
            total_bytes: self.total_bytes,
            fence,
            upload: upload.to_owned(),
            created_unix_ms,
        }
    }
}

fn f32_bytes(tensor: &TensorShape) -> Result<usize, SourceError> {
    tensor.elements().and_then(|count| count.checked_mul(4)).ok_or_else(|| overflow(tensor))
}

fn overflow(tensor: &TensorShape) -> SourceError {
    let reason = format!("the shape {:?} overflows", tensor.shape);
    SourceError::Unreadable { name: tensor.name.clone(), reason }
}

/// Rounds values in blocks that fit the nearest cache.
fn round<H: Copy + Default>(
    values: &[u8],
    cutter: &mut Cutter<'_>,
    to_bytes: fn(H) -> [u8; 2],
) -> Result<(), SourceError>
where
    [H]: HalfFloatSliceExt,
{
    const BLOCK: usize = 2048;
    let mut wide = [0.0_f32; BLOCK];
    let mut narrow = [H::default(); BLOCK];
    let mut bytes = [0_u8; 2 * BLOCK];
    for block in values.chunks(4 * BLOCK) {
        let count = block.len() / 4;
        for (value, b) in wide.iter_mut().zip(block.chunks_exact(4)) {
            *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }
        narrow[..count].convert_from_f32_slice(&wide[..count]);
        for (pair, &value) in bytes.chunks_exact_mut(2).zip(&narrow[..count]) {
            pair.copy_from_slice(&to_bytes(value));
        }
        cutter.write(&bytes[..2 * count])?;
    }
    Ok(())
}

/// Cuts a sequence of bytes into chunks.
struct Cutter<'a> {
    left: usize,
    open: Vec<u8>,
    sink: &'a mut dyn FnMut(Chunk) -> Result<(), SourceError>,
}

impl Cutter<'_> {
    fn begin(&mut self) {
        self.open = Vec::with_capacity(self.left.min(CHUNK_BYTES));
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), SourceError> {
        while !bytes.is_empty() {
            let size = self.left.min(CHUNK_BYTES);
            let (now, later) = bytes.split_at(bytes.len().min(size - self.open.len()));
            self.open.extend_from_slice(now);
            if self.open.len() == size {
                self.finish()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        let bytes = Bytes::from(std::mem::take(&mut self.open));
        self.left -= bytes.len();
        let digest = Digest::of(&bytes);
        (self.sink)(Chunk { bytes, digest })?;
        self.begin();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::HostTensor;

    fn encoded(tensors: &Vec<HostTensor>, dtype: WireDtype) -> Vec<Chunk> {
        let plan = Plan::new(tensors, dtype).unwrap();
        let mut chunks = Vec::new();
        let mut sink = |chunk| {
            chunks.push(chunk);
            Ok(())
        };
        plan.encode(tensors, &mut sink).unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>(), plan.total_bytes);
        chunks
    }

    #[test]
    fn chunks_are_full_except_the_last_and_in_order() {
        let first: Vec<f32> = (0..700_001_u32).map(|i| i as f32).collect();
        let second: Vec<f32> = (0..500_000_u32).map(|i| -(i as f32)).collect();
        let tensors = vec![
            HostTensor::new("first", &[700_001], &first),
            HostTensor::new("empty", &[0, 3], &[]),
            HostTensor::new("second", &[500, 1000], &second),
        ];
        let chunks = encoded(&tensors, WireDtype::F32);
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].bytes.len(), CHUNK_BYTES);
        let joined: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
        let expected: Vec<u8> =
            first.iter().chain(&second).flat_map(|value| value.to_le_bytes()).collect();
        assert!(joined == expected);
    }

    #[test]
    fn rounds_half_precision_to_nearest_even() {
        let values = [1.0, -0.1, 2.345_678_9, 65_519.0, 1e-8];
        let tensors = vec![HostTensor::new("x", &[5], &values)];
        let bf16: Vec<u8> =
            values.iter().flat_map(|&value| half::bf16::from_f32(value).to_le_bytes()).collect();
        assert_eq!(encoded(&tensors, WireDtype::Bf16)[0].bytes, bf16);
        let f16: Vec<u8> =
            values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
        assert_eq!(encoded(&tensors, WireDtype::F16)[0].bytes, f16);
    }

    #[test]
    fn rejects_wrong_sizes_duplicate_names_and_overflows() {
        let short = vec![HostTensor::new("x", &[3], &[0.0])];
        let plan = Plan::new(&short, WireDtype::F32).unwrap();
        let error = plan.encode(&short, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, SourceError::Size { expected: 12, found: 4, .. }), "{error}");
        let twice = vec![HostTensor::new("x", &[1], &[0.0]), HostTensor::new("x", &[1], &[0.0])];
        assert_eq!(
            Plan::new(&twice, WireDtype::F32).unwrap_err(),
            SourceError::Twice("x".to_owned())
        );
        let huge = vec![HostTensor::new("x", &[usize::MAX, 2], &[])];
        assert!(Plan::new(&huge, WireDtype::F32).is_err());
    }
}
