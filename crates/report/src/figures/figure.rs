//! A plot in all sizes, and helpers for plots over epochs.

use crate::plot::drawing::Drawing;
use crate::plot::lines::{Lines, Point, Series};

/// Size of a plot in half the width of the page.
pub const HALF: (f64, f64) = (540.0, 290.0);
/// Size of a plot in the full width of the page.
pub const WHOLE: (f64, f64) = (1080.0, 360.0);
/// Size of a plot on a narrow screen.
pub const NARROW: (f64, f64) = (352.0, 270.0);

/// A plot in the sizes that the page needs.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name of its files, without the extension.
    pub name: String,
    /// Its heading.
    pub heading: String,
    /// How to read it.
    pub caption: String,
    /// For wide screens and for files.
    pub wide: Drawing,
    /// For narrow screens.
    pub narrow: Drawing,
}

impl Figure {
    /// Draws a line plot; `size` is that of wide screens.
    pub fn of_lines(name: &str, caption: &str, lines: &Lines, size: (f64, f64)) -> Self {
        Self {
            name: name.to_owned(),
            heading: lines.title.clone(),
            caption: caption.to_owned(),
            wide: lines.draw(size.0, size.1),
            narrow: lines.draw(NARROW.0, NARROW.1),
        }
    }
}

/// Creates a plot over epochs.
pub fn over_epochs(title: &str, y_label: &str, from_zero: bool, series: Vec<Series>) -> Lines {
    Lines {
        title: title.to_owned(),
        x_label: "epoch".into(),
        y_label: y_label.to_owned(),
        whole: true,
        from_zero,
        series,
    }
}

/// Creates a point without spread.
pub fn point(x: f64, y: f64, hint: String) -> Point {
    Point { x, y, spread: 0.0, hint }
}
