//! Parses the ages in a classifier's labels, and splits the classes at an age.

use crate::vision::error::VisionError;
use ddpo_rollout::reward::AgeClasses;

/// The ages of a class, in whole years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeClass {
    /// The youngest.
    pub from: u32,
    /// The oldest; `None` for a class without an upper end.
    pub to: Option<u32>,
}

/// Words before and after the ages in a label; they do not change the meaning.
const BEFORE: [&str; 4] = ["age group", "ages", "aged", "age"];
const AFTER: [&str; 7] = ["years old", "years", "year", "yrs", "y.o.", "yo", "y"];

/// Words of a class without an upper end.
const OPEN_BEFORE: [&str; 8] =
    ["more than ", "older than ", "at least ", "above ", "over ", "from ", ">=", ">"];
const OPEN_AFTER: [&str; 6] =
    ["+", " and over", " and older", " and above", " or older", " or over"];

/// Words of the youngest class: `under 20` excludes the age 20, `up to 20` includes it.
const BELOW_BEFORE: [&str; 4] = ["less than ", "younger than ", "under ", "below "];
const UP_TO_BEFORE: [&str; 2] = ["up to ", "<="];
const UP_TO_AFTER: [&str; 4] = [" and under", " and younger", " or younger", " or under"];

/// Oldest age in a label.
const OLDEST: u32 = 200;

/// Parses the ages in a label such as `20-29`, `06-07`, `age 20 to 29`, `(25, 32)`, `more than 70`,
/// `90+`, `under 3` or `42`; `None` for any other text.
pub fn parse_age(label: &str) -> Option<AgeClass> {
    let text = plain(label);
    let text = text.as_str();
    let open = |from| Some(AgeClass { from, to: None });
    let up_to = |to| Some(AgeClass { from: 0, to: Some(to) });
    if let Some(rest) = after(text, &OPEN_BEFORE) {
        return open(number(rest)?);
    }
    if let Some(rest) = before(text, &OPEN_AFTER) {
        return open(number(rest)?);
    }
    if let Some(rest) = after(text, &UP_TO_BEFORE).or_else(|| before(text, &UP_TO_AFTER)) {
        return up_to(number(rest)?);
    }
    if let Some(rest) = after(text, &BELOW_BEFORE).or_else(|| text.strip_prefix('<')) {
        return up_to(number(rest)?.checked_sub(1)?);
    }
    if let Some(age) = number(text) {
        return Some(AgeClass { from: age, to: Some(age) });
    }
    let (from, to) = ["-", " to ", ","].iter().find_map(|between| text.split_once(between))?;
    let class = AgeClass { from: number(from)?, to: Some(number(to)?) };
    (class.to >= Some(class.from)).then_some(class)
}

/// Returns a label in lower case, with plain dashes, without brackets and words such as "age".
fn plain(label: &str) -> String {
    let lower = label.to_lowercase().replace(['\u{2013}', '\u{2014}'], "-").replace('_', " ");
    let mut text = lower.trim().trim_matches(['(', ')', '[', ']']).trim();
    if let Some(rest) = after(text, &BEFORE) {
        text = rest.trim_start_matches([':', ' ', '-']);
    }
    if let Some(rest) = before(text, &AFTER) {
        text = rest.trim_end();
    }
    text.trim_matches(['(', ')', '[', ']']).trim().to_owned()
}

/// Removes the first of `words` that the text begins with.
fn after<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| text.strip_prefix(word))
}

/// Removes the first of `words` that the text ends with.
fn before<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| text.strip_suffix(word))
}

fn number(text: &str) -> Option<u32> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|age| is_number && *age <= OLDEST)
}

