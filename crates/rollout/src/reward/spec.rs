//! The specification of a run's reward: everything that a score depends on, with pinned models.

use crate::dtype::Dtype;
use crate::image::PixelMap;
use crate::noise::Purpose;
use crate::numerics::Numerics;
use crate::reward::age::AgeReward;
use crate::reward::age_classes::AgeClasses;
use crate::reward::expression::RewardExpression;
use crate::reward::pixels::PixelRule;
use crate::reward::source::RewardSource;
use crate::reward::task::Task;
use crate::trajectory::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Maximum of components from one reward server, as in `reward.proto`.
const MOST_COMPONENTS: usize = 64;

/// Everything that the score of an image depends on. The learner creates it from the run's settings,
/// records it in `run.toml` and sends it to rewarders. Each score carries its [digest](Self::digest).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSpec {
    /// The reward that the run maximises.
    pub reward: RewardExpression,
    /// Rewards that score only the images of evaluations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_out: Vec<RewardExpression>,
    /// The rule that maps states to 8-bit images.
    pub pixel_map: PixelRule,
    /// The type in which networks compute.
    pub dtype: Dtype,
    /// The numeric settings of networks.
    #[serde(default, skip_serializing_if = "Numerics::is_default")]
    pub numerics: Numerics,
    /// The files of the TorchScript rewards, in the order of their terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<Pinned>,
    /// The classifier of the age rewards, if the run uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<AgeSpec>,
    /// The networks of the aesthetic score, if the run uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aesthetic: Option<AestheticSpec>,
}

/// The name of a model or file, pinned to its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// A path, a name on the Hub, or the name of an embedded model.
    pub name: String,
    /// The content.
    pub pin: Pin,
}

/// The identity of a model's or file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// A commit on the Hub, 40 hexadecimal digits.
    Revision(String),
    /// The BLAKE3 digest of the files.
    Digest(Digest),
}

/// The classifier of the age rewards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeSpec {
    /// The form of the reward.
    pub reward: AgeReward,
    /// Labels of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// The network.
    pub model: Pinned,
}

/// The networks of the aesthetic score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AestheticSpec {
    /// The CLIP model.
    pub model: Pinned,
    /// The head on CLIP's embedding.
    pub head: Pinned,
}

/// Errors for a score whose components differ from those of the run's reward.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ComponentError {
    /// A component is missing or has another name.
    #[error("components of a score: expected \"{expected}\" at position {position}, found {found}")]
    Name {
        /// Index of the component, from 0.
        position: usize,
        /// Expected name.
        expected: String,
        /// Found name in quotes, or `none`.
        found: String,
    },
    /// The score has more components than the reward.
    #[error(
        "components of a score: expected {expected}, found {found}; \"{name}\" is not expected"
    )]
    More {
        /// Number of components of the reward.
        expected: usize,
        /// Number of components of the score.
        found: usize,
        /// First unexpected component.
        name: String,
    },
}

/// The identity of a reward: its label and its specification's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewardId {
    /// The expression's [label](RewardExpression::label).
    pub label: String,
    /// The [digest](RewardSpec::digest) of the specification.
    pub digest: Digest,
}

impl fmt::Display for RewardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (specification {})", self.label, self.digest)
    }
}

/// The component names that a score must have next.
enum Expected {
    /// Exactly this name.
    Name(String),
    /// Up to [`MOST_COMPONENTS`] names with this prefix, chosen by a reward server.
    Any(String),
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(formatter, "revision {revision}"),
            Self::Digest(digest) => write!(formatter, "digest {digest}"),
        }
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.pin)
    }
}

impl AgeSpec {
    /// The component with the index of the largest logit.
    pub const PREDICTED: &str = "predicted_class";

    /// Returns the names of a score's components: the probability of every class, the index of the
    /// predicted class, and whether that class is a target class.
    pub fn components(&self, task: Task) -> Vec<String> {
        let named = |class: &String| {
            format!("probability_{}", AgeClasses::parts(class).0.replace(' ', "_"))
        };
        let wanted = match task {
            Task::Under30 => "classified_under_30",
            _ => "classified_50_or_older",
        };
        let more = [Self::PREDICTED, wanted].map(str::to_owned);
        self.classes.iter().map(named).chain(more).collect()
    }
}

