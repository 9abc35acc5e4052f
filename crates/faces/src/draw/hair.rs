//! Hair in three layers: behind the head, over the shoulders, and the cap in front.

use tiny_skia::{Path, PathBuilder};

use crate::canvas::{Canvas, arc, ellipse};
use crate::draw::layout::Layout;
use crate::face::{Face, HairStyle};

/// Paints the hair behind the head, which the head and the clothes may cover.
pub fn paint_back(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    let (x, dark) = (layout.x, face.hair.darker(0.22));
    match face.style {
        HairStyle::Bob => {
            let middle = (x, layout.eye + 0.6);
            canvas.fill(
                &ellipse(middle, layout.half + 2.5, layout.chin - layout.eye + 0.4),
                dark,
                1.0,
            );
        }
        HairStyle::Long | HairStyle::Wavy => canvas.fill(&mane(layout, face.style), dark, 1.0),
        HairStyle::Bun => {
            let bun = (x + 0.6 * face.side, layout.top - 1.5);
            canvas.fill(&ellipse(bun, 3.3, 2.6), face.hair.darker(0.1), 1.0);
            canvas.stroke(
                &arc((bun.0 - 2.4, bun.1), (bun.0, bun.1 - 2.4), (bun.0 + 2.4, bun.1)),
                0.5,
                dark,
                0.7,
            );
        }
        HairStyle::Curly => {
            for (across, up) in curls() {
                let centre = (
                    x + across * (layout.half + 0.5),
                    layout.cheek - 1.0 - up * (layout.cheek - layout.top),
                );
                canvas.fill(&ellipse(centre, 2.3, 2.3), dark, 1.0);
            }
        }
        HairStyle::Fringe => {
            // A full wreath; the head covers all of it except the sides.
            canvas.fill(&ellipse((x, layout.eye - 1.6), layout.half + 1.5, 5.4), face.hair, 1.0);
        }
        _ => {}
    }
}

/// Paints long hair in front of the shoulders, behind the face.
pub fn paint_falls(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    if !matches!(face.style, HairStyle::Long | HairStyle::Wavy) {
        return;
    }
    let wave = if face.style == HairStyle::Wavy { 0.9 } else { 0.0 };
    for side in [-1.0_f32, 1.0] {
        let at = |out: f32, y: f32| (layout.x + side * out, y);
        let half = layout.half;
        let mut pen = PathBuilder::new();
        let points = [
            at(half - 0.6, layout.eye - 3.0),
            at(half + 1.9, layout.eye),
            at(half + 1.7 + wave, layout.mouth),
            at(half + 2.2 - wave, 33.0),
            at(half - 2.4, 33.0),
            at(half - 0.9 - wave, layout.mouth + 2.0),
        ];
        pen.move_to(points[0].0, points[0].1);
        pen.quad_to(points[1].0, points[1].1, points[2].0, points[2].1);
        pen.line_to(points[3].0, points[3].1);
        pen.line_to(points[4].0, points[4].1);
        pen.quad_to(points[5].0, points[5].1, points[0].0, points[0].1);
        pen.close();
        let fall = pen.finish();
        canvas.fill(&fall, face.hair.darker(0.06), 1.0);
        let strand = arc(
            at(half + 0.6, layout.eye),
            at(half + 0.4 + wave, layout.mouth),
            at(half - 0.2, 33.0),
        );
        canvas.stroke(&strand, 0.5, face.hair.darker(0.3), 0.7);
    }
}

fn mane(layout: &Layout, style: HairStyle) -> Option<Path> {
    let (x, half) = (layout.x, layout.half + 1.9);
    let wave = if style == HairStyle::Wavy { 0.9 } else { 0.0 };
    let mut pen = PathBuilder::new();
    pen.move_to(x - half, layout.cheek);
    pen.quad_to(x - half - wave, layout.mouth, x - half - 0.6 + wave, 34.0);
    pen.line_to(x + half + 0.6 - wave, 34.0);
    pen.quad_to(x + half + wave, layout.mouth, x + half, layout.cheek);
    pen.close();
    pen.finish()
}

/// Returns the positions of curls around the skull: across in `[-1, 1]`, up in `[0, 1]`.
fn curls() -> [(f32, f32); 9] {
    let mut places = [(0.0, 0.0); 9];
    for (index, place) in places.iter_mut().enumerate() {
        let angle = (index as f32 / 8.0) * std::f32::consts::PI;
        *place = (-angle.cos(), angle.sin());
    }
    places
}

/// Paints the cap of hair over the skull, with hairline and strands.
pub fn paint_front(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    match face.style {
        HairStyle::Bald => return,
        HairStyle::Fringe => return horseshoe(canvas, face, layout),
        _ => {}
    }
    let cap = cap(face, layout);
    let tones = [face.hair.lighter(0.1), face.hair.darker(0.08)];
    let opacity_scalp = if face.style == HairStyle::Buzz { 0.82 } else { 1.0 };
    let lit = layout.x + face.side * layout.half;
    let dark = layout.x - face.side * layout.half;
    if opacity_scalp < 1.0 {
        canvas.fill(&cap, face.hair, opacity_scalp);
        return;
    }
    canvas.fill_linear(&cap, [(lit, layout.top - 2.0), (dark, layout.eye)], tones);
    strands(canvas, face, layout, &cap);
}

