//! Curves over epochs or over each other, with bands of spread and points that tell their numbers.

use crate::plot::frame::{Axis, Frame, legend};
use crate::plot::{Drawing, Ink, Place, Shape};

/// Points that a curve tells of at most; a longer one tells of every so many.
const MOST_HINTS: usize = 250;

/// One point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Where it is.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// Half the height of the band, or of the whisker.
    pub spread: f64,
    /// What it tells, line by line.
    pub hint: String,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line, with a band where there is spread.
    Line,
    /// A line through dots, with whiskers where there is spread.
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

/// What a plot of series shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// For those who do not see it.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// Whether the horizontal axis counts.
    pub whole: bool,
    /// Whether the vertical axis begins at zero.
    pub from_zero: bool,
    /// The series.
    pub series: Vec<Series>,
}

impl Lines {
    /// Draws it.
    #[must_use]
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
