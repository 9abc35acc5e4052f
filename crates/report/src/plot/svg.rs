//! Writes a drawing as SVG: inline, coloured by the page's CSS variables, or as a file that contains
//! its colours for light and dark themes.

use crate::plot::drawing::{Anchor, Drawing, Place, Shape};
use crate::plot::ink::Ink;
use askama::Template;

/// A drawing as an element of a page.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "plot_inline.svg")]
pub struct Inline<'a> {
    drawing: &'a Drawing,
    class: &'a str,
    tooltips: bool,
}

impl<'a> Inline<'a> {
    /// Creates the element; `class` is `wide` or `narrow`, the screens that it is for.
    pub fn new(drawing: &'a Drawing, class: &'a str) -> Self {
        Self { drawing, class, tooltips: true }
    }
}

#[derive(Template)]
#[template(path = "plot_file.svg")]
struct File<'a> {
    drawing: &'a Drawing,
    tooltips: bool,
}

/// Returns the drawing as the text of a file.
///
/// # Errors
/// As [`Template::render`].
pub fn file(drawing: &Drawing) -> askama::Result<String> {
    File { drawing, tooltips: false }.render()
}

fn points_attribute(points: &[Place]) -> String {
    let pair = |(x, y): &Place| format!("{},{}", short(x), short(y));
    points.iter().map(pair).collect::<Vec<_>>().join(" ")
}

fn anchor_name(anchor: &Anchor) -> &'static str {
    match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    }
}

/// Rounds to a tenth of a pixel.
fn short(value: &f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
