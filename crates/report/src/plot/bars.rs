//! Horizontal bars: shares by class before and after finetuning.

use crate::plot::drawing::{Anchor, Drawing};
use crate::plot::frame::legend;
use crate::plot::ink::Ink;

/// One class.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Its label.
    pub label: String,
    /// Share before finetuning, 0 to 1.
    pub before: f64,
    /// Share after finetuning, 0 to 1.
    pub after: f64,
}

const ROW: f64 = 34.0;
const BAR: f64 = 11.0;

/// Draws the classes in the given order.
pub fn draw(title: &str, pairs: &[Pair], width: f64) -> Drawing {
    let mut drawing = Drawing::new(width, pairs.len() as f64 * ROW + 40.0, title);
    let names = [("before".to_owned(), Ink::Before, true), ("after".to_owned(), Ink::After, true)];
    let top = legend(&mut drawing, &names) + 6.0;
    let longest = pairs.iter().map(|pair| pair.label.chars().count()).max().unwrap_or(0);
    let left = longest as f64 * 6.6 + 14.0;
    let room = (width - left - 56.0).max(20.0);
    let largest =
        pairs.iter().map(|pair| pair.before.max(pair.after)).fold(0.0, f64::max).max(1e-9);
    for (at, pair) in pairs.iter().enumerate() {
        let head = top + at as f64 * ROW;
        drawing.text((left - 10.0, head + 16.0), pair.label.clone(), Ink::Text, Anchor::End);
        for (line, (share, ink)) in
            [(pair.before, Ink::Before), (pair.after, Ink::After)].into_iter().enumerate()
        {
            let corner = (left, head + line as f64 * (BAR + 2.0));
            let long = share / largest * room;
            drawing.rectangle(corner, (long.max(1.0), BAR), ink, 1.0);
            let told = format!("{:.1} %", share * 100.0);
            drawing.text((left + long + 6.0, corner.1 + 10.0), told, Ink::Muted, Anchor::Start);
        }
        let told = format!(
            "{}\nbefore {:.1} %\nafter {:.1} %",
            pair.label,
            pair.before * 100.0,
            pair.after * 100.0
        );
        drawing.hint((width / 2.0, head + ROW / 2.0 - 4.0), (width, ROW), told, None);
    }
    drawing.line((left, top - 4.0), (left, top + pairs.len() as f64 * ROW - 4.0), Ink::Muted, 1.0);
    drawing
}
