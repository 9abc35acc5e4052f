//! Text into HTML.

/// Text with the signs that mean something in HTML written so that they do not; line breaks stay
/// ones also inside an attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' => out += "&#10;",
            other => out.push(other),
        }
    }
    out
}

/// JSON that may stand inside a script element: nothing in it can end the element.
#[must_use]
pub fn json<T: serde::Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
    text.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A section with a heading and an identity to link to.
#[must_use]
pub fn section(id: &str, heading: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{}</h2>\n{body}\n</section>\n", escape(heading))
}

/// A paragraph that stands back.
#[must_use]
pub fn quiet(text: &str) -> String {
    format!("<p class=\"quiet\">{}</p>\n", escape(text))
}

/// A table: headings, and rows of cells.
#[must_use]
pub fn table(class: &str, headings: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = String>| -> String {
        cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(&cell))).collect()
    };
    let head = cells("th", &mut headings.iter().map(|text| (*text).to_owned()));
    let body: String = rows
        .iter()
        .map(|row| format!("<tr>{}</tr>\n", cells("td", &mut row.iter().cloned())))
        .collect();
    format!(
        "<div class=\"wide-table\"><table class=\"{class}\"><thead><tr>{head}</tr></thead>\n\
         <tbody>{body}</tbody></table></div>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_text_or_script() {
        assert_eq!(escape("<a href='x'>\"&\n"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&#10;");
        assert_eq!(json(&"</script>"), "\"\\u003c/script>\"");
    }
}
