//! Paints a [`Face`] from the background to the glasses, then applies the blur.

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

/// Height of the point that the head rotates and scales about, near the mouth.
const PIVOT: f32 = 22.0;

/// Height of the point that a distant person scales towards, just below the picture.
const FOOT: f32 = 33.0;

/// Paints the face on a picture with sides of `size` pixels.
pub fn paint(face: &Face, size: usize) -> RgbImage {
    let mut canvas = Canvas::new(size);
    backdrop::paint(&mut canvas, face);

    let layout = Layout::of(face);
    let middle = SIDE / 2.0;
    let [right, down] = face.shift;
    // A distant person is scaled down about the middle of the lower edge.
    let body = Transform::from_translate(right + middle, down + FOOT)
        .pre_scale(face.distance, face.distance)
        .pre_translate(-middle, -FOOT);
    let head = body
        .pre_translate(middle, PIVOT)
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
    canvas.blur(face.blur);
    canvas.finish()
}
