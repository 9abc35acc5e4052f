//! Where a term's reward comes from: its source as text, and the way from there to a model.

use std::path::PathBuf;
use std::str::FromStr;

use ddpo_rollout::reward::{RewardExpression, TORCHSCRIPT, full_name};

use crate::error::RewardError;
use crate::jpeg::JpegReward;
use crate::learned::{AestheticReward, AgeRewardModel, AgeSide, RewardOptions};
use crate::model::RewardModel;
use crate::own::{server, torchscript};
use crate::task::Task;
use crate::vision::preprocess::config::Family;

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewardSource {
    /// One of the tasks.
    Task(Task),
    /// `torchscript:PATH`: a TorchScript file.
    TorchScript(PathBuf),
    /// `grpc://HOST:PORT,HOST:PORT` or, with TLS, `grpcs://...`: servers, as `http://HOST:PORT` or
    /// `https://HOST:PORT`; at least one.
    Servers(Vec<String>),
}

impl RewardSource {
    /// The sources of an expression's terms, in their order; nothing is opened.
    ///
    /// # Errors
    /// [`RewardError::Source`] names the first that there is not.
    pub fn of(expression: &RewardExpression) -> Result<Vec<Self>, RewardError> {
        expression.terms().iter().map(|term| term.source.parse()).collect()
    }

    /// Checks that rewards which are opened with the same options do not ask one network, where the
    /// options name one, for different things: a classifier of ages and a CLIP are not the same.
    ///
    /// # Errors
    /// [`RewardError::OneNetwork`].
    pub fn share_network(sources: &[Self], options: &RewardOptions) -> Result<(), RewardError> {
        let any = |family| sources.iter().any(|source| source.family() == Some(family));
        match &options.model {
            Some(model) if any(Family::Vit) && any(Family::Clip) => {
                Err(RewardError::OneNetwork { model: model.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The kind of network that the reward is made by; none where it is made without one, or by
    /// somebody else.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        match self {
            Self::Task(Task::Under30 | Task::Over50) => Some(Family::Vit),
            Self::Task(Task::AestheticScore) => Some(Family::Clip),
            _ => None,
        }
    }

    /// The model behind it. What has to be fetched tells `progress`, a line at a time.
    ///
    /// # Errors
    /// [`RewardError`] of what cannot be found, read or reached.
    pub fn open(
        &self,
        options: &RewardOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Box<dyn RewardModel>, RewardError> {
        match self {
            Self::Task(task) => of_task(*task, options, progress),
            Self::TorchScript(path) => torchscript::open(path, options),
            Self::Servers(servers) => server::open(servers, options),
        }
    }
}

fn of_task(
    task: Task,
    options: &RewardOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Box<dyn RewardModel>, RewardError> {
    let threads = options.threads;
    Ok(match task {
        Task::JpegCompressibility => Box::new(JpegReward::compressibility(threads)?),
        Task::JpegIncompressibility => Box::new(JpegReward::incompressibility(threads)?),
        Task::AestheticScore => Box::new(AestheticReward::open(options, progress)?),
        Task::Under30 => {
            Box::new(AgeRewardModel::open(task, AgeSide::Below(30), options, progress)?)
        }
        Task::Over50 => Box::new(AgeRewardModel::open(task, AgeSide::From(50), options, progress)?),
    })
}

impl FromStr for RewardSource {
    type Err = RewardError;

    fn from_str(source: &str) -> Result<Self, RewardError> {
        let refused = || RewardError::Source { found: source.to_owned() };
        let servers = |scheme: &str, list: &str| {
            let addresses = list.split(',').map(|address| match is_address(address) {
                true => Ok(format!("{scheme}://{address}")),
                false => Err(refused()),
            });
            addresses.collect::<Result<_, _>>().map(Self::Servers)
        };
        if let Some(path) = source.strip_prefix(TORCHSCRIPT) {
            return match path {
                "" => Err(refused()),
                path => Ok(Self::TorchScript(path.into())),
            };
        }
        if let Some(list) = source.strip_prefix("grpc://") {
            return servers("http", list);
        }
        if let Some(list) = source.strip_prefix("grpcs://") {
            return servers("https", list);
        }
        full_name(source).parse().map(Self::Task).map_err(|_| refused())
    }
}

/// Whether a text is HOST:PORT.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(|character: char| character == '/' || character.is_whitespace())
            && port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_how_it_begins() {
        let servers = |list: &[&str]| {
            RewardSource::Servers(list.iter().map(|one| (*one).to_owned()).collect())
        };
        for (text, expected) in [
            ("aesthetic", RewardSource::Task(Task::AestheticScore)),
            ("over50 years old", RewardSource::Task(Task::Over50)),
            ("torchscript:a:b/c.pt", RewardSource::TorchScript("a:b/c.pt".into())),
            ("grpc://127.0.0.1:50060", servers(&["http://127.0.0.1:50060"])),
            ("grpcs://a.b:1,[::1]:2", servers(&["https://a.b:1", "https://[::1]:2"])),
        ] {
            assert!(
                matches!(text.parse::<RewardSource>(), Ok(found) if found == expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_source_is_answered_with_what_there_is() {
        for text in ["beauty", "torchscript:", "grpc://", "grpc://a:1,", "grpc://a", "grpc://a/b:1"]
        {
            let found = text.parse::<RewardSource>().unwrap_err().to_string();
            assert!(found.contains("expected one of \"aesthetic score\""), "{found}");
            assert!(found.contains("torchscript:PATH"), "{found}");
            assert!(found.ends_with(&format!("found \"{text}\"")), "{found}");
        }
    }
}
