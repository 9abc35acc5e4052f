//! A denoising trajectory: the states x_T .. x_0 of one sample, the log-probability of each random
//! transition under the sampling policy, and their provenance.

use crate::noise::{NoiseKey, Purpose};
use bytes::Bytes;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The number of weight updates that the learner has published; 0 is the pretrained model.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PolicyVersion(pub u64);

impl PolicyVersion {
    /// Returns the next version.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// A BLAKE3 digest, of weights or of a scheduler's settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl std::str::FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let refused = || NotADigest(text.chars().take(80).collect());
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| refused())?;
        Ok(Self(bytes.try_into().map_err(|_| refused())?))
    }
}

/// The error for a text that is not a digest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("expected a digest of 64 hexadecimal digits, found {0:?}")]
pub struct NotADigest(String);

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The coordinates of a sample in a run. They determine all of its noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleCoordinates {
    /// Seed of the run.
    pub run_seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Index within the epoch, from 0.
    pub sample: u32,
}

impl SampleCoordinates {
    /// Returns the key of this sample's noise at `step` (0 for x_T, `k + 1` for transition `k`).
    #[must_use]
    pub fn noise(self, purpose: Purpose, step: u32) -> NoiseKey {
        NoiseKey { seed: self.run_seed, purpose, epoch: self.epoch, sample: self.sample, step }
    }
}

/// The type in which states are stored and sent. States are rounded to it before the log-probability is
/// computed, so that sampler and learner use the same values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateDtype {
    /// 32-bit IEEE floating point.
    #[default]
    F32,
    /// 16-bit IEEE floating point.
    F16,
    /// bfloat16.
    Bf16,
}

impl StateDtype {
    /// Returns the size of one value in bytes.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Shape of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateShape {
    /// Channels: 3 for RGB, 1 for grey.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl StateShape {
    /// Returns the number of values in one state.
    #[must_use]
    pub fn elements(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// The provenance and format of a trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryHeader {
    /// Coordinates of the sample.
    pub coordinates: SampleCoordinates,
    /// Purpose of the noise.
    pub purpose: Purpose,
    /// Version of the sampling weights.
    pub policy_version: PolicyVersion,
    /// Digest of the sampling weights.
    pub weights_digest: Digest,
    /// Digest of the scheduler's settings, steps and eta.
    pub scheduler_digest: Digest,
    /// Type of the states' values.
    pub dtype: StateDtype,
    /// Shape of each state.
    pub shape: StateShape,
    /// The T visited timesteps, in descending order.
    pub timesteps: Arc<[i64]>,
    /// The K positions in `timesteps` whose transition is random (sigma > 0).
    pub random_steps: Arc<[usize]>,
    /// Indices of the states that the trajectory carries, ascending: 0 is x_T, and the last is T, x_0.
    pub kept_states: Arc<[usize]>,
}

impl TrajectoryHeader {
    /// Returns the indices of all states of a chain of `steps` steps.
    pub fn all_states(steps: usize) -> Arc<[usize]> {
        (0..=steps).collect()
    }
}

/// The denoising trajectory of one sample, from noise to image.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    header: TrajectoryHeader,
    states: Vec<Bytes>,
    log_probs: Vec<f32>,
}

/// Errors from building a trajectory.
#[derive(Debug, Error, PartialEq)]
pub enum TrajectoryError {
    /// The kept states do not rise, or do not end with T.
    #[error("expected kept states that rise and end with {timesteps}, found {found:?}")]
    KeptStates {
        /// T.
        timesteps: usize,
        /// The header's.
        found: Vec<usize>,
    },
    /// The number of states is not the header's.
    #[error("expected {expected} states, found {found}")]
    StateCount {
        /// The number of kept states.
        expected: usize,
        /// Number of states.
        found: usize,
    },
    /// A state has the wrong number of bytes.
    #[error("state {index}: expected {expected} bytes, found {found}")]
    StateSize {
        /// Position of the state, 0 for x_T.
        index: usize,
        /// Size in bytes from shape and dtype.
        expected: usize,
        /// Size in bytes.
        found: usize,
    },
    /// A value of a state is infinite or NaN.
    #[error("state {index}: the value at offset {offset} is not finite")]
    StateNotFinite {
        /// Position of the state, 0 for x_T.
        index: usize,
        /// Offset in `[C, H, W]`.
        offset: usize,
    },
    /// The number of log-probabilities is not the number of random steps.
    #[error("expected {expected} log-probabilities, one per random step, found {found}")]
    LogProbCount {
        /// Number of random steps K.
        expected: usize,
        /// Number of log-probabilities.
        found: usize,
    },
    /// A log-probability is not finite.
    #[error("the log-probability of random step {0} is not finite")]
    LogProbNotFinite(usize),
}

