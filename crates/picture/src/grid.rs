//! Grids of enlarged pictures with labels.

use ddpo_rollout::image::RgbImage;

use crate::text::{LABEL, TITLE, Type};

/// One picture of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The picture.
    pub image: RgbImage,
    /// The text below it; a line break starts a second line.
    pub label: String,
}

const PAPER: [u8; 3] = [24, 26, 31];
const MOUNT: [u8; 3] = [38, 41, 48];
const INK: [u8; 3] = [205, 209, 217];
const HEADING: [u8; 3] = [240, 242, 246];

const MARGIN: usize = 16;
const GAP: usize = 10;
const MOUNT_EDGE: usize = 4;

/// The layout of a grid, in pixels.
struct Plan {
    columns: usize,
    frame: (usize, usize),
    label: usize,
    head: usize,
}

impl Plan {
    fn of(cells: &[Cell], columns: usize, scale: usize, title: &str) -> Self {
        let side = |of: fn(&RgbImage) -> usize| {
            cells.iter().map(|cell| of(&cell.image)).max().unwrap_or(0) * scale
        };
        let lines = cells.iter().map(|cell| cell.label.lines().count()).max().unwrap_or(0);
        Self {
            columns: columns.clamp(1, cells.len().max(1)),
            frame: (side(RgbImage::width), side(RgbImage::height)),
            label: if lines == 0 { 0 } else { lines * LABEL.line() + 3 },
            head: if title.is_empty() { 0 } else { TITLE.line() + 12 },
        }
    }

    fn mount(&self) -> (usize, usize) {
        (self.frame.0 + 2 * MOUNT_EDGE, self.frame.1 + 2 * MOUNT_EDGE + self.label)
    }

    fn size(&self, count: usize, title: &str) -> (usize, usize) {
        let (wide, high) = self.mount();
        let rows = count.div_ceil(self.columns);
        let cells = self.columns * (wide + GAP) - GAP;
        let body = (rows * (high + GAP)).saturating_sub(GAP);
        // A title may widen a narrow grid up to a limit.
        let heading = TITLE.width(title.chars().count()).min(720);
        (cells.max(heading) + 2 * MARGIN, body + self.head + 2 * MARGIN)
    }
}

/// Maximum number of samples in a grid of a run.
pub const MOST_SHOWN: usize = 64;

/// Approximate width that the grid of a run enlarges small pictures to, in pixels.
const SHOWN_WIDTH: usize = 96;

/// Returns the columns and the scale of a run's [`grid`] of `count` pictures of `width`. The number of
/// columns equals the number of rows or is one more.
pub fn square_layout(count: usize, width: usize) -> (usize, usize) {
    let columns = (count as f64).sqrt().ceil() as usize;
    (columns, (SHOWN_WIDTH / width.max(1)).max(1))
}

/// Draws pictures in rows on a dark background, with a title above. Each pixel becomes a square of
/// `scale` pixels (at least 1), without smoothing. Smaller pictures are centred in cells of the
/// largest size; labels and title are truncated to fit.
pub fn grid(cells: &[Cell], columns: usize, scale: usize, title: &str) -> RgbImage {
    let scale = scale.max(1);
    let plan = Plan::of(cells, columns, scale, title);
    let (width, height) = plan.size(cells.len(), title);
    let mut sheet = Sheet::new(width, height);
    let heading = TITLE.fit(title, width - 2 * MARGIN);
    sheet.write(&heading, TITLE, (MARGIN, MARGIN - 2), HEADING);
    let (wide, high) = plan.mount();
    for (index, cell) in cells.iter().enumerate() {
        let left = MARGIN + index % plan.columns * (wide + GAP);
        let top = MARGIN + plan.head + index / plan.columns * (high + GAP);
        sheet.fill((left, top), (wide, high), MOUNT);
        let spare =
            (plan.frame.0 - cell.image.width() * scale, plan.frame.1 - cell.image.height() * scale);
        let corner = (left + MOUNT_EDGE + spare.0 / 2, top + MOUNT_EDGE + spare.1 / 2);
        sheet.enlarge(&cell.image, corner, scale);
        for (line, text) in cell.label.lines().enumerate() {
            let text = LABEL.fit(text, wide);
            let indent = (wide - LABEL.width(text.chars().count())) / 2;
            let under = top + MOUNT_EDGE + plan.frame.1 + 3 + line * LABEL.line();
            sheet.write(&text, LABEL, (left + indent, under), INK);
        }
    }
    sheet.finish()
}

