//! `DescribeRunResponse` <-> [`RunDescription`], with the specification of the run's reward.

use super::digest::{digest_from_wire, digest_to_wire};
use super::enumeration::enumeration;
use super::form;
use super::text::required;
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::wire;
use ddpo_rollout::dtype::Dtype;
use ddpo_rollout::facts::TrajectoryFacts;
use ddpo_rollout::numerics::{MatmulPrecision, Numerics};
use ddpo_rollout::reward::{
    AestheticSpec, AgeReward, AgeSpec, Pin, Pinned, PixelRule, RewardExpression, RewardSpec,
};

/// The description of a run for rewarders.
#[derive(Clone, Debug, PartialEq)]
pub struct RunDescription {
    /// The run, and the form of its trajectories.
    pub trajectories: TrajectoryFacts,
    /// The reward that its images are scored with.
    pub reward: RewardSpec,
}

/// Converts a description from the wire.
///
/// # Errors
/// The first field that is malformed or exceeds `limits`.
pub fn from_wire(
    message: wire::DescribeRunResponse,
    limits: &Limits,
) -> Result<RunDescription, Malformed> {
    let run_id = required("run_id", message.run_id, limits)?;
    let reward = message.reward.ok_or(Malformed::Missing("reward"))?;
    // Learners of before this field send none.
    let form = message.trajectories.map(|form| form::from_wire(form, limits)).transpose()?;
    let trajectories = TrajectoryFacts { run_id, form };
    Ok(RunDescription { trajectories, reward: spec_from_wire(reward, limits)? })
}

/// Converts a description to the wire.
pub fn to_wire(run: &RunDescription) -> wire::DescribeRunResponse {
    wire::DescribeRunResponse {
        run_id: run.trajectories.run_id.clone(),
        reward: Some(spec_to_wire(&run.reward)),
        trajectories: run.trajectories.form.as_ref().map(form::to_wire),
    }
}

fn spec_from_wire(message: wire::RewardSpec, limits: &Limits) -> Result<RewardSpec, Malformed> {
    bounded("held_out", message.held_out.len(), limits)?;
    bounded("scripts", message.scripts.len(), limits)?;
    let held_out = message.held_out.into_iter();
    let scripts = message.scripts.into_iter();
    Ok(RewardSpec {
        reward: expression("reward", message.reward, limits)?,
        held_out: held_out
            .map(|text| expression("held_out", text, limits))
            .collect::<Result<_, _>>()?,
        pixel_map: pixel_map_from_wire("pixel_map", message.pixel_map)?,
        dtype: dtype_from_wire(message.dtype)?,
        numerics: Numerics {
            deterministic: message.deterministic,
            matmul_precision: precision_from_wire("matmul_precision", message.matmul_precision)?,
        },
        scripts: scripts
            .map(|one| pinned_from_wire("scripts", one, limits))
            .collect::<Result<_, _>>()?,
        age: message.age.map(|age| age_from_wire(age, limits)).transpose()?,
        aesthetic: message.aesthetic.map(|one| aesthetic_from_wire(one, limits)).transpose()?,
    })
}

fn spec_to_wire(spec: &RewardSpec) -> wire::RewardSpec {
    wire::RewardSpec {
        reward: spec.reward.to_string(),
        held_out: spec.held_out.iter().map(ToString::to_string).collect(),
        pixel_map: pixel_map_to_wire(spec.pixel_map).into(),
        dtype: match spec.dtype {
            Dtype::F32 => wire::Dtype::F32,
            Dtype::Bf16 => wire::Dtype::Bf16,
        }
        .into(),
        deterministic: spec.numerics.deterministic,
        matmul_precision: precision_to_wire(spec.numerics.matmul_precision).into(),
        scripts: spec.scripts.iter().map(pinned_to_wire).collect(),
        age: spec.age.as_ref().map(age_to_wire),
        aesthetic: spec.aesthetic.as_ref().map(|networks| wire::AestheticSpec {
            model: Some(pinned_to_wire(&networks.model)),
            head: Some(pinned_to_wire(&networks.head)),
        }),
    }
}

