//! A plot as a list of shapes, independent of the output format.

use crate::plot::ink::Ink;

/// Height of the small text in pixels.
pub const TEXT: f64 = 12.0;

/// A position from the top left corner, in pixels.
pub type Place = (f64, f64);

/// The part of a text that its position refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The start.
    Start,
    /// The middle.
    Middle,
    /// The end.
    End,
}

/// One shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A line through points.
    Path {
        /// The points.
        points: Vec<Place>,
        /// Its colour.
        ink: Ink,
        /// Its width.
        width: f64,
    },
    /// A filled polygon.
    Area {
        /// Its corners.
        points: Vec<Place>,
        /// Its colour.
        ink: Ink,
        /// Opacity, 0 to 1.
        opacity: f64,
    },
    /// A circle, filled or not.
    Dot {
        /// Its centre.
        centre: Place,
        /// Its radius.
        radius: f64,
        /// Its colour.
        ink: Ink,
        /// Whether it is filled.
        filled: bool,
    },
    /// A line of text; the position is on its baseline.
    Text {
        /// The position.
        at: Place,
        /// The text.
        text: String,
        /// Its colour.
        ink: Ink,
        /// The part of the text at the position.
        anchor: Anchor,
    },
    /// An invisible area with a tooltip; on the page only.
    Hint {
        /// Its top left corner.
        corner: Place,
        /// Width and height.
        size: Place,
        /// Text of the tooltip, line by line.
        text: String,
        /// Index of the picture in the tooltip.
        picture: Option<usize>,
    },
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// Title for screen readers.
    pub title: String,
    /// Its shapes, from back to front.
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// Creates an empty plot.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.to_owned(), shapes: Vec::new() }
    }

    /// Adds a straight line.
    pub fn line(&mut self, from: Place, to: Place, ink: Ink, width: f64) {
        self.shapes.push(Shape::Path { points: vec![from, to], ink, width });
    }

    /// Adds a line of text.
    pub fn text(&mut self, at: Place, text: impl Into<String>, ink: Ink, anchor: Anchor) {
        self.shapes.push(Shape::Text { at, text: text.into(), ink, anchor });
    }

    /// Adds a filled rectangle.
    pub fn rectangle(&mut self, (left, top): Place, (wide, high): Place, ink: Ink, opacity: f64) {
        let (right, foot) = (left + wide, top + high);
        let points = vec![(left, top), (right, top), (right, foot), (left, foot)];
        self.shapes.push(Shape::Area { points, ink, opacity });
    }

    /// Adds a tooltip to the area around `centre`.
    pub fn hint(&mut self, centre: Place, size: Place, text: String, picture: Option<usize>) {
        let corner = (centre.0 - size.0 / 2.0, centre.1 - size.1 / 2.0);
        self.shapes.push(Shape::Hint { corner, size, text, picture });
    }
}
