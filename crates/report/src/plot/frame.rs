//! Axes with round ticks, and the mapping from values to pixels.

use crate::number::minus;
use crate::plot::drawing::{Anchor, Drawing, Place, Shape, TEXT};
use crate::plot::ink::Ink;

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Lowest value shown.
    pub low: f64,
    /// Highest value shown.
    pub high: f64,
    /// Values of the ticks.
    pub ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// Creates an axis over `values` with about `count` round ticks; the first and last tick are its ends.
    pub fn over(values: impl Iterator<Item = f64>, count: usize) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let ends = finite.fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (mut low, mut high) = ends.unwrap_or((0.0, 1.0));
        if high - low <= 1e-12 * high.abs().max(low.abs()) {
            // A constant line is centred.
            let around = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - around, high + around);
        }
        let step = round_step((high - low) / count.max(1) as f64);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks: Vec<f64> =
            (0..=(last - first) as usize).map(|at| (first + at as f64) * step).collect();
        Self { low: first * step, high: last * step, ticks, step }
    }

    /// Creates an axis over whole numbers, such as epochs, that ends where the values end.
    pub fn whole(values: impl Iterator<Item = f64> + Clone, count: usize) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let mut axis = Self::over([low, high].into_iter(), count);
        axis.step = axis.step.max(1.0).round();
        let (first, last) = ((low / axis.step).ceil(), (high / axis.step).floor());
        let ticks = 0..=(last - first).max(0.0) as usize;
        axis.ticks = ticks.map(|at| (first + at as f64) * axis.step).collect();
        if high > low {
            (axis.low, axis.high) = (low, high);
        }
        axis
    }

    /// Returns the position of a value, 0 at the low end and 1 at the high end.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Returns the label of a tick.
    pub fn label(&self, tick: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if !(1e-3..1e5).contains(&largest) {
            let power = self.step.abs().log10().floor().min(largest.log10().floor());
            let scale = largest.log10().floor();
            let digits = (scale - power).max(0.0) as usize;
            return match tick {
                0.0 => "0".into(),
                tick => format!("{:.digits$}e{scale}", tick / 10_f64.powf(scale)),
            };
        }
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        let tick = if tick.abs() < self.step * 1e-9 { 0.0 } else { tick };
        minus(format!("{tick:.digits$}"))
    }
}

/// Returns the smallest 1, 2 or 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let found = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= least * (1.0 - 1e-9));
    found.unwrap_or(10.0) * power
}

/// The area of a plot within its drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Left, top, right and bottom in pixels.
    pub edges: [f64; 4],
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
}

impl Frame {
    /// Lays out a plot in `drawing`, leaving `above` pixels at the top, and draws grid and axes.
    pub fn draw(drawing: &mut Drawing, above: f64, x: Axis, y: Axis, labels: [&str; 2]) -> Self {
        let widest = y.ticks.iter().map(|tick| y.label(*tick).chars().count()).max().unwrap_or(1);
        let left = (widest as f64 * 6.8 + 12.0).max(30.0);
        let edges = [left, above + TEXT + 14.0, drawing.width - 14.0, drawing.height - 40.0];
        let frame = Self { edges, x, y };
        let [left, top, right, foot] = edges;
        drawing.text((0.0, top - 12.0), labels[1], Ink::Muted, Anchor::Start);
        drawing.text(((left + right) / 2.0, foot + 35.0), labels[0], Ink::Muted, Anchor::Middle);
        for &tick in &frame.y.ticks {
            let height = frame.place((frame.x.low, tick)).1;
            drawing.line((left, height), (right, height), Ink::Grid, 1.0);
            let label = frame.y.label(tick);
            drawing.text((left - 8.0, height + 4.0), label, Ink::Muted, Anchor::End);
        }
        for &tick in &frame.x.ticks {
            let across = frame.place((tick, frame.y.low)).0;
            drawing.line((across, foot), (across, foot + 4.0), Ink::Muted, 1.0);
            let label = frame.x.label(tick);
            drawing.text((across, foot + 18.0), label, Ink::Muted, Anchor::Middle);
        }
        drawing.line((left, foot), (right, foot), Ink::Muted, 1.0);
        frame
    }

    /// Returns the position of a value in pixels.
    pub fn place(&self, (x, y): (f64, f64)) -> Place {
        let [left, top, right, foot] = self.edges;
        (left + self.x.share(x) * (right - left), foot - self.y.share(y) * (foot - top))
    }
}

/// Draws names with their colours in a row, wrapped; returns their total height.
pub fn legend(drawing: &mut Drawing, entries: &[(String, Ink, bool)]) -> f64 {
    let (mut left, mut line) = (0.0, 0.0);
    for (name, ink, filled) in entries {
        let wide = 18.0 + name.chars().count() as f64 * 6.6 + 18.0;
        if left > 0.0 && left + wide > drawing.width {
            (left, line) = (0.0, line + 1.0);
        }
        let foot = line * 18.0 + TEXT;
        let (centre, filled) = ((left + 6.0, foot - 4.0), *filled);
        drawing.shapes.push(Shape::Dot { centre, radius: 4.5, ink: *ink, filled });
        drawing.text((left + 16.0, foot), name.clone(), Ink::Text, Anchor::Start);
        left += wide;
    }
    if entries.is_empty() { 0.0 } else { (line + 1.0) * 18.0 + 6.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_to_both_ends() {
        let axis = Axis::over([-1.43, -0.52].into_iter(), 5);
        assert_eq!((axis.low, axis.high), (-1.6, -0.4));
        assert_eq!(axis.label(axis.ticks[0]), "\u{2212}1.6");
        let flat = Axis::over([0.0, 0.0].into_iter(), 4);
        assert!(flat.low < 0.0 && flat.high > 0.0);
        let tiny = Axis::over([0.0, 1.2e-4].into_iter(), 4);
        assert_eq!(tiny.label(tiny.ticks[1]), "0.5e-4");
        let none = Axis::over(std::iter::empty(), 4);
        assert_eq!((none.low, none.high), (0.0, 1.0));
    }

    #[test]
    fn epochs_have_whole_ticks() {
        let axis = Axis::whole((1..=3).map(f64::from), 8);
        assert_eq!(axis.ticks, [1.0, 2.0, 3.0]);
        let axis = Axis::whole((1..=22).map(f64::from), 6);
        assert_eq!((axis.low, axis.high, axis.ticks[0]), (1.0, 22.0, 5.0));
        let one = Axis::whole(std::iter::once(1.0), 6);
        assert!(one.low < 1.0 && one.high > 1.0 && one.ticks == [1.0]);
    }
}