/// Extracts the pictures from a [`grid`] with a title and one line of label each: the inverse of
/// [`grid`] for pictures of one `size` (width, height), with `columns` and `scale`. Returns `None`
/// if `sheet` is not such a grid, that is, if any square has more than one colour.
pub fn cells_of(
    sheet: &RgbImage,
    count: usize,
    columns: usize,
    scale: usize,
    size: (usize, usize),
) -> Option<Vec<RgbImage>> {
    let plan = Plan {
        columns: columns.clamp(1, count.max(1)),
        frame: (size.0 * scale, size.1 * scale),
        label: LABEL.line() + 3,
        head: TITLE.line() + 12,
    };
    let (wide, high) = plan.mount();
    let rows = count.div_ceil(plan.columns);
    let height = (rows * (high + GAP)).saturating_sub(GAP) + plan.head + 2 * MARGIN;
    if sheet.height() != height || sheet.width() < plan.columns * (wide + GAP) - GAP + 2 * MARGIN {
        return None;
    }
    let corner = |index: usize| {
        let left = MARGIN + index % plan.columns * (wide + GAP) + MOUNT_EDGE;
        (left, MARGIN + plan.head + index / plan.columns * (high + GAP) + MOUNT_EDGE)
    };
    (0..count).map(|index| shrunk(sheet, corner(index), scale, size)).collect()
}

/// Returns the picture of `size` whose pixels are squares of `scale` pixels; `None` if a square has
/// more than one colour.
fn shrunk(
    sheet: &RgbImage,
    (left, top): (usize, usize),
    scale: usize,
    (width, height): (usize, usize),
) -> Option<RgbImage> {
    let pixel = |x: usize, y: usize| {
        let at = (y * sheet.width() + x) * 3;
        &sheet.pixels()[at..at + 3]
    };
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in (0..height).map(|row| top + row * scale) {
        for x in (0..width).map(|column| left + column * scale) {
            let colour = pixel(x, y);
            let mut square = (0..scale * scale).map(|at| pixel(x + at % scale, y + at / scale));
            if !square.all(|other| other == colour) {
                return None;
            }
            pixels.extend_from_slice(colour);
        }
    }
    RgbImage::new(width, height, pixels).ok()
}

struct Sheet {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Sheet {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: PAPER.repeat(width * height) }
    }

    fn fill(&mut self, (left, top): (usize, usize), (wide, high): (usize, usize), tone: [u8; 3]) {
        for y in top..top + high {
            let from = (y * self.width + left) * 3;
            for pixel in self.pixels[from..from + wide * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&tone);
            }
        }
    }

    fn enlarge(&mut self, image: &RgbImage, (left, top): (usize, usize), scale: usize) {
        for (index, pixel) in image.pixels().chunks_exact(3).enumerate() {
            let (x, y) = (index % image.width() * scale, index / image.width() * scale);
            self.fill((left + x, top + y), (scale, scale), [pixel[0], pixel[1], pixel[2]]);
        }
    }

    fn write(&mut self, text: &str, size: Type, (left, top): (usize, usize), ink: [u8; 3]) {
        let (width, pixels) = (self.width, &mut self.pixels);
        size.draw(text, |x, y, opacity| {
            let at = ((top + y) * width + left + x) * 3;
            for (level, ink) in pixels[at..at + 3].iter_mut().zip(ink) {
                let opacity = u32::from(opacity);
                let mixed = u32::from(*level) * (255 - opacity) + u32::from(ink) * opacity;
                *level = ((mixed + 127) / 255) as u8;
            }
        });
    }

    fn finish(self) -> RgbImage {
        RgbImage::new(self.width, self.height, self.pixels)
            .expect("the sheet was made with width * height * 3 levels")
    }
}
