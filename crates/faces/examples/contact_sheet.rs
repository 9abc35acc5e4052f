//! Writes enlarged faces as a PNG: `contact_sheet FILE.png [COLUMNS ROWS SCALE SIZE]`. Odd sheets mix classes.
use std::{env, fs::File, io::BufWriter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().collect();
    let number = |at: usize, otherwise: usize| {
        arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(otherwise)
    };
    let (columns, rows, scale, size) = (number(2, 12), number(3, 6), number(4, 8), number(5, 32));
    let by_class = number(6, 0) > 0;
    let cell = size * scale + 4;
    let (width, height) = (columns * cell, rows * cell);
    let mut pixels = vec![30_u8; width * height * 3];
    for index in 0..columns * rows {
        let image = if by_class {
            let class = ddpo_faces::AgeClass::ALL[(index / columns).min(8)];
            ddpo_faces::draw_face_of(7, index as u64, size, class)
        } else {
            ddpo_faces::draw_face(7, index as u64, size).0
        };
        let (left, top) = (index % columns * cell + 2, index / columns * cell + 2);
        for y in 0..size * scale {
            for x in 0..size * scale {
                let from = ((y / scale) * size + x / scale) * 3;
                let to = ((top + y) * width + left + x) * 3;
                pixels[to..to + 3].copy_from_slice(&image.pixels()[from..from + 3]);
            }
        }
    }
    let file = BufWriter::new(File::create(&arguments[1])?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}
