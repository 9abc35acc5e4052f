//! The bare head: ears, skin, cheeks.

use crate::canvas::{Canvas, ellipse};
use crate::colour::Colour;
use crate::draw::layout::Layout;
use crate::face::{Beard, Face, ramp};

/// Colour of a blush and of natural lips.
pub const ROSE: Colour = Colour::hex(0xd2555a);

/// Paints ears and head, lit from the face's side, and the beard on it.
pub fn paint(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    let shade = face.skin.darker(0.14);
    for side in [-1.0, 1.0] {
        let ear = (layout.x + side * (layout.half + 0.2), layout.eye + 1.2);
        canvas.fill(&ellipse(ear, 1.25, 2.1), shade, 1.0);
    }
    let head = layout.head(face.jaw, 0.0);
    canvas.fill(&layout.head(face.jaw, 0.35), face.skin.darker(0.42), 0.55);
    let lit = layout.x + face.side * layout.half;
    let dark = layout.x - face.side * layout.half;
    let tones = [face.skin.lighter(0.08), face.skin.darker(0.09)];
    canvas.fill_linear(&head, [(lit, layout.top), (dark, layout.chin)], tones);

    let inside = canvas.region(&head);
    if face.beard == Beard::Full {
        let chin = (layout.x, layout.mouth + 3.2);
        canvas.fill_in(&inside, &ellipse(chin, layout.half + 1.0, 6.4), face.hair, 0.85);
        let cheeks = (layout.x, layout.mouth - 5.2);
        let tones = [face.skin.lighter(0.03), face.skin.darker(0.04)];
        let ends = [(lit, layout.top), (dark, layout.chin)];
        canvas.fill_linear(&ellipse(cheeks, layout.half - 1.2, 5.4), ends, tones);
    }
    let bearded = if face.beard == Beard::Full { 0.4 } else { 1.0 };
    let blush = bearded * 0.15 + 0.16 * ramp(face.years, 16.0, 4.0);
    for side in [-1.0, 1.0] {
        let cheek = (layout.x + side * layout.half * 0.6, layout.nose + 0.4);
        canvas.fill_in(&inside, &ellipse(cheek, 1.7, 1.1), ROSE, blush);
    }
}
