//! `TrajectoryHeader` <-> [`Opening`].

use super::digest::{digest_from_wire, digest_to_wire};
use super::enumeration::enumeration;
use super::text::{optional, required};
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::stream::{Opening, TrajectoryIdentity};
use crate::wire;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::Track;
use ddpo_rollout::trajectory::{
    PolicyVersion, SampleCoordinates, StateDtype, StateShape, TrajectoryHeader,
};
use std::sync::Arc;
use thiserror::Error;

/// Errors of a header that cannot be sent.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum UnsendableHeader {
    /// Draws with this purpose are never sent.
    #[error("purpose: expected rollout or evaluation, found {0:?}")]
    Purpose(Purpose),
    /// A receiver would reject the header.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Converts a header from the wire.
///
/// # Errors
/// The first field that is malformed or exceeds `limits`.
pub fn from_wire(message: wire::TrajectoryHeader, limits: &Limits) -> Result<Opening, Malformed> {
    let dtype = dtype_from_wire("dtype", message.dtype)?;
    let shape = shape_from_wire(message.shape, dtype, limits)?;
    check_timesteps(&message.timesteps, limits)?;
    let kept_states = kept_states_from_wire(&message.kept_states, message.timesteps.len())?;
    check_size(shape, dtype, kept_states.len(), limits)?;
    let random_steps = random_steps_from_wire(&message.random_steps, message.timesteps.len())?;
    if message.attempt == 0 {
        return Err(Malformed::AttemptZero);
    }
    Ok(Opening {
        identity: TrajectoryIdentity {
            trajectory_id: required("trajectory_id", message.trajectory_id, limits)?,
            run_id: required("run_id", message.run_id, limits)?,
            order_id: required("order_id", message.order_id, limits)?,
            attempt: message.attempt,
            worker_id: required("worker_id", message.worker_id, limits)?,
            incarnation: message.incarnation,
            track: track_from_wire("track", message.track)?,
            traceparent: optional("traceparent", message.traceparent, limits)?,
        },
        header: TrajectoryHeader {
            coordinates: SampleCoordinates {
                run_seed: message.run_seed,
                epoch: message.epoch,
                sample: message.sample,
            },
            purpose: purpose_from_wire(message.purpose)?,
            policy_version: PolicyVersion(message.policy_version),
            weights_digest: digest_from_wire("weights_digest", &message.weights_digest)?,
            scheduler_digest: digest_from_wire("scheduler_digest", &message.scheduler_digest)?,
            dtype,
            shape,
            timesteps: message.timesteps.into(),
            random_steps: random_steps.into(),
            kept_states,
        },
    })
}

/// Converts a header to the wire, and checks it as a receiver does.
///
/// # Errors
/// A purpose that is never sent, or a header that a receiver with the same `limits` would reject.
pub fn to_wire(
    opening: &Opening,
    limits: &Limits,
) -> Result<wire::TrajectoryHeader, UnsendableHeader> {
    let (identity, header) = (&opening.identity, &opening.header);
    let message = wire::TrajectoryHeader {
        trajectory_id: identity.trajectory_id.clone(),
        run_id: identity.run_id.clone(),
        order_id: identity.order_id.clone(),
        attempt: identity.attempt,
        worker_id: identity.worker_id.clone(),
        incarnation: identity.incarnation,
        policy_version: header.policy_version.0,
        track: track_to_wire(identity.track).into(),
        weights_digest: digest_to_wire(header.weights_digest),
        purpose: purpose_to_wire(header.purpose)?.into(),
        run_seed: header.coordinates.run_seed,
        epoch: header.coordinates.epoch,
        sample: header.coordinates.sample,
        scheduler_digest: digest_to_wire(header.scheduler_digest),
        dtype: dtype_to_wire(header.dtype).into(),
        shape: Some(wire::Shape {
            channels: narrow(header.shape.channels),
            height: narrow(header.shape.height),
            width: narrow(header.shape.width),
        }),
        timesteps: header.timesteps.to_vec(),
        random_steps: header.random_steps.iter().map(|&step| narrow(step)).collect(),
        traceparent: identity.traceparent.clone().unwrap_or_default(),
        kept_states: kept_states_to_wire(header),
    };
    from_wire(message.clone(), limits)?;
    Ok(message)
}

/// Saturates at a number that the following check rejects.
pub(super) fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

enumeration!(pub(super) dtype_from_wire, dtype_to_wire: StateDtype = Dtype { F32, F16, Bf16 });

enumeration!(track_from_wire, track_to_wire: Track = Track { Policy, Average });

