//! The ages of a classifier's labels, for labels that do not state them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Separates a label from its ages in [`AgeSpec::classes`](crate::reward::AgeSpec).
const IS: &str = " = ";

/// Labels with their ages; `young=0-29, old=30+` in settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AgeClasses(Vec<(String, String)>);

/// Errors from ages of labels.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AgeClassesError {
    /// The text is not a list of labels with ages.
    #[error("expected LABEL=AGES, several of them separated by commas, found \"{found}\"")]
    Unreadable {
        /// The part of the text that has another form.
        found: String,
    },
    /// A label has ages twice.
    #[error("expected each label once, found \"{label}\" twice")]
    Twice {
        /// The label.
        label: String,
    },
    /// The classifier does not have a label.
    #[error(
        "age_classes: expected labels of the classifier, found \"{label}\"; its labels: {labels}"
    )]
    Unknown {
        /// The label in the settings.
        label: String,
        /// The classifier's labels.
        labels: String,
    },
}

impl AgeClasses {
    /// Returns the classes of a classifier with `labels`: the label alone, or with its ages.
    ///
    /// # Errors
    /// [`AgeClassesError::Unknown`] if the classifier does not have one of the labels.
    pub fn of(&self, labels: &[String]) -> Result<Vec<String>, AgeClassesError> {
        if let Some((label, _)) = self.0.iter().find(|(label, _)| !labels.contains(label)) {
            let listed: Vec<String> = labels.iter().map(|label| format!("\"{label}\"")).collect();
            let (label, labels) = (label.clone(), listed.join(", "));
            return Err(AgeClassesError::Unknown { label, labels });
        }
        let class = |label: &String| match self.0.iter().find(|(named, _)| named == label) {
            Some((_, ages)) => format!("{label}{IS}{ages}"),
            None => label.clone(),
        };
        Ok(labels.iter().map(class).collect())
    }

    /// Splits a class into its label and the text of its ages, which is the label by default.
    pub fn parts(class: &str) -> (&str, &str) {
        class.split_once(IS).unwrap_or((class, class))
    }
}

impl FromStr for AgeClasses {
    type Err = AgeClassesError;

    fn from_str(text: &str) -> Result<Self, AgeClassesError> {
        let mut classes: Vec<(String, String)> = Vec::new();
        for part in text.split(',').filter(|_| !text.trim().is_empty()) {
            let unreadable = || AgeClassesError::Unreadable { found: part.trim().to_owned() };
            let (label, ages) = part.rsplit_once('=').ok_or_else(unreadable)?;
            let (label, ages) = (label.trim().to_owned(), ages.trim().to_owned());
            if label.is_empty() || ages.is_empty() {
                return Err(unreadable());
            }
            if classes.iter().any(|(other, _)| *other == label) {
                return Err(AgeClassesError::Twice { label });
            }
            classes.push((label, ages));
        }
        Ok(Self(classes))
    }
}

impl TryFrom<String> for AgeClasses {
    type Error = AgeClassesError;

    fn try_from(text: String) -> Result<Self, AgeClassesError> {
        text.parse()
    }
}

impl From<AgeClasses> for String {
    fn from(classes: AgeClasses) -> Self {
        classes.to_string()
    }
}

impl fmt::Display for AgeClasses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.0.iter().map(|(label, ages)| format!("{label}={ages}")).collect();
        formatter.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_ages_to_the_labels_that_it_names() {
        let classes: AgeClasses = "young=0-29,  middle aged = 30-49".parse().unwrap();
        assert_eq!(classes.to_string(), "young=0-29, middle aged=30-49");
        assert_eq!(classes.to_string().parse(), Ok(classes.clone()));
        let labels = ["50+", "middle aged", "young"].map(str::to_owned);
        let found = classes.of(&labels).unwrap();
        assert_eq!(found, ["50+", "middle aged = 30-49", "young = 0-29"]);
        let parts: Vec<_> = found.iter().map(|class| AgeClasses::parts(class)).collect();
        assert_eq!(parts, [("50+", "50+"), ("middle aged", "30-49"), ("young", "0-29")]);
        assert_eq!(AgeClasses::default().of(&labels).unwrap(), labels);
        assert_eq!("".parse(), Ok(AgeClasses::default()));
    }

    #[test]
    fn rejects_other_texts_and_labels() {
        for text in ["young", "young=", "=3", "young=0-29,", "a=1, a=2"] {
            assert!(text.parse::<AgeClasses>().is_err(), "{text}");
        }
        let classes: AgeClasses = "old=50+".parse().unwrap();
        let found = classes.of(&["young".to_owned()]).unwrap_err().to_string();
        assert!(found.ends_with("found \"old\"; its labels: \"young\""), "{found}");
    }
}
