//! The classes of a class-conditional model's samples. A sample's class is a function of its coordinates
//! and the run's list of classes, so no trajectory carries it.

use crate::noise::Purpose;
use crate::trajectory::SampleCoordinates;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;

/// The most classes of a model.
pub const MOST_CLASSES: u32 = 100_000;

/// Longest text of a label in a message, in characters.
const SHOWN: usize = 80;

/// The classes that samples may have: at least one, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<i64>", into = "Vec<u32>")]
pub struct ClassList(Arc<[u32]>);

/// A list that is not a [`ClassList`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotClasses {
    /// The list is empty.
    #[error("expected at least one class, such as 0,3,7")]
    Empty,
    /// A label is not a class.
    #[error("expected classes from 0 to {last}, separated by commas, found {0}", last = MOST_CLASSES - 1)]
    Label(String),
    /// A class occurs twice.
    #[error("expected each class once, found {0} twice")]
    Twice(u32),
}

impl ClassList {
    /// Returns the classes from 0 to `count` - 1; class 0 for a count of 0.
    #[must_use]
    pub fn all(count: u32) -> Self {
        Self((0..count.max(1)).collect())
    }

    /// Returns the classes, in their order.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.0
    }

    /// Returns the class of a sample that is drawn with the noise of `purpose`. The class of a training
    /// sample is drawn uniformly by the sample's key; other samples take the classes in turn, by their index.
    #[must_use]
    pub fn of(&self, purpose: Purpose, sample: SampleCoordinates) -> u32 {
        let count = self.0.len();
        let index = if purpose == Purpose::Rollout {
            let mut draw = [0.0];
            sample.noise(Purpose::ClassLabel, 0).fill_uniform(&mut draw);
            ((f64::from(draw[0]) * count as f64) as usize).min(count - 1)
        } else {
            sample.sample as usize % count
        };
        self.0[index]
    }
}

impl fmt::Display for ClassList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.0.iter().map(u32::to_string).collect();
        formatter.write_str(&labels.join(","))
    }
}

impl FromStr for ClassList {
    type Err = NotClasses;

    fn from_str(text: &str) -> Result<Self, NotClasses> {
        if text.trim().is_empty() {
            return Err(NotClasses::Empty);
        }
        let label = |part: &str| {
            let refused = |_| {
                let beginning: String = part.trim().chars().take(SHOWN).collect();
                NotClasses::Label(format!("{beginning:?}"))
            };
            part.trim().parse::<i64>().map_err(refused)
        };
        text.split(',').map(label).collect::<Result<Vec<_>, _>>()?.try_into()
    }
}

impl TryFrom<Vec<i64>> for ClassList {
    type Error = NotClasses;

    fn try_from(labels: Vec<i64>) -> Result<Self, NotClasses> {
        if labels.is_empty() {
            return Err(NotClasses::Empty);
        }
        let mut seen = std::collections::HashSet::new();
        let check = |label: i64| {
            let known = u32::try_from(label).ok().filter(|label| *label < MOST_CLASSES);
            let label = known.ok_or_else(|| NotClasses::Label(label.to_string()))?;
            if seen.insert(label) { Ok(label) } else { Err(NotClasses::Twice(label)) }
        };
        labels.into_iter().map(check).collect::<Result<_, _>>().map(Self)
    }
}

impl From<ClassList> for Vec<u32> {
    fn from(list: ClassList) -> Self {
        list.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(epoch: u32, sample: u32) -> SampleCoordinates {
        SampleCoordinates { run_seed: 7, epoch, sample }
    }

    #[test]
    fn a_list_reads_back_from_its_text_and_its_json() {
        let list: ClassList = "7, 0,3".parse().unwrap();
        assert_eq!(list.labels(), [7, 0, 3]);
        assert_eq!(list.to_string().parse(), Ok(list.clone()));
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(json, "[7,0,3]");
        assert_eq!(serde_json::from_str::<ClassList>(&json).unwrap(), list);
    }

    #[test]
    fn refuses_lists_without_a_meaning() {
        for (text, expected) in [
            ("", "expected at least one class, such as 0,3,7"),
            ("1,", "expected classes from 0 to 99999, separated by commas, found \"\""),
            ("cat", "expected classes from 0 to 99999, separated by commas, found \"cat\""),
            ("-1", "expected classes from 0 to 99999, separated by commas, found -1"),
            ("100000", "expected classes from 0 to 99999, separated by commas, found 100000"),
            ("3,1,3", "expected each class once, found 3 twice"),
        ] {
            assert_eq!(text.parse::<ClassList>().unwrap_err().to_string(), expected, "{text}");
        }
        assert!(serde_json::from_str::<ClassList>("[]").is_err());
    }

    #[test]
    fn training_samples_draw_every_class_about_equally_often() {
        let list: ClassList = "2,5,9".parse().unwrap();
        let drawn: Vec<u32> =
            (0..3000).map(|index| list.of(Purpose::Rollout, sample(1, index))).collect();
        // Computed in Python by `tests/parity/keyed_noise.py`; another draw would change recorded runs.
        assert_eq!(drawn[..6], [5, 9, 5, 2, 9, 2]);
        for label in [2, 5, 9] {
            let count = drawn.iter().filter(|one| **one == label).count();
            assert!((900..1100).contains(&count), "class {label}: {count}");
        }
        let of_epoch = |epoch| -> Vec<u32> {
            (0..20).map(|index| list.of(Purpose::Rollout, sample(epoch, index))).collect()
        };
        assert_eq!(of_epoch(1), drawn[..20]);
        assert_ne!(of_epoch(1), of_epoch(2));
    }

    #[test]
    fn evaluation_samples_take_the_classes_in_turn() {
        let list: ClassList = "2,5,9".parse().unwrap();
        let found: Vec<u32> =
            (0..5).map(|index| list.of(Purpose::Evaluation, sample(0, index))).collect();
        assert_eq!(found, [2, 5, 9, 2, 5]);
        assert_eq!(ClassList::all(4).labels(), [0, 1, 2, 3]);
    }
}
