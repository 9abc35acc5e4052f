//! One seed over the checkpoints: a picture, a slider, and a few seeds to choose from.

use crate::error::ReportError;
use crate::gallery::{Gallery, Shown};
use crate::page::html::{self, escape, json, quiet};
use crate::page::pairs::named;
use crate::pictures::data_uri;
use crate::plot::frame::number;
use serde::Serialize;

/// Seeds to choose from, checkpoints that are shown, and the side of the pictures, at most.
const SEEDS: usize = 8;
const FRAMES: usize = 24;
const SIDE: usize = 256;

#[derive(Serialize)]
struct Seed {
    name: String,
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    name: String,
    reward: String,
    picture: String,
}

/// Positions of at most `most` of `count`, the first and the last among them.
#[must_use]
pub fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|at| at * (count - 1) / (most - 1).max(1)).collect()
}

/// The section.
///
/// # Errors
/// [`ReportError::Picture`].
pub fn section(gallery: &Gallery) -> Result<String, ReportError> {
    let checkpoints: Vec<&Shown> = spread(gallery.checkpoints.len(), FRAMES)
        .into_iter()
        .map(|at| &gallery.checkpoints[at])
        .collect();
    let samples = checkpoints.iter().map(|one| one.images.len()).min().unwrap_or(0).min(SEEDS);
    let mut seeds = Vec::with_capacity(samples);
    for at in 0..samples {
        let frames = checkpoints.iter().map(|one| frame(one, at)).collect::<Result<_, _>>()?;
        seeds.push(Seed { name: format!("sample {}", checkpoints[0].scores[at].sample), frames });
    }
    let Some(first) = seeds.first() else { return Ok(String::new()) };
    let small = checkpoints[0].images[0].width() < SIDE;
    let class = if small { " class=\"pixels\"" } else { "" };
    let buttons: String = seeds.iter().map(button).collect();
    let body = format!(
        "{}<div class=\"film\"><img id=\"film-picture\"{class} src=\"{}\" alt=\"\">\
         <div><output id=\"film-output\" for=\"film-slider\">{}</output>\
         <input id=\"film-slider\" type=\"range\" min=\"0\" max=\"{}\" value=\"0\" step=\"1\" \
         aria-label=\"checkpoint\">\
         <button id=\"film-play\" type=\"button\">Play</button>\
         <div class=\"seeds pixels\">{buttons}</div></div></div>\n\
         <script type=\"application/json\" id=\"film-data\">{}</script>",
        quiet("Move the slider from checkpoint to checkpoint; choose another sample below."),
        first.frames[0].picture,
        escape(&first.frames[0].name),
        first.frames.len() - 1,
        json(&seeds)
    );
    Ok(html::section("film", "One sample over the checkpoints", &body))
}

fn frame(shown: &Shown, at: usize) -> Result<Frame, ReportError> {
    let reward = number(f64::from(shown.scores[at].values[0]));
    Ok(Frame { name: named(shown), reward, picture: data_uri(&shown.images[at], SIDE)? })
}

fn button(seed: &Seed) -> String {
    let name = escape(&seed.name);
    format!(
        "<button type=\"button\" aria-label=\"{name}\" aria-pressed=\"false\">\
         <img src=\"{}\" alt=\"\"></button>",
        seed.frames[0].picture
    )
}