impl RewardSpec {
    /// The table of `run.toml` with the specification.
    pub const TABLE: &str = "reward_spec";

    /// The component of the aesthetic score.
    pub const AESTHETIC_COMPONENT: &str = "aesthetic_score";

    /// The component of the JPEG rewards: the size in kilobytes (1000 bytes).
    pub const JPEG_COMPONENT: &str = "jpeg_kilobytes";

    /// Creates the specification of a reward that needs neither a network nor a file.
    pub fn plain(reward: RewardExpression) -> Self {
        Self {
            reward,
            held_out: Vec::new(),
            pixel_map: PixelRule::default(),
            dtype: Dtype::default(),
            numerics: Numerics::default(),
            scripts: Vec::new(),
            age: None,
            aesthetic: None,
        }
    }

    /// Returns the BLAKE3 digest of all fields.
    pub fn digest(&self) -> Digest {
        let bytes = serde_json::to_vec(self).expect("strings, numbers and lists have a JSON form");
        Digest::of(&bytes)
    }

    /// Returns the label and the digest.
    pub fn id(&self) -> RewardId {
        RewardId { label: self.reward.label(), digest: self.digest() }
    }

    /// Iterates over the sources of all rewards, including held-out rewards.
    pub fn sources(&self) -> impl Iterator<Item = &RewardSource> {
        let expressions = std::iter::once(&self.reward).chain(&self.held_out);
        expressions.flat_map(RewardExpression::terms).map(|term| &term.source)
    }

    /// Returns the different pixel maps of all rewards, held-out rewards included, in the order of their
    /// first use.
    pub fn pixel_maps(&self) -> Vec<PixelMap> {
        let mut maps = Vec::new();
        for map in self.sources().map(|source| self.pixel_map.map(source)) {
            if !maps.contains(&map) {
                maps.push(map);
            }
        }
        maps
    }

    /// Checks the names of a score's components against those of the reward.
    ///
    /// # Errors
    /// [`ComponentError`] names the first missing or unexpected component.
    pub fn check_components<'a>(
        &self,
        purpose: Purpose,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ComponentError> {
        let names: Vec<&str> = names.into_iter().collect();
        let expected = self.components(purpose);
        let mut position = 0;
        for (index, next) in expected.iter().enumerate() {
            match next {
                Expected::Name(name) if names.get(position) == Some(&name.as_str()) => {
                    position += 1
                }
                Expected::Name(name) => {
                    let found = names.get(position).map(|found| format!("\"{found}\""));
                    let found = found.unwrap_or_else(|| "none".to_owned());
                    return Err(ComponentError::Name { position, expected: name.clone(), found });
                }
                Expected::Any(prefix) => {
                    let after = expected.get(index + 1);
                    let free = |name: &&&str| {
                        let is_next = matches!(after, Some(Expected::Name(next)) if next == **name);
                        name.starts_with(prefix.as_str()) && !is_next
                    };
                    position +=
                        names[position..].iter().take_while(free).take(MOST_COMPONENTS).count();
                }
            }
        }
        match names.get(position) {
            None => Ok(()),
            Some(name) => Err(ComponentError::More {
                expected: position,
                found: names.len(),
                name: (*name).to_owned(),
            }),
        }
    }

    fn components(&self, purpose: Purpose) -> Vec<Expected> {
        let mut expected = self.of_expression(&self.reward, "");
        if purpose == Purpose::Evaluation {
            for held_out in &self.held_out {
                let name = held_out.held_out_name();
                let inner = self.of_expression(held_out, &format!("{name}/"));
                expected.push(Expected::Name(name));
                expected.extend(inner);
            }
        }
        expected
    }

