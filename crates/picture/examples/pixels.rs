//! Writes the pixels of image files as PPM, for the comparison with Pillow
//! (`tests/parity/test_pictures.py`).
//!
//!     pixels FOLDER OUT [--upright]
//!
//! For each image `FOLDER/NAME` it writes `OUT/NAME.ppm`.

use std::error::Error;
use std::path::Path;

use ddpo_picture::{Orientation, images_under, read_oriented};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, flags @ ..] = arguments.as_slice() else {
        return Err("expected FOLDER OUT [--upright]".into());
    };
    let upright = flags.iter().any(|flag| flag == "--upright");
    let orientation = if upright { Orientation::Upright } else { Orientation::Stored };
    for path in images_under(Path::new(folder))? {
        let image = read_oriented(&path, orientation)?;
        let header = format!("P6\n{} {}\n255\n", image.width(), image.height());
        let name = path.file_name().ok_or("a file without a name")?.to_string_lossy();
        let bytes = [header.as_bytes(), image.pixels()].concat();
        std::fs::write(Path::new(out).join(format!("{name}.ppm")), bytes)?;
    }
    Ok(())
}
