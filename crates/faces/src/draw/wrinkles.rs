//! Wrinkles.

use crate::canvas::{Canvas, arc};
use crate::draw::layout::Layout;
use crate::face::Face;

/// Paints lines on the forehead, at the eyes, and from nose to mouth, with the face's depth.
pub fn paint(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    let depth = face.wrinkles;
    if depth <= 0.02 {
        return;
    }
    let line = face.skin.darker(0.42);
    let x = layout.x;
    let lines = if depth > 0.55 { 2 } else { 1 };
    for row in 0..lines {
        let y = layout.brow - 1.6 - 1.5 * row as f32;
        let half = layout.half * (0.56 - 0.06 * row as f32);
        let furrow = arc((x - half, y + 0.2), (x, y - 0.7), (x + half, y + 0.2));
        canvas.stroke(&furrow, 0.5, line, 0.75 * depth);
    }
    for side in [-1.0, 1.0] {
        let eye = x + side * layout.apart;
        let under = layout.eye + face.eye + 0.5;
        let bag = arc((eye - 1.7, under - 0.3), (eye, under + 1.1), (eye + 1.7, under - 0.3));
        canvas.stroke(&bag, 0.55, line, 0.8 * depth);
        let wing = (x + side * 2.1, layout.nose - 0.2);
        let corner = (x + side * 3.9, layout.mouth + 0.4);
        let fold = arc(wing, (x + side * 3.9, layout.nose + 0.9), corner);
        canvas.stroke(&fold, 0.65, line, 0.85 * depth);
        let outer = x + side * (layout.apart + face.eye * 1.3);
        for (rise, far) in [(-0.9, 1.2), (0.6, 1.2)] {
            let from = (outer, layout.eye + 0.3 * rise);
            let to = (outer + side * far, layout.eye + rise);
            canvas.stroke(&arc(from, from, to), 0.4, line, 0.7 * depth);
        }
    }
}
