//! Paints a [`Face`], from the background to the glasses.

mod backdrop;
mod clothes;
mod features;
mod hair;
mod head;
mod layout;
mod wrinkles;

use ddpo_rollout::image::RgbImage;
use tiny_skia::Transform;

use crate::canvas::{Canvas, SIDE};
use crate::face::Face;
use layout::Layout;

/// Height of the point that the head turns and grows about, near the mouth.
const PIVOT: f32 = 22.0;

/// Paints the face on a picture of `size` pixels a side.
#[must_use]
pub fn paint(face: &Face, size: usize) -> RgbImage {
    let mut canvas = Canvas::new(size);
    backdrop::paint(&mut canvas, face);

    let layout = Layout::of(face);
    let middle = SIDE / 2.0;
    let [right, down] = face.shift;
    let body = Transform::from_translate(right, down);
    let head = Transform::from_translate(right + middle, down + PIVOT)
        .pre_concat(Transform::from_rotate(face.tilt))
        .pre_scale(face.scale, face.scale)
        .pre_translate(-middle, -PIVOT);

    canvas.pose(head);
    hair::paint_back(&mut canvas, face, &layout);
    canvas.pose(body);
    clothes::paint(&mut canvas, face, &layout);
    canvas.pose(head);
    hair::paint_falls(&mut canvas, face, &layout);
    head::paint(&mut canvas, face, &layout);
    wrinkles::paint(&mut canvas, face, &layout);
    features::paint(&mut canvas, face, &layout);
    hair::paint_front(&mut canvas, face, &layout);
    features::paint_glasses(&mut canvas, face, &layout);
    canvas.finish()
}
