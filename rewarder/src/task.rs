//! The tasks, by the names that the command line has for them.

use std::fmt;
use std::str::FromStr;

use crate::error::RewardError;

/// What a model is finetuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Pictures that people find beautiful.
    AestheticScore,
    /// Faces younger than thirty.
    Under30,
    /// Faces older than fifty.
    Over50,
    /// Pictures that JPEG makes small.
    JpegCompressibility,
    /// Pictures that JPEG cannot make small.
    JpegIncompressibility,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 5] = [
        Self::AestheticScore,
        Self::Under30,
        Self::Over50,
        Self::JpegCompressibility,
        Self::JpegIncompressibility,
    ];

    /// The name on the command line, in settings and in metrics.
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

    /// All names, quoted, for messages.
    pub(crate) fn listing() -> String {
        Self::ALL.map(|task| format!("\"{task}\"")).join(", ")
    }
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = RewardError;

    fn from_str(name: &str) -> Result<Self, RewardError> {
        let found = Self::ALL.into_iter().find(|task| task.name() == name);
        found.ok_or_else(|| RewardError::UnknownTask { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_task_are_one() {
        for task in Task::ALL {
            assert!(matches!(task.to_string().parse::<Task>(), Ok(found) if found == task));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_names() {
        let found = "jpeg".parse::<Task>().map_err(|error| error.to_string());
        let listed = "task: expected one of \"aesthetic score\", \"under30 years old\", \
            \"over50 years old\", \"jpeg compressibility\", \"jpeg incompressibility\", \
            found \"jpeg\"";
        assert_eq!(found, Err(listed.to_owned()));
    }
}
