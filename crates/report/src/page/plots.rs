//! Sections of plots.

use crate::figures::Figure;
use crate::plot::svg::Inline;
use askama::Template;

/// A section of plots, two side by side on wide screens.
#[derive(Template)]
#[template(path = "plots.html")]
pub struct Plots<'a> {
    id: &'static str,
    heading: &'static str,
    one: bool,
    figures: &'a [Figure],
    pictures: Vec<String>,
}

impl<'a> Plots<'a> {
    /// Creates a section of plots in two columns.
    pub fn columns(id: &'static str, heading: &'static str, figures: &'a [Figure]) -> Self {
        Self { id, heading, one: false, figures, pictures: Vec::new() }
    }

    /// Creates a section of one plot in full width, with the pictures of its tooltips.
    pub fn wide(
        id: &'static str,
        heading: &'static str,
        figure: &'a Figure,
        pictures: Vec<String>,
    ) -> Self {
        Self { id, heading, one: true, figures: std::slice::from_ref(figure), pictures }
    }
}
