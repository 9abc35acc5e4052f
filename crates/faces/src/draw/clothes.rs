//! Shoulders, neck and clothes.

use tiny_skia::{Path, PathBuilder};

use crate::canvas::{Canvas, SIDE, arc, ellipse, polygon, rectangle};
use crate::colour::Colour;
use crate::draw::layout::Layout;
use crate::face::{Clothes, Face, ramp};

/// Height where the neck meets the shoulders.
const COLLAR: f32 = 28.2;

fn shoulders(x: f32, reach: f32) -> Option<Path> {
    let mut pen = PathBuilder::new();
    pen.move_to(x - 3.6, COLLAR);
    pen.cubic_to(x - 7.0, COLLAR + 0.9, x - reach, COLLAR + 0.6, x - reach - 0.8, SIDE + 4.0);
    pen.line_to(x + reach + 0.8, SIDE + 4.0);
    pen.cubic_to(x + reach, COLLAR + 0.6, x + 7.0, COLLAR + 0.9, x + 3.6, COLLAR);
    pen.close();
    pen.finish()
}

/// Paints shoulders, clothes and neck.
pub fn paint(canvas: &mut Canvas, face: &Face, layout: &Layout) {
    let x = layout.x;
    let young = ramp(face.years, 14.0, 4.0);
    let reach = 13.2 - 1.6 * face.softness - 2.4 * young;
    let body = shoulders(x, reach);
    let [cloth, second] = face.cloth;
    canvas.fill(&body, cloth, 1.0);
    let inside = canvas.region(&body);
    let shade = face.skin.darker(0.2);
    match face.clothes {
        Clothes::Plain => {}
        Clothes::Striped => {
            for stripe in 0..3 {
                let top = 29.3 + 2.2 * stripe as f32;
                let band = rectangle((0.0, top), (SIDE, top + 1.1));
                canvas.fill_in(&inside, &band, second, 0.9);
            }
        }
        Clothes::VNeck => {
            let edge =
                polygon(&[(x - 5.4, COLLAR - 1.0), (x + 5.4, COLLAR - 1.0), (x, SIDE + 1.5)]);
            let throat =
                polygon(&[(x - 4.0, COLLAR - 1.0), (x + 4.0, COLLAR - 1.0), (x, SIDE - 0.2)]);
            canvas.fill_in(&inside, &edge, second, 1.0);
            canvas.fill_in(&inside, &throat, shade, 1.0);
        }
        Clothes::Suit => {
            let shirt =
                polygon(&[(x - 4.6, COLLAR - 1.0), (x + 4.6, COLLAR - 1.0), (x, SIDE + 4.0)]);
            canvas.fill_in(&inside, &shirt, Colour::hex(0xf4f4f2), 1.0);
        }
    }
    let neck = 3.9 - 0.5 * face.softness - 0.5 * young;
    let stem = rectangle((x - neck, layout.chin - 5.0), (x + neck, COLLAR + 0.5));
    canvas.fill(&stem, shade, 1.0);
    canvas.fill(&ellipse((x, COLLAR + 0.5), neck, 1.1), shade, 1.0);
    match face.clothes {
        Clothes::Plain | Clothes::Striped => {
            let collar = arc((x - neck - 0.4, COLLAR), (x, COLLAR + 3.4), (x + neck + 0.4, COLLAR));
            canvas.stroke(&collar, 0.8, second, 1.0);
        }
        Clothes::Suit => {
            let tie =
                [(x - 0.9, 29.4), (x + 0.9, 29.4), (x + 1.4, SIDE + 2.0), (x - 1.4, SIDE + 2.0)];
            canvas.fill(&polygon(&tie), second, 1.0);
        }
        Clothes::VNeck => {}
    }
}
