//! The surface that a face is painted on: vector shapes in units of 1/32 of the picture's side,
//! painted at several times the size and averaged down, which gives smoother edges than anti-aliasing
//! at 32 pixels.

use ddpo_rollout::image::RgbImage;
use tiny_skia::{
    FillRule, GradientStop, LineCap, LinearGradient, Mask, Paint, Path, PathBuilder, Pixmap, Point,
    RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

use crate::colour::Colour;

/// Side of the picture in drawing units.
pub const SIDE: f32 = 32.0;

/// Sides that can be painted, in pixels; others are clamped into this range.
pub const SIZES: (usize, usize) = (1, 4096);

/// A square surface.
pub struct Canvas {
    pixmap: Pixmap,
    unit: Transform,
    pose: Transform,
    size: usize,
    over: usize,
}

/// A region to clip paint to.
pub struct Region(Mask);

impl Canvas {
    /// Creates an opaque black surface for a picture with sides of `size` pixels, clamped to [`SIZES`].
    pub fn new(size: usize) -> Self {
        let size = size.clamp(SIZES.0, SIZES.1);
        let over = if size <= 64 { 4 } else { 2 };
        let side = (size * over) as u32;
        let pixmap = Pixmap::new(side, side).expect("a side of 2 to 8192 pixels is representable");
        let scale = side as f32 / SIDE;
        let unit = Transform::from_scale(scale, scale);
        Self { pixmap, unit, pose: Transform::identity(), size, over }
    }

    /// Sets the transform, in drawing units, of all later shapes.
    pub fn pose(&mut self, pose: Transform) {
        self.pose = pose;
    }

    fn transform(&self) -> Transform {
        self.unit.pre_concat(self.pose)
    }

    fn paint_path(&mut self, path: &Path, shader: Shader<'_>, region: Option<&Region>) {
        let paint = Paint { shader, anti_alias: true, ..Paint::default() };
        let transform = self.transform();
        let mask = region.map(|region| &region.0);
        self.pixmap.fill_path(path, &paint, FillRule::Winding, transform, mask);
    }

    /// Fills a shape. Here and below, an empty shape paints nothing.
    pub fn fill(&mut self, shape: &Option<Path>, colour: Colour, opacity: f32) {
        if let Some(path) = shape {
            self.paint_path(path, Shader::SolidColor(colour.paint(opacity)), None);
        }
    }

    /// Fills the part of a shape inside the region.
    pub fn fill_in(&mut self, region: &Region, shape: &Option<Path>, colour: Colour, opacity: f32) {
        if let Some(path) = shape {
            self.paint_path(path, Shader::SolidColor(colour.paint(opacity)), Some(region));
        }
    }

    /// Fills a shape with a gradient from one point to another.
    pub fn fill_linear(
        &mut self,
        shape: &Option<Path>,
        ends: [(f32, f32); 2],
        colours: [Colour; 2],
    ) {
        let [from, to] = ends.map(|(x, y)| Point::from_xy(x, y));
        let shader =
            LinearGradient::new(from, to, stops(colours), SpreadMode::Pad, Transform::identity());
        if let (Some(path), Some(shader)) = (shape, shader) {
            self.paint_path(path, shader, None);
        }
    }

    /// Fills a shape with a gradient from a centre outwards.
    pub fn fill_radial(
        &mut self,
        shape: &Option<Path>,
        (x, y): (f32, f32),
        radius: f32,
        colours: [Colour; 2],
    ) {
        let centre = Point::from_xy(x, y);
        let shader = RadialGradient::new(
            centre,
            centre,
            radius,
            stops(colours),
            SpreadMode::Pad,
            Transform::identity(),
        );
        if let (Some(path), Some(shader)) = (shape, shader) {
            self.paint_path(path, shader, None);
        }
    }

    /// Draws a line along a shape, `width` units wide, with round ends.
    pub fn stroke(&mut self, shape: &Option<Path>, width: f32, colour: Colour, opacity: f32) {
        self.line(None, shape, width, colour, opacity);
    }

    /// Draws the part of a line inside the region.
    pub fn stroke_in(
        &mut self,
        region: &Region,
        shape: &Option<Path>,
        width: f32,
        colour: Colour,
        opacity: f32,
    ) {
        self.line(Some(region), shape, width, colour, opacity);
    }

    fn line(
        &mut self,
        region: Option<&Region>,
        shape: &Option<Path>,
        width: f32,
        colour: Colour,
        opacity: f32,
    ) {
        let Some(path) = shape else { return };
        let shader = Shader::SolidColor(colour.paint(opacity));
        let paint = Paint { shader, anti_alias: true, ..Paint::default() };
        let stroke = Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
        let transform = self.transform();
        let mask = region.map(|region| &region.0);
        self.pixmap.stroke_path(path, &paint, &stroke, transform, mask);
    }

    /// Returns the region inside a shape, in the present pose. An empty shape gives an empty region.
    pub fn region(&self, shape: &Option<Path>) -> Region {
        let mut mask = Mask::new(self.pixmap.width(), self.pixmap.height())
            .expect("the surface's own sides are representable");
        if let Some(path) = shape {
            mask.fill_path(path, FillRule::Winding, true, self.transform());
        }
        Region(mask)
    }

    /// Blurs the surface with a Gaussian of standard deviation `spread`, in drawing units. Beyond the
    /// edges, edge pixels repeat.
    pub fn blur(&mut self, spread: f32) {
        let sigma = spread * self.pixmap.width() as f32 / SIDE;
        if sigma < 0.1 {
            return;
        }
        let side = self.pixmap.width() as usize;
        let kernel = gaussian(sigma);
        let levels: Vec<f32> = self.pixmap.data().iter().map(|&level| f32::from(level)).collect();
        // With four channels, neighbours are 4 values apart in a row, and one row apart in a column.
        let level =
            along(&along(&levels, side, (4, side * 4), &kernel), side, (side * 4, 4), &kernel);
        for (pixel, level) in self.pixmap.data_mut().iter_mut().zip(level) {
            *pixel = level.round().clamp(0.0, 255.0) as u8;
        }
    }

    /// Averages the surface down to the size of the picture.
    #[must_use]
    pub fn finish(self) -> RgbImage {
        let (size, over) = (self.size, self.over);
        let row = size * over;
        let data = self.pixmap.data();
        let area = (over * over) as u32;
        let mut pixels = Vec::with_capacity(size * size * 3);
        for position in 0..size * size {
            let (x, y) = (position % size * over, position / size * over);
            for channel in 0..3 {
                let levels = (0..over * over).map(|sub| {
                    let at = (y + sub / over) * row + x + sub % over;
                    u32::from(data[at * 4 + channel])
                });
                pixels.push(((levels.sum::<u32>() + area / 2) / area) as u8);
            }
        }
        RgbImage::new(size, size, pixels).expect("size * size * 3 values were pushed")
    }
}

/// Returns the weights of a Gaussian at the distances 0, 1, ... up to three standard deviations. The
/// sum over both sides is one.
fn gaussian(sigma: f32) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as i32;
    let weight = |at: i32| (-0.5 * (at as f32 / sigma).powi(2)).exp();
    let total: f32 = (-reach..=reach).map(weight).sum();
    (0..=reach).map(|at| weight(at) / total).collect()
}

