//! Scatter plots of images: hollow points before finetuning, filled ones after.

use crate::plot::drawing::{Drawing, Shape};
use crate::plot::frame::{Axis, Frame, legend};
use crate::plot::ink::Ink;

/// One image.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// Its coordinates.
    pub at: [f64; 2],
    /// Whether it was sampled after finetuning.
    pub after: bool,
    /// Text of its tooltip.
    pub hint: String,
    /// Index of its picture.
    pub picture: usize,
}

/// Draws the images.
pub fn draw(title: &str, labels: [&str; 2], spots: &[Spot], width: f64, height: f64) -> Drawing {
    let mut drawing = Drawing::new(width, height, title);
    let names = [("before".to_owned(), Ink::Before, false), ("after".to_owned(), Ink::After, true)];
    let above = legend(&mut drawing, &names);
    let axis = |side: usize| Axis::over(spots.iter().map(move |spot| spot.at[side]), 6);
    let frame = Frame::draw(&mut drawing, above, axis(0), axis(1), labels);
    // Tooltips are on top, so that covered points have theirs too.
    for after in [false, true] {
        for spot in spots.iter().filter(|spot| spot.after == after) {
            let ink = if after { Ink::After } else { Ink::Before };
            let centre = frame.place((spot.at[0], spot.at[1]));
            drawing.shapes.push(Shape::Dot { centre, radius: 4.0, ink, filled: after });
        }
    }
    for spot in spots {
        let centre = frame.place((spot.at[0], spot.at[1]));
        drawing.hint(centre, (11.0, 11.0), spot.hint.clone(), Some(spot.picture));
    }
    drawing
}
