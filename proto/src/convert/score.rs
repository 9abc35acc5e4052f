//! `TrajectoryScore` <-> [`GivenScore`].

use super::digest::{digest_from_wire, digest_to_wire};
use super::text::required;
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::stream::GivenScore;
use crate::wire;
use ddpo_rollout::reward::RewardId;
use ddpo_rollout::score::{Component, Score};

/// Converts a score from the wire.
///
/// # Errors
/// The first field that is malformed or exceeds `limits`.
pub fn from_wire(message: wire::TrajectoryScore, limits: &Limits) -> Result<GivenScore, Malformed> {
    if !message.reward.is_finite() {
        return Err(Malformed::RewardNotFinite(message.reward));
    }
    let (limit, found) = (limits.max_score_components, message.components.len());
    if found > limit {
        return Err(Malformed::TooManyComponents { limit, found });
    }
    let components = message.components.into_iter().enumerate().map(|(index, component)| {
        if !component.value.is_finite() {
            return Err(Malformed::ComponentNotFinite(index));
        }
        let name = required("component.name", component.name, limits)?;
        Ok(Component { name, value: component.value })
    });
    let components = components.collect::<Result<_, _>>()?;
    let label = required("reward_label", message.reward_label, limits)?;
    let digest = digest_from_wire("reward_digest", &message.reward_digest)?;
    let score = Score { reward: message.reward, components };
    Ok(GivenScore { score, reward: RewardId { label, digest } })
}

/// Converts a score to the wire, and checks it as a receiver does.
///
/// # Errors
/// A score that a receiver with the same `limits` would reject.
pub fn to_wire(scored: &GivenScore, limits: &Limits) -> Result<wire::TrajectoryScore, Malformed> {
    let component =
        |part: &Component| wire::ScoreComponent { name: part.name.clone(), value: part.value };
    let message = wire::TrajectoryScore {
        reward: scored.score.reward,
        components: scored.score.components.iter().map(component).collect(),
        reward_label: scored.reward.label.clone(),
        reward_digest: digest_to_wire(scored.reward.digest),
    };
    from_wire(message.clone(), limits)?;
    Ok(message)
}
