//! Line plots with bands or whiskers of spread, and a tooltip at each point.

use crate::plot::drawing::{Drawing, Place, Shape};
use crate::plot::frame::{Axis, Frame, legend};
use crate::plot::ink::Ink;

/// Maximum number of tooltips of a series; a longer one has a tooltip at every n-th point.
const MOST_HINTS: usize = 250;

/// One point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Horizontal coordinate.
    pub x: f64,
    /// Vertical coordinate.
    pub y: f64,
    /// Half the height of the band or whisker.
    pub spread: f64,
    /// Text of its tooltip, line by line.
    pub hint: String,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line, with a band if there is spread.
    Line,
    /// A line through dots, with whiskers if there is spread.
    Dots,
}

/// A series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// How it is drawn.
    pub mark: Mark,
    /// Its points, from left to right.
    pub points: Vec<Point>,
}

/// A plot of series.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// Title for screen readers.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// Whether the horizontal axis has whole numbers only.
    pub whole: bool,
    /// Whether the vertical axis includes zero.
    pub from_zero: bool,
    /// The series.
    pub series: Vec<Series>,
}

impl Lines {
    /// Draws the plot.
    pub fn draw(&self, width: f64, height: f64) -> Drawing {
        let mut drawing = Drawing::new(width, height, &self.title);
        let names: Vec<(String, Ink, bool)> = match self.series.len() {
            0 | 1 => Vec::new(),
            _ => self.series.iter().map(|one| (one.name.clone(), one.ink, true)).collect(),
        };
        let above = legend(&mut drawing, &names);
        let points = || self.series.iter().flat_map(|series| &series.points);
        let xs = points().map(|point| point.x);
        let ys = points().flat_map(|point| [point.y - point.spread, point.y + point.spread]);
        let zero = self.from_zero.then_some(0.0);
        let across = if width < 420.0 { 5 } else { 9 };
        let x = if self.whole { Axis::whole(xs, across) } else { Axis::over(xs, across) };
        let y = Axis::over(ys.chain(zero), 5);
        let frame = Frame::draw(&mut drawing, above, x, y, [&self.x_label, &self.y_label]);
        self.series.iter().for_each(|series| series.draw(&mut drawing, &frame));
        self.series.iter().for_each(|series| series.hints(&mut drawing, &frame));
        drawing
    }
}

impl Series {
    fn draw(&self, drawing: &mut Drawing, frame: &Frame) {
        let places = |way: f64| -> Vec<Place> {
            self.points.iter().map(|p| frame.place((p.x, p.y + way * p.spread))).collect()
        };
        let middle = places(0.0);
        let has_spread = self.points.iter().any(|point| point.spread > 0.0);
        if has_spread && self.mark == Mark::Line {
            let (mut outline, mut under) = (places(1.0), places(-1.0));
            under.reverse();
            outline.extend(under);
            drawing.shapes.push(Shape::Area { points: outline, ink: self.ink, opacity: 0.16 });
        }
        if self.mark == Mark::Dots {
            for (low, high) in places(-1.0).into_iter().zip(places(1.0)).filter(|(l, h)| l != h) {
                drawing.line(low, high, self.ink, 1.5);
            }
        }
        if middle.len() > 1 {
            drawing.shapes.push(Shape::Path { points: middle.clone(), ink: self.ink, width: 2.0 });
        }
        if self.mark == Mark::Dots || middle.len() == 1 {
            let dot = |centre| Shape::Dot { centre, radius: 4.0, ink: self.ink, filled: true };
            drawing.shapes.extend(middle.into_iter().map(dot));
        }
    }

    fn hints(&self, drawing: &mut Drawing, frame: &Frame) {
        let every = self.points.len().div_ceil(MOST_HINTS).max(1);
        let [left, _, right, _] = frame.edges;
        let wide =
            ((right - left) / self.points.len().max(1) as f64 * every as f64).clamp(6.0, 24.0);
        for point in self.points.iter().step_by(every) {
            let centre = frame.place((point.x, point.y));
            drawing.hint(centre, (wide, 24.0), point.hint.clone(), None);
        }
    }
}
