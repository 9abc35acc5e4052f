//! Received texts: bounded, and safe for a log.

use crate::limits::Limits;
use crate::malformed::Malformed;

/// Returns a text that must not be empty.
pub(super) fn required(
    field: &'static str,
    text: String,
    limits: &Limits,
) -> Result<String, Malformed> {
    optional(field, text, limits)?.ok_or(Malformed::Missing(field))
}

/// Returns a text that may be empty.
pub(super) fn optional(
    field: &'static str,
    text: String,
    limits: &Limits,
) -> Result<Option<String>, Malformed> {
    let (limit, found) = (limits.max_text_bytes, text.len());
    if found > limit {
        return Err(Malformed::TextTooLong { field, limit, found });
    }
    if text.chars().any(char::is_control) {
        return Err(Malformed::ControlCharacter(field));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Returns a reason or an id for messages: cut to `limit` bytes, with control characters replaced.
pub fn shown(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if shown.len() + character.len_utf8() > limit {
            break;
        }
        shown.push(character);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_cut_between_characters() {
        assert_eq!(shown("aé\nb", 3), "aé");
        assert_eq!(shown("aé\nb", 2), "a");
        assert_eq!(shown("aé\nb", 9), "aé b");
    }
}