/// Convolves each line of a square of four channels with a symmetric kernel. `step` is the distance
/// of neighbours on a line, `next` the distance of neighbouring lines.
fn along(levels: &[f32], side: usize, (step, next): (usize, usize), kernel: &[f32]) -> Vec<f32> {
    let mut blurred = vec![0.0; levels.len()];
    for (line, channel) in (0..side).flat_map(|line| (0..4).map(move |channel| (line, channel))) {
        let at = |index: usize| line * next + index * step + channel;
        for index in 0..side {
            let mut sum = kernel[0] * levels[at(index)];
            for (distance, weight) in kernel.iter().enumerate().skip(1) {
                let before = levels[at(index.saturating_sub(distance))];
                let after = levels[at((index + distance).min(side - 1))];
                sum += weight * (before + after);
            }
            blurred[at(index)] = sum;
        }
    }
    blurred
}

fn stops([first, last]: [Colour; 2]) -> Vec<GradientStop> {
    vec![GradientStop::new(0.0, first.paint(1.0)), GradientStop::new(1.0, last.paint(1.0))]
}

/// Returns an upright ellipse by its centre and radii.
pub fn ellipse((x, y): (f32, f32), rx: f32, ry: f32) -> Option<Path> {
    let bounds = Rect::from_ltrb(x - rx, y - ry, x + rx, y + ry)?;
    PathBuilder::from_oval(bounds)
}

/// Returns a rectangle by its corners.
pub fn rectangle((left, top): (f32, f32), (right, bottom): (f32, f32)) -> Option<Path> {
    Rect::from_ltrb(left, top, right, bottom).map(PathBuilder::from_rect)
}

/// Returns a rectangle larger than the picture, so that no pose uncovers an edge.
pub fn everything() -> Option<Path> {
    rectangle((-SIDE, -SIDE), (2.0 * SIDE, 2.0 * SIDE))
}

/// Returns a curve from one point to another, bent towards a third.
pub fn arc(from: (f32, f32), bend: (f32, f32), to: (f32, f32)) -> Option<Path> {
    let mut pen = PathBuilder::new();
    pen.move_to(from.0, from.1);
    pen.quad_to(bend.0, bend.1, to.0, to.1);
    pen.finish()
}

/// Returns a closed polygon.
pub fn polygon(corners: &[(f32, f32)]) -> Option<Path> {
    let mut pen = PathBuilder::new();
    for (index, corner) in corners.iter().enumerate() {
        if index == 0 {
            pen.move_to(corner.0, corner.1);
        } else {
            pen.line_to(corner.0, corner.1);
        }
    }
    pen.close();
    pen.finish()
}
