//! Writes a labelled sheet of drawn faces: `faces_sheet FILE.png [ages]`. With `ages`, one row for
//! each age class; otherwise faces in the data set's proportions.

use std::path::Path;

use ddpo_faces::{AgeClass, draw_face, draw_face_of};
use ddpo_picture::{Cell, PictureError, grid, write_png};

fn main() -> Result<(), PictureError> {
    let arguments: Vec<String> = std::env::args().collect();
    let path = arguments.get(1).map_or("faces.png", String::as_str);
    let columns = 12;
    let by_age = arguments.get(2).is_some_and(|word| word == "ages");
    let rows = if by_age { AgeClass::ALL.len() } else { 6 };
    let cells: Vec<Cell> = (0..columns * rows)
        .map(|index| {
            let (image, class) = if by_age {
                let class = AgeClass::ALL[index / columns];
                (draw_face_of(7, index as u64, 32, class), class)
            } else {
                draw_face(7, index as u64, 32)
            };
            Cell { image, label: class.label().to_owned() }
        })
        .collect();
    write_png(Path::new(path), &grid(&cells, columns, 4, "drawn faces, 32x32, seed 7"))
}
