//! Fronts: each arm with its seeds as small points, its median as a large one, the range over the seeds as
//! an interval of each axis, and its path over training.

use crate::plot::drawing::{Anchor, Drawing, Place, Shape};
use crate::plot::frame::{Axis, Frame, legend};
use crate::plot::ink::Ink;

/// Radius of the point of one seed, and of the median.
const RADII: (f64, f64) = (3.0, 6.5);

/// Half the length of the bar at the end of an interval.
const CAP: f64 = 4.0;

/// A point with a tooltip.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Its coordinates.
    pub at: (f64, f64),
    /// Text of its tooltip, line by line.
    pub hint: String,
}

/// One arm.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmMarks {
    /// Its name in the legend.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// One point for each seed.
    pub seeds: Vec<Mark>,
    /// The median.
    pub median: Mark,
    /// The smallest and the largest value on each axis.
    pub ranges: [(f64, f64); 2],
    /// Medians during training, from the first evaluation to the last.
    pub path: Vec<(f64, f64)>,
}

/// A curve for comparison, with a label at each point.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points with their labels.
    pub points: Vec<(Mark, String)>,
}

/// The plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Fronts {
    /// Title for screen readers.
    pub title: String,
    /// Names and units of the horizontal and the vertical axis.
    pub labels: [String; 2],
    /// The arms.
    pub arms: Vec<ArmMarks>,
    /// The curve for comparison.
    pub curve: Option<Curve>,
}

impl Fronts {
    /// Draws the plot.
    pub fn draw(&self, width: f64, height: f64) -> Drawing {
        let mut drawing = Drawing::new(width, height, &self.title);
        let arms = self.arms.iter().map(|arm| (arm.name.clone(), arm.ink, true));
        let curve = self.curve.iter().map(|curve| (curve.name.clone(), Ink::Before, false));
        let above = legend(&mut drawing, &arms.chain(curve).collect::<Vec<_>>());
        drawing.height += above;
        let points: Vec<(f64, f64)> = self.points().collect();
        let across = if width < 420.0 { 5 } else { 8 };
        let x = Axis::over(points.iter().map(|point| point.0), across);
        let y = Axis::over(points.iter().map(|point| point.1), 6);
        let frame = Frame::draw(&mut drawing, above, x, y, [&self.labels[0], &self.labels[1]]);
        self.curve.iter().for_each(|curve| curve.draw(&mut drawing, &frame));
        self.arms.iter().for_each(|arm| arm.draw_path(&mut drawing, &frame));
        self.arms.iter().for_each(|arm| arm.draw(&mut drawing, &frame));
        self.hints(&mut drawing, &frame);
        drawing
    }

    /// Iterates over all points that the axes must include.
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let of_arm = |arm: &ArmMarks| {
            let [(left, right), (low, high)] = arm.ranges;
            [&arm.path[..], &[(left, low), (right, high)]].concat()
        };
        let of_curve = self.curve.iter().flat_map(|curve| &curve.points).map(|(mark, _)| mark.at);
        self.arms.iter().flat_map(of_arm).chain(of_curve)
    }

    /// Adds the tooltips: those of the medians last, on top.
    fn hints(&self, drawing: &mut Drawing, frame: &Frame) {
        let curve = self.curve.iter().flat_map(|curve| &curve.points).map(|(mark, _)| mark);
        let seeds = self.arms.iter().flat_map(|arm| &arm.seeds);
        let small = curve.chain(seeds).map(|mark| (mark, 10.0));
        let medians = self.arms.iter().map(|arm| (&arm.median, 16.0));
        for (mark, side) in small.chain(medians) {
            drawing.hint(frame.place(mark.at), (side, side), mark.hint.clone(), None);
        }
    }
}

impl Curve {
    fn draw(&self, drawing: &mut Drawing, frame: &Frame) {
        let places: Vec<Place> = self.points.iter().map(|(mark, _)| frame.place(mark.at)).collect();
        let ink = Ink::Before;
        drawing.shapes.push(Shape::Path { points: places.clone(), ink, width: 1.5 });
        for (centre, (_, label)) in places.into_iter().zip(&self.points) {
            drawing.shapes.push(Shape::Dot { centre, radius: 4.0, ink, filled: false });
            let beside = (centre.0 - 8.0, centre.1 - 6.0);
            drawing.text(beside, label.clone(), Ink::Muted, Anchor::End);
        }
    }
}

impl ArmMarks {
    fn draw_path(&self, drawing: &mut Drawing, frame: &Frame) {
        if self.path.len() < 2 {
            return;
        }
        let points: Vec<Place> = self.path.iter().map(|&at| frame.place(at)).collect();
        // The last point is the median.
        for &centre in &points[..points.len() - 1] {
            drawing.shapes.push(Shape::Dot { centre, radius: 2.0, ink: self.ink, filled: true });
        }
        drawing.shapes.push(Shape::Path { points, ink: self.ink, width: 1.0 });
    }

    fn draw(&self, drawing: &mut Drawing, frame: &Frame) {
        let (x, y) = self.median.at;
        let [(left, right), (low, high)] = self.ranges;
        if left < right {
            let ends = [frame.place((left, y)), frame.place((right, y))];
            self.interval(drawing, ends, (0.0, CAP));
        }
        if low < high {
            let ends = [frame.place((x, low)), frame.place((x, high))];
            self.interval(drawing, ends, (CAP, 0.0));
        }
        let dot = |mark: &Mark, radius, filled| {
            let centre = frame.place(mark.at);
            Shape::Dot { centre, radius, ink: self.ink, filled }
        };
        if self.seeds.len() > 1 {
            drawing.shapes.extend(self.seeds.iter().map(|seed| dot(seed, RADII.0, false)));
        }
        drawing.shapes.push(dot(&self.median, RADII.1, true));
    }

    /// Draws an interval with a bar of half length `cap` at both ends.
    fn interval(&self, drawing: &mut Drawing, ends: [Place; 2], cap: Place) {
        drawing.line(ends[0], ends[1], self.ink, 1.5);
        for (x, y) in ends {
            drawing.line((x - cap.0, y - cap.1), (x + cap.0, y + cap.1), self.ink, 1.5);
        }
    }
}
