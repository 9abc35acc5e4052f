//! JSON as Python's `json` module writes it.

/// The numbers that Python writes and JSON does not have, and their substitutes.
const NUMBERS: [(&str, &str); 3] =
    [("-Infinity", "-1e308"), ("Infinity", "1e308"), ("NaN", "null")];

/// Replaces infinities outside strings by large finite numbers and NaN by null, so that any parser
/// reads the text. Some of diffusers' schedulers, such as `DPMSolverMultistepScheduler`, write
/// `-Infinity`. Other texts are returned unchanged.
pub(crate) fn finite(text: String) -> String {
    if !NUMBERS.iter().any(|(number, _)| text.contains(number)) {
        return text;
    }
    let (mut out, mut rest, mut in_string) = (String::with_capacity(text.len()), &*text, false);
    while let Some(next) = rest.chars().next() {
        let number = NUMBERS.iter().find(|(number, _)| !in_string && rest.starts_with(number));
        let taken = match (number, in_string, next) {
            (Some((number, substitute)), ..) => {
                out.push_str(substitute);
                rest = &rest[number.len()..];
                continue;
            }
            // An escaped character, such as a quote, does not end the string.
            (None, true, '\\') => rest.chars().take(2).map(char::len_utf8).sum::<usize>(),
            _ => next.len_utf8(),
        };
        in_string ^= next == '"';
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::finite;

    #[test]
    fn replaces_the_numbers_of_python_outside_strings() {
        let text = r#"{"a": -Infinity, "b": [Infinity, NaN], "é\"NaN": "Infinity\\", "c": NaN}"#;
        let expected = r#"{"a": -1e308, "b": [1e308, null], "é\"NaN": "Infinity\\", "c": null}"#;
        assert_eq!(finite(text.to_owned()), expected);
        let read: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(read["a"], -1e308);
        let plain = r#"{"name": "not a number"}"#;
        assert_eq!(finite(plain.to_owned()), plain);
    }
}
