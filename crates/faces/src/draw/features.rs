//! Eyes, brows, nose, mouth, moustache and glasses.

use tiny_skia::PathBuilder;

use crate::canvas::{Canvas, arc, ellipse};
use crate::colour::Colour;
use crate::draw::head::ROSE;
use crate::draw::layout::Layout;
use crate::face::{Beard, Face, Glasses, Mouth, ramp};

const INK: Colour = Colour::hex(0x1b1416);
const WHITE: Colour = Colour::hex(0xfcfcfa);

/// Paints everything on the face except the glasses.
pub fn paint(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    for side in [-1.0, 1.0] {
        eye(canvas, face, (layout.x + side * layout.apart, layout.eye), side);
        brow(canvas, face, layout, side);
    }
    nose(canvas, face, layout);
    if face.beard != Beard::None {
        let from = (layout.x - 2.6, layout.mouth - 0.5);
        let to = (layout.x + 2.6, layout.mouth - 0.5);
        let lip = arc(from, (layout.x, layout.mouth - 3.0), to);
        canvas.stroke(&lip, 1.15, face.hair.darker(0.08), 1.0);
    }
    mouth(canvas, face, layout);
}

fn eye(canvas: &mut Canvas, face: &Face, (x, y): (f32, f32), side: f32) {
    let (wide, high) = (face.eye * 1.12, face.eye * 0.86);
    let white = ellipse((x, y), wide, high);
    canvas.fill(&white, WHITE, 1.0);
    let inside = canvas.region(&white);
    let iris = face.eye * 0.66;
    canvas.fill_in(&inside, &ellipse((x, y + 0.05), iris, iris), face.iris, 1.0);
    canvas.fill_in(&inside, &ellipse((x, y + 0.05), iris * 0.6, iris * 0.6), INK, 1.0);
    canvas.fill(&ellipse((x + 0.45 * face.side, y - 0.5), 0.36, 0.36), WHITE, 0.95);
    let lid = arc((x - wide, y - 0.1), (x, y - high * 2.0), (x + wide, y - 0.1));
    canvas.stroke(&lid, 0.45 + 0.3 * face.softness, INK, 0.85);
    if face.softness > 0.5 {
        let corner = (x + side * wide, y - 0.2);
        let lash = (x + side * (wide + 0.7), y - 0.9);
        canvas.stroke(&arc(corner, corner, lash), 0.5, INK, 0.8);
    }
}

fn brow(canvas: &mut Canvas, face: &Face, layout: &Layout, side: f32) {
    let (x, y) = (layout.x + side * layout.apart, layout.brow);
    let inner = (x - side * 1.9, y + 0.35);
    let outer = (x + side * 2.0, y + 0.45);
    let thick = 1.15 - 0.35 * face.softness;
    let dark = face.hair.darker(0.25 * ramp(face.years, 60.0, 40.0));
    let colour = dark.mix(face.skin, 0.28 * ramp(face.years, 48.0, 75.0));
    canvas.stroke(&arc(inner, (x, y - 0.95), outer), thick, colour, 0.95);
}

fn nose(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    let (x, y) = (layout.x, layout.nose);
    let shade = face.skin.darker(0.3);
    let wing = 1.25 + 0.25 * (1.0 - face.softness);
    canvas.stroke(&arc((x - wing, y), (x, y + 1.1), (x + wing, y)), 0.7, shade, 0.85);
    let bridge = arc(
        (x - face.side * 0.7, y - 3.2),
        (x - face.side * 0.9, y - 1.4),
        (x - face.side * 1.1, y - 0.4),
    );
    canvas.stroke(&bridge, 0.5, shade, 0.4);
}

fn mouth(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    let (x, y) = (layout.x, layout.mouth);
    let half = 2.7 + 0.3 * (1.0 - face.softness);
    let deep = face.skin.darker(0.45).mix(ROSE, 0.35);
    let lips = deep.mix(Colour::hex(0xc4313f), 0.55 * face.softness * ramp(face.years, 8.0, 18.0));
    let wide = 0.75 + 0.35 * face.softness;
    match face.mouth {
        Mouth::Calm => canvas.stroke(
            &arc((x - half + 0.3, y), (x, y + 0.3), (x + half - 0.3, y)),
            wide,
            lips,
            1.0,
        ),
        Mouth::Smile => {
            canvas.stroke(
                &arc((x - half, y - 0.5), (x, y + 1.7), (x + half, y - 0.5)),
                wide,
                lips,
                1.0,
            );
        }
        Mouth::Grin => {
            let mut pen = PathBuilder::new();
            pen.move_to(x - half, y - 0.7);
            pen.quad_to(x, y - 0.1, x + half, y - 0.7);
            pen.quad_to(x, y + 3.4, x - half, y - 0.7);
            pen.close();
            let open = pen.finish();
            canvas.fill(&open, WHITE, 1.0);
            canvas.stroke(&open, 0.6, lips, 1.0);
        }
    }
}

/// Paints the glasses, over the hair.
pub fn paint_glasses(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    if face.glasses == Glasses::None {
        return;
    }
    let frame =
        if face.hair.luma() > 150.0 || face.side > 0.0 { INK } else { Colour::hex(0x6b3a1e) };
    let (y, radius) = (layout.eye + 0.15, layout.apart - 0.55);
    for side in [-1.0, 1.0] {
        let centre = (layout.x + side * layout.apart, y);
        let rim = if face.glasses == Glasses::Round {
            ellipse(centre, radius, radius)
        } else {
            rounded(centre, radius * 1.02, radius * 0.84)
        };
        canvas.fill(&rim, Colour::hex(0xdff0ff), 0.14);
        canvas.stroke(&rim, 0.62, frame, 0.95);
        let hinge = (centre.0 + side * radius, y - 0.4);
        let ear = (layout.x + side * (layout.half + 0.3), y - 0.7);
        canvas.stroke(&arc(hinge, hinge, ear), 0.6, frame, 0.95);
    }
    let gap = layout.apart - radius;
    let bridge = arc((layout.x - gap, y - 0.3), (layout.x, y - 1.0), (layout.x + gap, y - 0.3));
    canvas.stroke(&bridge, 0.6, frame, 0.95);
}

fn rounded((x, y): (f32, f32), wide: f32, high: f32) -> Option<tiny_skia::Path> {
    let corner = 0.9;
    let mut pen = PathBuilder::new();
    pen.move_to(x - wide + corner, y - high);
    pen.line_to(x + wide - corner, y - high);
    pen.quad_to(x + wide, y - high, x + wide, y - high + corner);
    pen.line_to(x + wide, y + high - corner);
    pen.quad_to(x + wide, y + high, x + wide - corner, y + high);
    pen.line_to(x - wide + corner, y + high);
    pen.quad_to(x - wide, y + high, x - wide, y + high - corner);
    pen.line_to(x - wide, y - high + corner);
    pen.quad_to(x - wide, y - high, x - wide + corner, y - high);
    pen.close();
    pen.finish()
}
