//! The background: plain, a gradient, or a simple pattern.

use crate::canvas::{Canvas, SIDE, ellipse, everything, rectangle};
use crate::face::{Backdrop, Face};

/// Covers the whole picture.
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
            for stripe in 0..4 {
                let left = stripe as f32 * 8.0;
                canvas.fill(&rectangle((left, 0.0), (left + 4.0, SIDE)), second, 0.55);
            }
        }
        Backdrop::Dots => {
            canvas.fill(&all, first, 1.0);
            for dot in 0..16 {
                let centre = ((dot % 4) as f32 * 8.0 + 4.0, (dot / 4) as f32 * 8.0 + 4.0);
                canvas.fill(&ellipse(centre, 1.5, 1.5), second, 0.6);
            }
        }
    }
}