fn bounded(field: &'static str, found: usize, limits: &Limits) -> Result<(), Malformed> {
    let limit = limits.max_score_components;
    if found > limit { Err(Malformed::TooMany { field, limit, found }) } else { Ok(()) }
}

fn expression(
    field: &'static str,
    text: String,
    limits: &Limits,
) -> Result<RewardExpression, Malformed> {
    let parsed = required(field, text, limits)?.parse::<RewardExpression>();
    parsed.map_err(|error| Malformed::Reward { field, reason: error.to_string() })
}

enumeration!(
    precision_from_wire,
    precision_to_wire: MatmulPrecision = MatmulPrecision { Highest, High, Medium }
);

enumeration!(pixel_map_from_wire, pixel_map_to_wire: PixelRule = PixelRule { Signed, Upstream });

enumeration!(form_from_wire, form_to_wire: AgeReward = AgeReward { Logits, Probability, LogOdds });

fn dtype_from_wire(number: i32) -> Result<Dtype, Malformed> {
    match wire::Dtype::try_from(number) {
        Ok(wire::Dtype::F32) => Ok(Dtype::F32),
        Ok(wire::Dtype::Bf16) => Ok(Dtype::Bf16),
        Ok(wire::Dtype::Unspecified) => Err(Malformed::Unspecified("dtype")),
        Ok(wire::Dtype::F16) | Err(_) => Err(Malformed::Unknown { field: "dtype", found: number }),
    }
}

fn age_from_wire(message: wire::AgeSpec, limits: &Limits) -> Result<AgeSpec, Malformed> {
    let reward = form_from_wire("age.reward", message.reward)?;
    bounded("age.classes", message.classes.len(), limits)?;
    let classes = message.classes.into_iter();
    let classes = classes.map(|label| required("age.classes", label, limits));
    let model = message.model.ok_or(Malformed::Missing("age.model"))?;
    Ok(AgeSpec {
        reward,
        classes: classes.collect::<Result<_, _>>()?,
        model: pinned_from_wire("age.model", model, limits)?,
    })
}

fn age_to_wire(age: &AgeSpec) -> wire::AgeSpec {
    let reward = form_to_wire(age.reward);
    let model = Some(pinned_to_wire(&age.model));
    wire::AgeSpec { reward: reward.into(), classes: age.classes.clone(), model }
}

fn aesthetic_from_wire(
    message: wire::AestheticSpec,
    limits: &Limits,
) -> Result<AestheticSpec, Malformed> {
    let model = message.model.ok_or(Malformed::Missing("aesthetic.model"))?;
    let head = message.head.ok_or(Malformed::Missing("aesthetic.head"))?;
    Ok(AestheticSpec {
        model: pinned_from_wire("aesthetic.model", model, limits)?,
        head: pinned_from_wire("aesthetic.head", head, limits)?,
    })
}

fn pinned_from_wire(
    field: &'static str,
    message: wire::Pinned,
    limits: &Limits,
) -> Result<Pinned, Malformed> {
    let name = required(field, message.name, limits)?;
    let pin = match message.pin.ok_or(Malformed::Missing(field))? {
        wire::pinned::Pin::Revision(revision) if is_commit(&revision) => Pin::Revision(revision),
        wire::pinned::Pin::Revision(_) => return Err(Malformed::Revision(field)),
        wire::pinned::Pin::Digest(digest) => Pin::Digest(digest_from_wire(field, &digest)?),
    };
    Ok(Pinned { name, pin })
}

fn pinned_to_wire(pinned: &Pinned) -> wire::Pinned {
    let pin = match &pinned.pin {
        Pin::Revision(revision) => wire::pinned::Pin::Revision(revision.clone()),
        Pin::Digest(digest) => wire::pinned::Pin::Digest(digest_to_wire(*digest)),
    };
    wire::Pinned { name: pinned.name.clone(), pin: Some(pin) }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
