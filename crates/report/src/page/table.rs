//! Tables of a page.

use askama::Template;

/// A table with a row of headings.
#[derive(Template)]
#[template(path = "table.html")]
pub struct Table {
    /// Class of the element.
    pub class: &'static str,
    /// Headings of the columns.
    pub headings: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}
