//! The background: plain, a gradient, or a simple pattern.

use crate::canvas::{Canvas, SIDE, ellipse, everything, rectangle};
use crate::face::{Backdrop, Face};

/// Paints the background over the whole picture.
pub fn paint(canvas: &mut Canvas, face: &Face) {
    let [first, second] = face.backdrop_colours;
    let all = everything();
    match face.backdrop {
        Backdrop::Plain => canvas.fill(&all, first, 1.0),
        Backdrop::Vertical => {
            canvas.fill_linear(&all, [(0.0, 0.0), (0.0, SIDE)], [first, second]);
        }
        Backdrop::Diagonal => {
            let (from, to) = if face.side > 0.0 { (0.0, SIDE) } else { (SIDE, 0.0) };
            canvas.fill_linear(&all, [(from, 0.0), (to, SIDE)], [first, second]);
        }
        Backdrop::Glow => {
            let (light, dark) =
                if first.luma() > second.luma() { (first, second) } else { (second, first) };
            canvas.fill_radial(&all, (SIDE / 2.0, 13.0), 21.0, [light, dark]);
        }
        Backdrop::Stripes => {
            canvas.fill(&all, first, 1.0);
            for left in every(4.0) {
                let stripe = match face.side > 0.0 {
                    true => rectangle((left, 0.0), (left + 2.0, SIDE)),
                    false => rectangle((0.0, left), (SIDE, left + 2.0)),
                };
                canvas.fill(&stripe, second, 1.0);
            }
        }
        Backdrop::Dots => {
            canvas.fill(&all, first, 1.0);
            for (x, y) in every(4.0).flat_map(|y| every(4.0).map(move |x| (x, y))) {
                canvas.fill(&ellipse((x + 2.0, y + 2.0), 1.2, 1.2), second, 1.0);
            }
        }
        Backdrop::Checks => {
            canvas.fill(&all, first, 1.0);
            for (x, y) in every(4.0).flat_map(|y| every(8.0).map(move |x| (x, y))) {
                let left = x + y % 8.0;
                canvas.fill(&rectangle((left, y), (left + 4.0, y + 4.0)), second, 1.0);
            }
        }
        Backdrop::Bricks => {
            canvas.fill(&all, first, 1.0);
            for (x, y) in every(4.0).flat_map(|y| every(8.0).map(move |x| (x, y))) {
                let left = x + y % 8.0;
                canvas.fill(&rectangle((0.0, y), (SIDE, y + 1.0)), second, 0.5);
                canvas.fill(&rectangle((left, y), (left + 1.0, y + 4.0)), second, 1.0);
            }
        }
    }
}

/// Returns the multiples of `pitch` along the picture's side.
fn every(pitch: f32) -> impl Iterator<Item = f32> {
    (0..).map(move |index| index as f32 * pitch).take_while(|at| *at < SIDE)
}
