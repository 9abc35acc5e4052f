//! Renders a drawing as an image, at twice its size, on a light background.

use crate::plot::drawing::{Anchor, Drawing, Place, Shape};
use crate::plot::ink::Ink;
use ddpo_picture::AXIS;
use ddpo_rollout::image::RgbImage;
use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Stroke, Transform};

const SCALE: f32 = 2.0;
const MARGIN: f32 = 12.0;

/// Renders a drawing; returns `None` if it is too large.
pub fn image(drawing: &Drawing) -> Option<RgbImage> {
    let side = |length: f64| ((length as f32 + 2.0 * MARGIN) * SCALE).ceil() as u32;
    let mut sheet = Pixmap::new(side(drawing.width), side(drawing.height))?;
    sheet.fill(Color::WHITE);
    drawing.shapes.iter().for_each(|shape| draw(&mut sheet, shape));
    // The background is opaque, so premultiplied colours are the colours.
    let pixels = sheet.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    RgbImage::new(sheet.width() as usize, sheet.height() as usize, pixels.collect()).ok()
}

fn draw(sheet: &mut Pixmap, shape: &Shape) {
    let transform = Transform::from_scale(SCALE, SCALE).pre_translate(MARGIN, MARGIN);
    match shape {
        Shape::Path { points, ink, width } => {
            let stroke = Stroke { width: *width as f32, ..Stroke::default() };
            if let Some(path) = polygon(points, false) {
                sheet.stroke_path(&path, &paint(*ink, 1.0), &stroke, transform, None);
            }
        }
        Shape::Area { points, ink, opacity } => {
            if let Some(path) = polygon(points, true) {
                let paint = paint(*ink, *opacity);
                sheet.fill_path(&path, &paint, FillRule::Winding, transform, None);
            }
        }
        Shape::Dot { centre, radius, ink, filled } => {
            let circle = PathBuilder::from_circle(centre.0 as f32, centre.1 as f32, *radius as f32);
            match (circle, filled) {
                (Some(path), true) => {
                    let paint = paint(*ink, 0.85);
                    sheet.fill_path(&path, &paint, FillRule::Winding, transform, None);
                }
                (Some(path), false) => {
                    let stroke = Stroke { width: 1.5, ..Stroke::default() };
                    sheet.stroke_path(&path, &paint(*ink, 1.0), &stroke, transform, None);
                }
                (None, _) => {}
            }
        }
        Shape::Text { at, text, ink, anchor } => write(sheet, *at, text, *ink, *anchor),
        Shape::Hint { .. } => {}
    }
}

fn polygon(points: &[Place], closed: bool) -> Option<tiny_skia::Path> {
    let mut path = PathBuilder::new();
    for (at, (x, y)) in points.iter().enumerate() {
        match at {
            0 => path.move_to(*x as f32, *y as f32),
            _ => path.line_to(*x as f32, *y as f32),
        }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn paint(ink: Ink, opacity: f64) -> Paint<'static> {
    let [red, green, blue] = colour(ink);
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint
}

/// Returns the levels of `#rrggbb`.
fn colour(ink: Ink) -> [u8; 3] {
    let value = u32::from_str_radix(&ink.colours()[0][1..], 16).unwrap_or(0);
    [(value >> 16) as u8, (value >> 8) as u8, value as u8]
}

fn write(sheet: &mut Pixmap, (x, y): Place, text: &str, ink: Ink, anchor: Anchor) {
    // The bitmap font lacks the minus sign.
    let text = text.replace('\u{2212}', "-");
    let wide = AXIS.width(text.chars().count()) as f32;
    let start = (x as f32 + MARGIN) * SCALE
        - match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => wide / 2.0,
            Anchor::End => wide,
        };
    // The baseline is at four fifths of the line height.
    let top = (y as f32 + MARGIN) * SCALE - AXIS.line() as f32 * 0.8;
    let (left, top) = (start.round() as i64, top.round() as i64);
    let (width, height) = (i64::from(sheet.width()), i64::from(sheet.height()));
    let levels = colour(ink);
    let pixels = sheet.data_mut();
    AXIS.draw(&text, |x, y, opacity| {
        let (x, y) = (left + x as i64, top + y as i64);
        if x < 0 || y < 0 || x >= width || y >= height {
            return;
        }
        let at = ((y * width + x) * 4) as usize;
        for (level, ink) in pixels[at..at + 3].iter_mut().zip(levels) {
            let opacity = u32::from(opacity);
            *level = ((u32::from(*level) * (255 - opacity) + u32::from(ink) * opacity + 127) / 255)
                as u8;
        }
    });
}
