//! `TrajectoryForm` of the wire <-> of the domain.

use super::digest::{digest_from_wire, digest_to_wire};
use super::header::{
    check_timesteps, dtype_from_wire, dtype_to_wire, narrow, random_steps_from_wire,
    shape_from_wire,
};
use super::text::optional;
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::wire;
use ddpo_rollout::chain::{Chain, NeededStates};
use ddpo_rollout::facts::{ChainFacts, TrajectoryForm};
use ddpo_rollout::window::NotAWindow;

/// Converts a form from the wire.
///
/// # Errors
/// The first field that is malformed or exceeds `limits`.
pub(super) fn from_wire(
    message: wire::TrajectoryForm,
    limits: &Limits,
) -> Result<TrajectoryForm, Malformed> {
    let dtype = dtype_from_wire("trajectories.dtype", message.dtype)?;
    let shape =
        message.shape.map(|shape| shape_from_wire(Some(shape), dtype, limits)).transpose()?;
    let digest = digest_from_wire("trajectories.scheduler_digest", &message.scheduler_digest)?;
    if message.timesteps.is_empty() {
        return Ok(TrajectoryForm { dtype, shape, chain: ChainFacts::Digest(digest) });
    }
    check_timesteps(&message.timesteps, limits)?;
    let random_steps = random_steps_from_wire(&message.random_steps, message.timesteps.len())?;
    let window = optional("trajectories.window", message.window, limits)?;
    let window = window.map(|text| text.parse()).transpose();
    let chain = Chain {
        timesteps: message.timesteps.into(),
        random_steps: random_steps.into(),
        digest,
        window: window.map_err(|error: NotAWindow| Malformed::Window(error.to_string()))?,
        needed: if message.image_only { NeededStates::Image } else { NeededStates::Steps },
    };
    Ok(TrajectoryForm { dtype, shape, chain: ChainFacts::Known(chain) })
}

/// Converts a form to the wire.
pub(super) fn to_wire(form: &TrajectoryForm) -> wire::TrajectoryForm {
    let shape = form.shape.map(|shape| wire::Shape {
        channels: narrow(shape.channels),
        height: narrow(shape.height),
        width: narrow(shape.width),
    });
    let dtype = dtype_to_wire(form.dtype).into();
    let empty = wire::TrajectoryForm { dtype, shape, ..Default::default() };
    match &form.chain {
        ChainFacts::Digest(digest) => {
            wire::TrajectoryForm { scheduler_digest: digest_to_wire(*digest), ..empty }
        }
        ChainFacts::Known(chain) => wire::TrajectoryForm {
            scheduler_digest: digest_to_wire(chain.digest),
            timesteps: chain.timesteps.to_vec(),
            random_steps: chain.random_steps.iter().map(|&step| narrow(step)).collect(),
            window: chain.window.map(|window| window.to_string()).unwrap_or_default(),
            image_only: chain.needed == NeededStates::Image,
            ..empty
        },
    }
}