/// Returns the indices of the classes from `age` up, and of the classes below it.
///
/// # Errors
/// [`VisionError::Labels`] if a label does not name an age, if the classes have gaps or overlap, if a
/// class contains ages on both sides of `age`, or if a side is empty.
pub fn split_at(labels: &[String], age: u32) -> Result<(Vec<usize>, Vec<usize>), VisionError> {
    let refuse = |what: String| {
        let listed = labels.iter().map(|class| format!("\"{}\"", AgeClasses::parts(class).0));
        let hint = "; hint: name the ages of labels with age_classes = \"LABEL=20-29, ..\"";
        VisionError::Labels(what, listed.collect::<Vec<_>>().join(", ") + hint)
    };
    let mut classes = Vec::with_capacity(labels.len());
    for (index, label) in labels.iter().enumerate() {
        let ages = AgeClasses::parts(label).1;
        let class = parse_age(ages).ok_or_else(|| {
            refuse(format!(
                "expected labels such as \"20-29\" or \"more than 70\", found \"{ages}\""
            ))
        })?;
        classes.push((class, index));
    }
    classes.sort_by_key(|(class, _)| (class.from, class.to.is_none()));
    begin_after_the_last_range(&mut classes);
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

/// Moves the start of an open class: "90+" after "81-90" begins at 91, as does "over 90".
fn begin_after_the_last_range(classes: &mut [(AgeClass, usize)]) {
    if let [.., (before, _), (last, _)] = classes
        && last.to.is_none()
        && before.to == Some(last.from)
    {
        last.from += 1;
    }
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
    fn parses_the_spellings_of_published_classifiers() {
        let class = |from, to| Some(AgeClass { from, to });
        for text in [
            "more than 70",
            "70+",
            "over 70",
            "70 +",
            "70 and over",
            "70 or older",
            ">70",
            ">= 70",
            "above 70",
            "age 70+",
            "AGE_70+",
            "70+ years",
        ] {
            assert_eq!(parse_age(text), class(70, None), "{text}");
        }
        for text in [
            " (25-32) ",
            "(25, 32)",
            "25 - 32",
            "25\u{2013}32",
            "25 to 32",
            "age 25-32",
            "Age: 25-32",
            "age_25-32",
            "ages 25-32",
            "25-32 years old",
            "age group 25-32",
            "25-32 yo",
        ] {
            assert_eq!(parse_age(text), class(25, Some(32)), "{text}");
        }
        assert_eq!(parse_age("06-07"), class(6, Some(7)));
        assert_eq!(parse_age("05"), class(5, Some(5)));
        for text in ["under 3", "less than 3", "<3", "0-2", "up to 2", "<= 2", "2 and under"] {
            assert_eq!(parse_age(text), class(0, Some(2)), "{text}");
        }
        for text in
            ["", "young", "age", "70++", "+70", "2O-29", "20-29-39", "under 0", "3.5", "201"]
        {
            assert_eq!(parse_age(text), None, "{text}");
        }
    }

    #[test]
    fn an_open_class_may_repeat_the_last_age_of_the_class_before() {
        let labels = ["01", "02-49", "50-80", "81-90", "90+"].map(str::to_owned);
        assert_eq!(split_at(&labels, 50).unwrap(), (vec![2, 3, 4], vec![0, 1]));
        let labels = ["0-50", "50+"].map(str::to_owned);
        let found = split_at(&labels, 50).unwrap_err().to_string();
        assert!(found.contains("expected a class that begins at 50"), "{found}");
    }

    #[test]
    fn ages_of_words_come_from_the_classes() {
        let labels = ["old = 50+", "young = 0-29", "30-49"].map(str::to_owned);
        assert_eq!(split_at(&labels, 50).unwrap(), (vec![0], vec![1, 2]));
        let labels = ["old", "young = 0-49"].map(str::to_owned);
        let found = split_at(&labels, 50).unwrap_err().to_string();
        let expected = "age classes: expected labels such as \"20-29\" or \"more than 70\", found \
                        \"old\"; found the labels \"old\", \"young\"; hint: name the ages of labels \
                        with age_classes = \"LABEL=20-29, ..\"";
        assert_eq!(found, expected);
    }
}