    /// Returns the components of an expression: those of its source for a single reward, otherwise each
    /// term's reward followed by the term's components.
    fn of_expression(&self, expression: &RewardExpression, prefix: &str) -> Vec<Expected> {
        if let Some(source) = expression.plain() {
            return self.of_source(source, prefix);
        }
        let of_term = |label: String| format!("{prefix}{label}");
        let mut expected = Vec::new();
        for term in expression.terms() {
            let name = of_term(term.label());
            let inner = self.of_source(&term.source, &format!("{name}/"));
            expected.push(Expected::Name(name));
            expected.extend(inner);
        }
        expected
    }

    fn of_source(&self, source: &RewardSource, prefix: &str) -> Vec<Expected> {
        let names = match source {
            RewardSource::Servers(_) => return vec![Expected::Any(prefix.to_owned())],
            RewardSource::Task(Task::AestheticScore) => vec![Self::AESTHETIC_COMPONENT.to_owned()],
            RewardSource::Task(Task::JpegCompressibility | Task::JpegIncompressibility) => {
                vec![Self::JPEG_COMPONENT.to_owned()]
            }
            RewardSource::Task(task @ (Task::Under30 | Task::Over50)) => {
                self.age.as_ref().map(|age| age.components(*task)).unwrap_or_default()
            }
            RewardSource::Script(_) => Vec::new(),
        };
        names.into_iter().map(|name| Expected::Name(format!("{prefix}{name}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(reward: &str) -> RewardSpec {
        RewardSpec::plain(reward.parse().unwrap())
    }

    fn pinned(name: &str) -> Pinned {
        Pinned { name: name.into(), pin: Pin::Digest(Digest([7; 32])) }
    }

    fn ages(reward: AgeReward) -> AgeSpec {
        let classes = ["0-29", "30 to 49", "50+"].map(str::to_owned).to_vec();
        AgeSpec { reward, classes, model: pinned("ages") }
    }

    fn whole() -> RewardSpec {
        let head = Pinned { pin: Pin::Revision("a".repeat(40)), ..pinned("owner/head/file.pth") };
        RewardSpec {
            held_out: vec!["over50".parse().unwrap()],
            scripts: vec![pinned("x.pt")],
            age: Some(ages(AgeReward::LogOdds)),
            aesthetic: Some(AestheticSpec { model: pinned("clip"), head }),
            ..spec("0.5*aesthetic + 0.5*torchscript:x.pt")
        }
    }

    #[test]
    fn every_field_changes_the_digest() {
        let whole = whole();
        let mut digests = vec![whole.digest()];
        let mut changed = |change: &dyn Fn(&mut RewardSpec)| {
            let mut other = whole.clone();
            change(&mut other);
            digests.push(other.digest());
        };
        changed(&|spec| spec.reward = "jpeg compressibility".parse().unwrap());
        changed(&|spec| spec.held_out.clear());
        changed(&|spec| spec.pixel_map = PixelRule::Upstream);
        changed(&|spec| spec.dtype = Dtype::Bf16);
        changed(&|spec| spec.numerics.deterministic = false);
        changed(&|spec| spec.scripts[0].pin = Pin::Digest(Digest([8; 32])));
        changed(&|spec| spec.age = Some(ages(AgeReward::Logits)));
        changed(&|spec| spec.age.as_mut().unwrap().classes[0] = "0-30".into());
        changed(&|spec| spec.age.as_mut().unwrap().model = pinned("others"));
        changed(&|spec| spec.aesthetic.as_mut().unwrap().model = pinned("another clip"));
        changed(&|spec| spec.aesthetic.as_mut().unwrap().head = pinned("another head"));
        let count = digests.len();
        digests.sort_by_key(ToString::to_string);
        digests.dedup();
        assert_eq!(digests.len(), count);
    }

    #[test]
    fn specification_survives_a_toml_round_trip() {
        let text = toml::to_string(&whole()).unwrap();
        assert_eq!(toml::from_str::<RewardSpec>(&text).unwrap(), whole(), "{text}");
        let plain = spec("jpeg compressibility");
        let text = toml::to_string(&plain).unwrap();
        assert_eq!(toml::from_str::<RewardSpec>(&text).unwrap(), plain, "{text}");
    }

    #[test]
    fn reads_the_old_name_of_the_upstream_pixels() {
        let upstream =
            RewardSpec { pixel_map: PixelRule::Upstream, ..spec("jpeg compressibility") };
        let text = toml::to_string(&upstream).unwrap();
        let old = text.replace("pixel_map = \"upstream\"", "pixel_map = \"unit\"");
        assert_ne!(old, text);
        assert_eq!(toml::from_str::<RewardSpec>(&old).unwrap(), upstream);
    }

    fn refusal(spec: &RewardSpec, purpose: Purpose, names: &[&str]) -> String {
        spec.check_components(purpose, names.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn rejects_components_of_another_reward_and_names_them() {
        let plain = spec("jpeg compressibility");
        assert_eq!(plain.check_components(Purpose::Rollout, ["jpeg_kilobytes"]), Ok(()));
        let found = refusal(&plain, Purpose::Rollout, &["jpeg_kilobytes", "invented"]);
        assert!(found.contains("expected 1, found 2; \"invented\""), "{found}");
        let sum = RewardSpec { age: Some(ages(AgeReward::Logits)), ..spec("over50 - 2*aesthetic") };
        let over50 = "over50 years old";
        let inner = ["probability_0-29", "probability_30_to_49", "probability_50+"];
        let mut names = vec![over50.to_owned()];
        let more = [AgeSpec::PREDICTED, "classified_50_or_older"];
        names.extend(inner.iter().chain(&more).map(|name| format!("{over50}/{name}")));
        names.extend(["aesthetic score", "aesthetic score/aesthetic_score"].map(str::to_owned));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(sum.check_components(Purpose::Rollout, names.iter().copied()), Ok(()));
        let found = refusal(&sum, Purpose::Rollout, &names[..7]);
        assert!(found.contains("\"aesthetic score/aesthetic_score\" at position 7, found none"));
        let found = refusal(&sum, Purpose::Rollout, &names[1..]);
        assert!(found.contains("expected \"over50 years old\" at position 0"), "{found}");
    }

    #[test]
    fn held_out_rewards_are_required_only_in_evaluations() {
        let held_out = vec!["jpeg incompressibility".parse().unwrap()];
        let spec = RewardSpec { held_out, ..spec("jpeg compressibility") };
        let (size, held_out) = ("jpeg_kilobytes", "eval:jpeg incompressibility");
        let names = [size, held_out, "eval:jpeg incompressibility/jpeg_kilobytes"];
        assert_eq!(spec.check_components(Purpose::Evaluation, names), Ok(()));
        assert_eq!(spec.check_components(Purpose::Rollout, [size]), Ok(()));
        assert!(refusal(&spec, Purpose::Evaluation, &[size]).contains("found none"));
        assert!(refusal(&spec, Purpose::Rollout, &names).contains("is not expected"));
    }

    #[test]
    fn reward_servers_may_return_up_to_64_components() {
        let held_out = vec!["jpeg compressibility".parse().unwrap()];
        let spec = RewardSpec { held_out, ..spec("grpc://a:1 + jpeg incompressibility") };
        let mut names = vec!["grpc://a:1".to_owned()];
        names.extend((0..64).map(|index| format!("grpc://a:1/{index}")));
        let more = [
            "jpeg incompressibility",
            "jpeg incompressibility/jpeg_kilobytes",
            "eval:jpeg compressibility",
            "eval:jpeg compressibility/jpeg_kilobytes",
        ];
        let whole = |names: &[String]| {
            let names = names.iter().map(String::as_str).chain(more);
            spec.check_components(Purpose::Evaluation, names.collect::<Vec<_>>())
        };
        assert_eq!(whole(&names), Ok(()));
        assert_eq!(whole(&names[..1]), Ok(()));
        names.push("grpc://a:1/64".to_owned());
        assert!(whole(&names).is_err());
    }
}