fn purpose_from_wire(number: i32) -> Result<Purpose, Malformed> {
    match wire::Purpose::try_from(number) {
        Ok(wire::Purpose::Rollout) => Ok(Purpose::Rollout),
        Ok(wire::Purpose::Evaluation) => Ok(Purpose::Evaluation),
        Ok(wire::Purpose::Unspecified) => Err(Malformed::Unspecified("purpose")),
        Err(_) => Err(Malformed::Unknown { field: "purpose", found: number }),
    }
}

fn purpose_to_wire(purpose: Purpose) -> Result<wire::Purpose, UnsendableHeader> {
    match purpose {
        Purpose::Rollout => Ok(wire::Purpose::Rollout),
        Purpose::Evaluation => Ok(wire::Purpose::Evaluation),
        Purpose::Pretraining
        | Purpose::Weights
        | Purpose::StepChoice
        | Purpose::WindowChoice
        | Purpose::LevelChoice
        | Purpose::ForwardNoise
        | Purpose::ClassLabel
        | Purpose::Anchor
        | Purpose::AnchorChoice
        | Purpose::AnchorNoise => Err(UnsendableHeader::Purpose(purpose)),
    }
}

pub(super) fn shape_from_wire(
    message: Option<wire::Shape>,
    dtype: StateDtype,
    limits: &Limits,
) -> Result<StateShape, Malformed> {
    let wire::Shape { channels, height, width } = message.ok_or(Malformed::Missing("shape"))?;
    let sides = [("channels", channels), ("height", height), ("width", width)];
    if let Some((side, _)) = sides.iter().find(|(_, length)| *length == 0) {
        return Err(Malformed::ShapeZero(side));
    }
    let found = state_bytes(sides.map(|(_, length)| u64::from(length)), dtype);
    let limit = limits.max_state_bytes;
    if found > limit as u64 {
        return Err(Malformed::StateTooLarge { limit, found });
    }
    let [channels, height, width] = [channels, height, width].map(|length| length as usize);
    Ok(StateShape { channels, height, width })
}

fn state_bytes(sides: [u64; 3], dtype: StateDtype) -> u64 {
    sides.iter().fold(dtype.size() as u64, |bytes, side| bytes.saturating_mul(*side))
}

fn check_size(
    shape: StateShape,
    dtype: StateDtype,
    states: usize,
    limits: &Limits,
) -> Result<(), Malformed> {
    let sides = [shape.channels, shape.height, shape.width].map(|length| length as u64);
    let found = state_bytes(sides, dtype).saturating_mul(states as u64);
    let limit = limits.max_trajectory_bytes;
    if found > limit as u64 {
        return Err(Malformed::TrajectoryTooLarge { limit, found });
    }
    Ok(())
}

pub(super) fn check_timesteps(timesteps: &[i64], limits: &Limits) -> Result<(), Malformed> {
    let (limit, found) = (limits.max_timesteps, timesteps.len());
    if found == 0 {
        return Err(Malformed::NoTimesteps);
    }
    if found > limit {
        return Err(Malformed::TooManyTimesteps { limit, found });
    }
    match timesteps.windows(2).position(|pair| pair[1] > pair[0]) {
        Some(position) => Err(Malformed::TimestepsRise(position + 1)),
        None => Ok(()),
    }
}

pub(super) fn random_steps_from_wire(
    steps: &[u32],
    timesteps: usize,
) -> Result<Vec<usize>, Malformed> {
    if let Some(&found) = steps.iter().find(|&&step| step as usize >= timesteps) {
        return Err(Malformed::RandomStepOutOfRange { timesteps, found });
    }
    match steps.windows(2).position(|pair| pair[1] <= pair[0]) {
        Some(position) => Err(Malformed::RandomStepsNotRising(position + 1)),
        None => Ok(steps.iter().map(|&step| step as usize).collect()),
    }
}

/// An empty list stands for all states, as senders of before this field mean it.
fn kept_states_from_wire(states: &[u32], timesteps: usize) -> Result<Arc<[usize]>, Malformed> {
    if states.is_empty() {
        return Ok(TrajectoryHeader::all_states(timesteps));
    }
    let rises = states.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || states.last().is_none_or(|&last| last as usize != timesteps) {
        return Err(Malformed::KeptStates { timesteps });
    }
    Ok(states.iter().map(|&state| state as usize).collect())
}

fn kept_states_to_wire(header: &TrajectoryHeader) -> Vec<u32> {
    if header.kept_states.len() == header.timesteps.len() + 1 {
        return Vec::new();
    }
    header.kept_states.iter().map(|&state| narrow(state)).collect()
}
