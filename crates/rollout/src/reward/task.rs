//! The built-in rewards and their names.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A built-in reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Task {
    /// LAION's aesthetic score.
    AestheticScore,
    /// Faces that the classifier rates younger than 30.
    Under30,
    /// Faces that the classifier rates 50 or older.
    Over50,
    /// Small JPEG file size.
    JpegCompressibility,
    /// Large JPEG file size.
    JpegIncompressibility,
}

/// The error for an unknown name of a task.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected one of {}, found \"{found}\"", Task::listing())]
pub struct UnknownTask {
    /// The name.
    pub found: String,
}

/// Short names, accepted in reward expressions.
const SHORT: [(&str, Task); 3] =
    [("aesthetic", Task::AestheticScore), ("over50", Task::Over50), ("under30", Task::Under30)];

impl Task {
    /// Every task.
    pub const ALL: [Self; 5] = [
        Self::AestheticScore,
        Self::Under30,
        Self::Over50,
        Self::JpegCompressibility,
        Self::JpegIncompressibility,
    ];

    /// Returns the name on the command line, in settings and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AestheticScore => "aesthetic score",
            Self::Under30 => "under30 years old",
            Self::Over50 => "over50 years old",
            Self::JpegCompressibility => "jpeg compressibility",
            Self::JpegIncompressibility => "jpeg incompressibility",
        }
    }

    /// Returns the task of a name or a short name.
    pub(super) fn of_short(name: &str) -> Option<Self> {
        let short = SHORT.into_iter().find(|(short, _)| *short == name).map(|(_, task)| task);
        short.or_else(|| name.parse().ok())
    }

    /// Returns whether the reward uses the classifier of age classes.
    #[must_use]
    pub fn is_age(self) -> bool {
        matches!(self, Self::Under30 | Self::Over50)
    }

    /// Returns whether the reward uses a network that embeds images: CLIP or the classifier of ages.
    #[must_use]
    pub fn has_network(self) -> bool {
        self.is_age() || self == Self::AestheticScore
    }

    /// Returns all names in quotes, for messages.
    pub(super) fn listing() -> String {
        Self::ALL.map(|task| format!("\"{task}\"")).join(", ")
    }
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<Task> for String {
    fn from(task: Task) -> Self {
        task.name().to_owned()
    }
}

impl TryFrom<String> for Task {
    type Error = UnknownTask;

    fn try_from(name: String) -> Result<Self, UnknownTask> {
        name.parse()
    }
}

impl FromStr for Task {
    type Err = UnknownTask;

    fn from_str(name: &str) -> Result<Self, UnknownTask> {
        let found = Self::ALL.into_iter().find(|task| task.name() == name);
        found.ok_or_else(|| UnknownTask { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_task() {
        for task in Task::ALL {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
    }

    #[test]
    fn error_for_unknown_names_lists_all_names() {
        let found = "jpeg".parse::<Task>().map_err(|error| error.to_string());
        let listed = "expected one of \"aesthetic score\", \"under30 years old\", \
            \"over50 years old\", \"jpeg compressibility\", \"jpeg incompressibility\", \
            found \"jpeg\"";
        assert_eq!(found, Err(listed.to_owned()));
    }
}
