//! The one rule by which errors and their causes become text.
//!
//! A message may quote its cause or leave it out, in any crate. [`one_line`] joins the messages of a chain
//! and leaves out each that is already there, so no message needs to know who prints it.

use std::error::Error;

/// Returns an error and its causes in one line, each text once.
///
/// Line breaks become spaces. Other control characters are escaped, because a message may quote a file.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let text = flat(&error.to_string());
        if text.is_empty() || quotes(&line, &text) {
            continue;
        }
        if !line.is_empty() {
            line += ": ";
        }
        line += &text;
    }
    cut(line)
}

/// Largest number of characters of a line. A message may quote a value, which may have any length.
const MOST: usize = 4000;

/// Returns a line of at most [`MOST`] characters: the start and the end of a longer one.
fn cut(line: String) -> String {
    let count = line.chars().count();
    if count <= MOST {
        return line;
    }
    let start: String = line.chars().take(MOST / 2).collect();
    let end: String = line.chars().skip(count - MOST / 2).collect();
    format!("{start} ... {end}")
}

/// Returns whether `line` contains `text`, and not only as a part of a longer word or number.
fn quotes(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + text.len()..]);
        let joins = |inner: Option<char>, outer: Option<char>| {
            let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
            is_word(inner) && is_word(outer)
        };
        !joins(text.chars().next(), before.chars().next_back())
            && !joins(text.chars().next_back(), after.chars().next())
    })
}

/// Returns the text in one line that a terminal can show.
fn flat(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join(" ");
    let mut shown = String::with_capacity(joined.len());
    for letter in joined.chars() {
        match letter {
            '\t' => shown.push(' '),
            letter if letter.is_control() => shown.extend(letter.escape_default()),
            letter => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use thiserror::Error;

    /// An error whose message may quote its cause anywhere.
    #[derive(Clone, Debug, Error)]
    #[error("{}", text(name, *quote, cause.as_deref()))]
    struct Link {
        name: String,
        quote: Quote,
        #[source]
        cause: Option<Box<Self>>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Quote {
        None,
        AtEnd,
        BeforeHint,
        Alone,
    }

    fn text(name: &str, quote: Quote, cause: Option<&Link>) -> String {
        match (quote, cause) {
            (Quote::None, _) | (_, None) => name.to_owned(),
            (Quote::AtEnd, Some(cause)) => format!("{name}: {cause}"),
            (Quote::BeforeHint, Some(cause)) => format!("{name}: {cause}; hint: try again"),
            (Quote::Alone, Some(cause)) => cause.to_string(),
        }
    }

    fn chain(quotes: &[Quote]) -> Link {
        let mut links = quotes.iter().enumerate().rev();
        let (last, &quote) = links.next().expect("a link");
        let first = Link { name: format!("part-{last}-failed"), quote, cause: None };
        links.fold(first, |cause, (index, &quote)| Link {
            name: format!("part-{index}-failed"),
            quote,
            cause: Some(Box::new(cause)),
        })
    }

    proptest! {
        #[test]
        fn every_message_of_a_chain_appears_once(
            quotes in prop::collection::vec(
                prop::sample::select(
                    vec![Quote::None, Quote::AtEnd, Quote::BeforeHint, Quote::Alone],
                ),
                1..7,
            )
        ) {
            let line = one_line(&chain(&quotes));
            let last = quotes.len() - 1;
            for (index, quote) in quotes.iter().enumerate() {
                let count = line.matches(&format!("part-{index}-failed")).count();
                let is_shown = index == last || !matches!(quote, Quote::Alone);
                prop_assert_eq!(count, usize::from(is_shown), "{}", line);
            }
        }
    }

    #[test]
    fn a_cause_is_not_lost_in_a_longer_word() {
        let cause = Link { name: "part".into(), quote: Quote::None, cause: None };
        let whole = |name: &str| {
            one_line(&Link {
                name: name.into(),
                quote: Quote::None,
                cause: Some(Box::new(cause.clone())),
            })
        };
        assert_eq!(whole("partition"), "partition: part");
        assert_eq!(whole("a part; hint: wait"), "a part; hint: wait");
    }

    #[test]
    fn a_long_message_keeps_its_start_and_its_end() {
        let name = format!("task = {}: expected a name", "é".repeat(10_000));
        let line = one_line(&Link { name, quote: Quote::None, cause: None });
        assert!(line.starts_with("task = é") && line.ends_with(": expected a name"), "{line}");
        assert!(line.chars().count() <= MOST + 5 && line.contains("é ... é"), "{line}");
    }

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        let odd = Link { name: "a\n  b\r\n\u{1b}[31m\tc".into(), quote: Quote::None, cause: None };
        assert_eq!(one_line(&odd), "a b \\u{1b}[31m c");
    }
}