/// Returns the thickness of the hair over the crown and the ends of its sides.
fn volume(face: &Face, layout: &Layout) -> (f32, f32, f32) {
    match face.style {
        HairStyle::Buzz => (0.3, 0.25, layout.eye - 1.2),
        HairStyle::Parted => (1.5, 0.7, layout.eye + 0.4),
        HairStyle::Quiff => (2.0, 0.4, layout.eye - 0.6),
        HairStyle::Curly => (1.9, 1.0, layout.eye - 0.2),
        HairStyle::Bun => (0.9, 0.5, layout.eye + 0.6),
        HairStyle::Bob => (1.6, 1.7, layout.mouth + 0.8),
        _ => (1.6, 1.7, layout.nose + 1.6),
    }
}

fn cap(face: &Face, layout: &Layout) -> Option<Path> {
    let (rise, spread, side_end) = volume(face, layout);
    let (x, top) = (layout.x, layout.top - rise);
    let out = layout.half + spread;
    let temple = layout.half - 0.9;
    let inner = layout.half - if side_end > layout.eye + 1.0 { 1.1 } else { 0.2 };
    let temple_y = layout.brow - 0.4 - 2.2 * face.recession;
    let mut pen = PathBuilder::new();
    pen.move_to(x - inner, side_end);
    pen.line_to(x - out, side_end - 0.6);
    pen.cubic_to(x - out - 0.2, layout.cheek - 7.5, x - 0.62 * out, top, x, top);
    pen.cubic_to(x + 0.62 * out, top, x + out + 0.2, layout.cheek - 7.5, x + out, side_end - 0.6);
    pen.line_to(x + inner, side_end);
    pen.quad_to(x + inner, temple_y + 2.0, x + temple, temple_y);
    hairline(&mut pen, face, layout, temple, temple_y);
    pen.quad_to(x - inner, temple_y + 2.0, x - inner, side_end);
    pen.close();
    pen.finish()
}

/// Draws the hairline from the right temple to the left one.
fn hairline(pen: &mut PathBuilder, face: &Face, layout: &Layout, temple: f32, temple_y: f32) {
    let (x, line) = (layout.x, layout.hairline);
    match face.style {
        HairStyle::Bob => {
            let fringe = layout.brow - 0.9;
            pen.line_to(x + temple - 0.6, fringe);
            pen.quad_to(x, fringe - 0.8, x - temple + 0.6, fringe);
            pen.line_to(x - temple, temple_y);
        }
        HairStyle::Long => {
            pen.quad_to(x + 1.6, line + 0.4, x, line - 2.2);
            pen.quad_to(x - 1.6, line + 0.4, x - temple, temple_y);
        }
        HairStyle::Parted | HairStyle::Wavy => {
            let part = x + face.side * 3.0;
            let sweep = line + 1.1 - face.recession;
            if face.side > 0.0 {
                pen.quad_to(x + temple, line, part, line - 1.2);
                pen.cubic_to(x, sweep, x - temple + 1.0, sweep - 0.4, x - temple, temple_y);
            } else {
                pen.cubic_to(x + temple - 1.0, sweep - 0.4, x, sweep, part, line - 1.2);
                pen.quad_to(x - temple, line, x - temple, temple_y);
            }
        }
        _ => {
            // Temples recede further than the middle: the M of a receding hairline.
            let retreat = 2.6 * face.recession;
            pen.quad_to(x + temple - 0.4, line - retreat, x + 2.9, line - retreat);
            pen.quad_to(x, line + 0.5, x - 2.9, line - retreat);
            pen.quad_to(x - temple + 0.4, line - retreat, x - temple, temple_y);
        }
    }
}

/// Paints strands along the hair: visible texture that costs JPEG bytes.
fn strands(canvas: &mut Canvas, face: &Face, layout: &Layout, cap: &Option<Path>) {
    let inside = canvas.region(cap);
    let (x, top) = (layout.x, layout.top);
    if face.style == HairStyle::Curly {
        for (index, (across, up)) in curls().into_iter().enumerate() {
            let centre =
                (x + across * (layout.half - 0.7), layout.cheek - 1.5 - up * (layout.cheek - top));
            let tone =
                if index % 2 == 0 { face.hair.lighter(0.16) } else { face.hair.darker(0.25) };
            canvas.stroke_in(&inside, &ellipse(centre, 1.5, 1.4), 0.6, tone, 0.6);
        }
        return;
    }
    let part = match face.style {
        HairStyle::Parted | HairStyle::Wavy => x + face.side * 3.0,
        _ => x,
    };
    for strand in 0..6 {
        let across = (strand as f32 - 2.5) / 2.5;
        let end = (x + across * (layout.half + 1.2), layout.eye + 1.0);
        let bend = (x + across * (layout.half + 0.6), top + 0.6);
        let tone = if strand % 2 == 0 { face.hair.lighter(0.2) } else { face.hair.darker(0.3) };
        canvas.stroke_in(&inside, &arc((part, top - 0.4), bend, end), 0.55, tone, 0.6);
    }
}

/// Paints the hair around a bald crown: a crescent on each side, thinner towards the temple.
fn horseshoe(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    for side in [-1.0_f32, 1.0] {
        let at = |out: f32, y: f32| (layout.x + side * (layout.half + out), y);
        let (high, outer) = (at(-0.9, layout.brow - 3.4), at(1.2, layout.brow - 1.0));
        let (low, inner) = (at(0.1, layout.eye + 0.8), at(-1.4, layout.brow + 0.4));
        let mut pen = PathBuilder::new();
        pen.move_to(high.0, high.1);
        pen.quad_to(outer.0, outer.1, low.0, low.1);
        pen.quad_to(inner.0, inner.1, high.0, high.1);
        pen.close();
        canvas.fill(&pen.finish(), face.hair, 1.0);
    }
}
