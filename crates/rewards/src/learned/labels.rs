//! Parses the ages in a classifier's labels, and splits the classes at an age.

use crate::vision::error::VisionError;

/// The ages of a class, in whole years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeClass {
    /// The youngest.
    pub from: u32,
    /// The oldest; `None` for a class without an upper end.
    pub to: Option<u32>,
}

/// Parses the ages in a label such as `20-29`, `more than 70` or `70+`; `None` for any other text.
pub fn parse_age(label: &str) -> Option<AgeClass> {
    let text = label.trim().trim_matches(['(', ')']).trim();
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|age| *age <= 200);
    for lead in ["more than ", "over "] {
        if let Some(age) = text.strip_prefix(lead) {
            return Some(AgeClass { from: number(age)?, to: None });
        }
    }
    if let Some(age) = text.strip_suffix('+') {
        return Some(AgeClass { from: number(age)?, to: None });
    }
    let (from, to) = text.split_once('-')?;
    let class = AgeClass { from: number(from)?, to: Some(number(to)?) };
    (class.to >= Some(class.from)).then_some(class)
}

/// Returns the indices of the classes from `age` up, and of the classes below it.
///
/// # Errors
/// [`VisionError::Labels`] if a label does not name an age, if the classes have gaps or overlap, if a
/// class contains ages on both sides of `age`, or if a side is empty.
pub fn split_at(labels: &[String], age: u32) -> Result<(Vec<usize>, Vec<usize>), VisionError> {
    let refuse = |what: String| {
        let listed = labels.iter().map(|label| format!("\"{label}\"")).collect::<Vec<_>>();
        VisionError::Labels(what, listed.join(", "))
    };
    let mut classes = Vec::with_capacity(labels.len());
    for (index, label) in labels.iter().enumerate() {
        let class = parse_age(label).ok_or_else(|| {
            refuse(format!(
                "expected labels such as \"20-29\" or \"more than 70\", found \"{label}\""
            ))
        })?;
        classes.push((class, index));
    }
    classes.sort_by_key(|(class, _)| class.from);
    for pair in classes.windows(2) {
        let (low, high) = (pair[0].0, pair[1].0);
        match low.to {
            Some(to) if to + 1 == high.from => {}
            Some(to) if to < high.from => {
                let (from, to) = (to + 1, high.from - 1);
                return Err(refuse(format!("no label for the ages {from} to {to}")));
            }
            _ => return Err(refuse(format!("two labels for the age {}", high.from))),
        }
    }
    if classes.iter().any(|(class, _)| class.from < age && class.to.is_none_or(|to| to >= age)) {
        return Err(refuse(format!("expected a class that begins at {age}")));
    }
    let (old, young): (Vec<_>, Vec<_>) =
        classes.into_iter().partition(|(class, _)| class.from >= age);
    if old.is_empty() || young.is_empty() {
        return Err(refuse(format!("expected classes from {age} up, and others below")));
    }
    let indices = |classes: Vec<(AgeClass, usize)>| {
        let mut indices: Vec<usize> = classes.into_iter().map(|(_, index)| index).collect();
        indices.sort_unstable();
        indices
    };
    Ok((indices(old), indices(young)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 9] =
        ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"];

    fn labels(without: &str) -> Vec<String> {
        LABELS.into_iter().filter(|label| *label != without).map(str::to_owned).collect()
    }

    #[test]
    fn finds_classes_by_label_in_any_order() {
        assert_eq!(split_at(&labels(""), 50).unwrap().0, [6, 7, 8]);
        assert_eq!(split_at(&labels(""), 30).unwrap().1, [0, 1, 2, 3]);
        let mut turned = labels("");
        turned.reverse();
        assert_eq!(split_at(&turned, 50).unwrap().0, [0, 1, 2]);
        assert_eq!(split_at(&turned, 30).unwrap().1, [5, 6, 7, 8]);
    }

    #[test]
    fn names_the_ages_without_a_label() {
        let found = split_at(&labels("50-59"), 50).unwrap_err().to_string();
        assert!(found.starts_with("age classes: no label for the ages 50 to 59; "), "{found}");
        assert!(split_at(&labels("more than 70"), 70).is_err());
    }

    #[test]
    fn rejects_labels_without_ages_or_with_overlaps() {
        for bad in ["cat", "LABEL_0", "9-3", "-1-4", "10-", "20-39", "49-59"] {
            let mut labels = labels("");
            labels[6] = bad.to_owned();
            assert!(split_at(&labels, 50).is_err(), "{bad}");
        }
        let found = split_at(&["0-39".to_owned(), "40-60".to_owned(), "61+".to_owned()], 50);
        let text = found.unwrap_err().to_string();
        assert!(text.contains("expected a class that begins at 50"), "{text}");
    }

    #[test]
    fn parses_three_spellings_of_open_ends() {
        let open = Some(AgeClass { from: 70, to: None });
        assert_eq!([parse_age("more than 70"), parse_age("70+"), parse_age("over 70")], [open; 3]);
        assert_eq!(parse_age(" (25-32) "), Some(AgeClass { from: 25, to: Some(32) }));
    }
}
