//! Style and script that the report and the live page share.

use crate::plot::ink::Ink;

const STYLE: &str = include_str!("../../assets/page.css");

/// The script of a page: theme, tooltips, and the slider over checkpoints if the page has one.
pub const SCRIPT: &str = include_str!("../../assets/page.js");

/// Returns the style of a page, with the colours of its plots as CSS variables.
pub fn style() -> String {
    let (light, dark) = (Ink::variables(0), Ink::variables(1));
    format!(
        ":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root:not([data-theme=\"light\"]){{{dark}}}}}\n\
         :root[data-theme=\"dark\"]{{{dark}}}\n@media print{{:root:root:root{{{light}}}}}\n{STYLE}"
    )
}
