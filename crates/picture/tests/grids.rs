//! Layout of grids.

#![allow(clippy::unwrap_used)] // A test may panic.

use ddpo_picture::{Cell, cells_of, grid};
use ddpo_rollout::image::RgbImage;

fn flat(width: usize, height: usize, level: u8) -> RgbImage {
    RgbImage::new(width, height, vec![level; width * height * 3]).unwrap()
}

fn cell(image: RgbImage, label: &str) -> Cell {
    Cell { image, label: label.to_owned() }
}

fn count(image: &RgbImage, level: u8) -> usize {
    image.pixels().chunks_exact(3).filter(|pixel| *pixel == [level; 3]).count()
}

#[test]
fn enlarges_every_pixel_to_a_square() {
    let cells = vec![cell(flat(4, 3, 200), "a"), cell(flat(4, 3, 201), "b")];
    let sheet = grid(&cells, 2, 5, "");
    assert_eq!(count(&sheet, 200), 4 * 3 * 25);
    assert_eq!(count(&sheet, 201), 4 * 3 * 25);
}

#[test]
fn columns_determine_the_shape() {
    let cells = vec![cell(flat(8, 8, 200), "x"); 6];
    let (row, square) = (grid(&cells, 6, 8, ""), grid(&cells, 2, 8, ""));
    assert!(row.width() > square.width() && row.height() < square.height());
    assert_eq!(grid(&cells, 0, 8, "").width(), grid(&cells, 1, 8, "").width());
    assert_eq!(grid(&cells, 99, 8, ""), row);
}

#[test]
fn draws_unequal_pictures_empty_grids_and_odd_labels() {
    let cells = vec![
        cell(flat(1, 1, 9), "a label that is far too long for its cell"),
        cell(flat(9, 2, 9), "two\nlines"),
        cell(flat(2, 9, 9), "\u{1f600}"),
        cell(flat(0, 0, 9), ""),
    ];
    assert!(grid(&cells, 3, 0, "a title that is wider than the grid is").width() > 100);
    assert!(grid(&[], 4, 4, "nothing").height() > 0);
    assert!(grid(&[], 4, 4, "").height() > 0);
}

#[test]
fn extracts_the_pictures_of_a_grid_unchanged() {
    let speckled = |seed: usize| {
        let levels = (0..7 * 5 * 3).map(|at| (at * 37 + seed * 101) as u8).collect();
        RgbImage::new(7, 5, levels).unwrap()
    };
    for (count, columns, scale) in [(7, 3, 2), (1, 1, 1), (4, 2, 13)] {
        let images: Vec<RgbImage> = (0..count).map(speckled).collect();
        let cells: Vec<Cell> = images.iter().map(|image| cell(image.clone(), "1.250")).collect();
        let sheet = grid(&cells, columns, scale, "after 7 epochs - a title");
        assert_eq!(cells_of(&sheet, count, columns, scale, (7, 5)), Some(images));
        assert_eq!(cells_of(&sheet, count, columns, scale + 1, (7, 5)), None);
    }
    // Not a grid of such pictures: squares would have several colours.
    let sheet = grid(&vec![cell(speckled(1), "x"); 2], 2, 3, "title");
    assert_eq!(cells_of(&sheet, 2, 2, 1, (21, 15)).map(|found| found.len()), Some(2));
    let fine = grid(&vec![cell(speckled(1), "x"); 2], 2, 1, "title");
    assert_eq!(cells_of(&fine, 2, 2, 5, (7, 1)), None);
}
