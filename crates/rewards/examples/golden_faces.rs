//! Writes the face pictures of the JPEG goldens: `golden_faces FOLDER`.

use std::error::Error;
use std::path::Path;

use ddpo_faces::draw_face;
use ddpo_picture::write_png;
use ddpo_rollout::image::RgbImage;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: golden_faces FOLDER")?;
    for (index, size) in [(0, 32), (1, 32), (2, 64), (3, 96)] {
        let path = Path::new(&folder).join(format!("face-{size}-{index}.png"));
        write_png(&path, &draw_face(20, index, size).0)?;
    }
    let face = draw_face(20, 4, 31).0;
    let band = RgbImage::new(31, 17, face.pixels()[31 * 3 * 8..31 * 3 * 25].to_vec())?;
    write_png(&Path::new(&folder).join("face-31x17.png"), &band)?;
    Ok(())
}