impl Trajectory {
    /// Creates a trajectory after checking counts, sizes and values.
    ///
    /// # Errors
    /// [`TrajectoryError`] names the first wrong count, size or value.
    pub fn new(
        header: TrajectoryHeader,
        states: Vec<Bytes>,
        log_probs: Vec<f32>,
    ) -> Result<Self, TrajectoryError> {
        let (timesteps, kept) = (header.timesteps.len(), &header.kept_states);
        let rises = kept.windows(2).all(|pair| pair[0] < pair[1]);
        if !rises || kept.last() != Some(&timesteps) {
            let found = kept.to_vec();
            return Err(TrajectoryError::KeptStates { timesteps, found });
        }
        if states.len() != kept.len() {
            let (expected, found) = (kept.len(), states.len());
            return Err(TrajectoryError::StateCount { expected, found });
        }
        let expected = header.shape.elements() * header.dtype.size();
        if let Some((index, state)) =
            states.iter().enumerate().find(|(_, state)| state.len() != expected)
        {
            return Err(TrajectoryError::StateSize { index, expected, found: state.len() });
        }
        for (index, state) in states.iter().enumerate() {
            if let Some(offset) = not_finite(state, header.dtype) {
                return Err(TrajectoryError::StateNotFinite { index, offset });
            }
        }
        if log_probs.len() != header.random_steps.len() {
            let (expected, found) = (header.random_steps.len(), log_probs.len());
            return Err(TrajectoryError::LogProbCount { expected, found });
        }
        match log_probs.iter().position(|value| !value.is_finite()) {
            Some(step) => Err(TrajectoryError::LogProbNotFinite(step)),
            None => Ok(Self { header, states, log_probs }),
        }
    }

    /// Returns the header.
    pub fn header(&self) -> &TrajectoryHeader {
        &self.header
    }

    /// The kept states in the order of the header, each `[C, H, W]` in its dtype, little endian.
    pub fn states(&self) -> &[Bytes] {
        &self.states
    }

    /// Returns the state at `index` of the chain, 0 for x_T, if the trajectory carries it.
    pub fn state(&self, index: usize) -> Option<&Bytes> {
        let position = self.header.kept_states.binary_search(&index).ok()?;
        self.states.get(position)
    }

    /// Log-probability of each random transition, mean over dimensions, in nats.
    pub fn log_probs(&self) -> &[f32] {
        &self.log_probs
    }

    /// Returns the image state x_0, f32 `[C, H, W]`.
    pub fn final_state(&self) -> Vec<f32> {
        let bytes: &[u8] = self.states.last().map_or(&[], |state| state);
        decode(bytes, self.header.dtype)
    }
}

/// Returns the offset of the first infinite or NaN value, whose exponent has all bits set.
fn not_finite(bytes: &[u8], dtype: StateDtype) -> Option<usize> {
    let half = |exponent: u16| move |value| u16::from_le_bytes(value) & exponent == exponent;
    match dtype {
        StateDtype::F32 => {
            first(bytes, |value| u32::from_le_bytes(value) & 0x7f80_0000 == 0x7f80_0000)
        }
        StateDtype::F16 => first(bytes, half(0x7c00)),
        StateDtype::Bf16 => first(bytes, half(0x7f80)),
    }
}

/// Returns the offset of the first value of `N` bytes that satisfies `found`. Tests whole blocks, so that
/// the compiler can vectorise.
fn first<const N: usize>(bytes: &[u8], found: impl Fn([u8; N]) -> bool) -> Option<usize> {
    const BLOCK: usize = 1024;
    let (values, _) = bytes.as_chunks::<N>();
    let any = |block: &[[u8; N]]| block.iter().fold(false, |any, &value| any | found(value));
    let start = values.chunks(BLOCK).position(any)? * BLOCK;
    values[start..].iter().position(|&value| found(value)).map(|offset| start + offset)
}

/// Converts little-endian values of `dtype` to f32; the conversion is exact.
pub fn decode(bytes: &[u8], dtype: StateDtype) -> Vec<f32> {
    let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        StateDtype::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        StateDtype::F16 => halves().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
        StateDtype::Bf16 => halves().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_non_finite_values_at_any_position() {
        let floats = |bad: f32, at: usize| {
            let mut values = vec![f32::MAX; 3000];
            values[at] = bad;
            values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
        };
        for at in [0, 1023, 1024, 2999] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert_eq!(not_finite(&floats(bad, at), StateDtype::F32), Some(at));
            }
        }
        assert_eq!(not_finite(&floats(f32::MIN, 7), StateDtype::F32), None);
        let largest =
            [half::f16::MAX, half::f16::NEG_INFINITY].map(half::f16::to_le_bytes).concat();
        assert_eq!(not_finite(&largest, StateDtype::F16), Some(1));
        let largest = [half::bf16::MIN, half::bf16::NAN].map(half::bf16::to_le_bytes).concat();
        assert_eq!(not_finite(&largest, StateDtype::Bf16), Some(1));
    }
}
