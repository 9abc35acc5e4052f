//! Pieces of Markdown.

/// A text between backticks: names and settings are somebody else's, so what could end the code or
/// the cell of a table is taken out.
pub fn code(text: &str) -> String {
    let plain = |letter: char| match letter {
        '`' => '\'',
        '|' => '/',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    format!("`{}`", text.chars().map(plain).collect::<String>())
}

/// A text as a title: on one line, without what Markdown or HTML would read in it.
pub fn title(text: &str) -> String {
    let odd = |letter: char| letter.is_control() || "`<>[]*".contains(letter);
    text.replace(odd, " ")
}

/// A table: its heading, then its rows; none without rows.
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

/// A word of a shell's command line.
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
    fn other_people_s_text_ends_neither_code_nor_cell_nor_word() {
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
