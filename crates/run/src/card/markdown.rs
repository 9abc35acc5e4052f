//! Pieces of Markdown.

/// Formats a text as inline code. Replaces characters that would end the code or the table cell,
/// because names and settings are untrusted.
pub fn code(text: &str) -> String {
    let plain = |letter: char| match letter {
        '`' => '\'',
        '|' => '/',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    format!("`{}`", text.chars().map(plain).collect::<String>())
}

/// Formats a text as a title: one line, without characters that Markdown or HTML interpret.
pub fn title(text: &str) -> String {
    let odd = |letter: char| letter.is_control() || "`<>[]*".contains(letter);
    text.replace(odd, " ")
}

/// Formats a table; returns an empty string if `rows` is empty.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let rule = vec!["---".to_owned(); heading.len()];
    let lines = [heading, rule].into_iter().chain(rows.iter().cloned());
    lines.map(|cells| line(&cells)).collect()
}

/// Quotes a text as one word of a shell command.
pub fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_untrusted_text() {
        assert_eq!(code("a`b|c\nd"), "`a'b/c d`");
        assert_eq!(shell_word("google/ddpm-church-256"), "google/ddpm-church-256");
        assert_eq!(shell_word("0.7*a + it's"), "'0.7*a + it'\\''s'");
        assert_eq!(
            table(&["a", "b"], &[vec!["1".into(), "2".into()]]),
            "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
        );
        assert_eq!(table(&["a"], &[]), "");
    }
}
